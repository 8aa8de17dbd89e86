"""Sweeps: models x layers x recipes x probe sets into a store, whatever happens on the way."""

from depara_jax.sweep.estimate import estimate_sweep
from depara_jax.sweep.plan import Plan, ProbeEntry, read_plan
from depara_jax.sweep.preemption import PreemptedError, preemptible
from depara_jax.sweep.runner import Row, SweepResult, run_sweep

__all__ = [
    "Plan",
    "PreemptedError",
    "ProbeEntry",
    "Row",
    "SweepResult",
    "estimate_sweep",
    "preemptible",
    "read_plan",
    "run_sweep",
]
