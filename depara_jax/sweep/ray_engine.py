"""Ray as the engine: a task an item, on whatever machines the cluster has (extra `[ray]`).

A task is an item (a few hundred bytes) and the names of zoo, probe set and store: weights and
images are read where they are used, and results go to the store, not through Ray's object store.
Ray starts a task again if its worker process or machine dies; what it had stored is there.
"""

import functools
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from depara_jax.data import Probe
from depara_jax.errors import DeparaError
from depara_jax.store import Store, StoreError, code_version
from depara_jax.sweep.items import Row, WorkItem, compute_item, placement_for
from depara_jax.sweep.plan import Plan, ProbeEntry
from depara_jax.sweep.runner import open_probe

__all__ = ["ray_engine", "run_remotely"]

RETRIES = 3
POLL = 0.5


def ray_engine(
    plan: Plan,
    items: Sequence[WorkItem],
    probes: Sequence[Probe],
    store: Store,
    check: Callable[[], None],
) -> Iterator[tuple[int, Row]]:
    """Runs items as Ray tasks; rows come as they are done.

    Raises:
      DeparaError: Ray is not installed, or no machine of the cluster has what the plan asks for.
      StoreError: a worker cannot use the store.
    """
    ray, started = _connect(plan)
    settings = dict(plan.ray)
    options = {name: settings[name] for name in ("num_cpus", "num_gpus", "resources")
               if name in settings}  # fmt: skip
    options["max_retries"] = settings.get("retries", RETRIES)
    try:
        _check_resources(ray, options)
        task = ray.remote(run_remotely).options(**options)
        pending = {}
        for number, item in enumerate(items):
            entry, fingerprint = plan.probes[item.probe], probes[item.probe].fingerprint
            sent = (item, entry, fingerprint, os.fspath(store.root), code_version())
            pending[task.remote(*sent)] = number
        while pending:
            check()
            done, _ = ray.wait(list(pending), num_returns=1, timeout=POLL)
            for reference in done:
                number = pending.pop(reference)
                yield number, _row(ray, reference, items[number], probes)
    finally:
        if started:
            ray.shutdown()


def run_remotely(item: WorkItem, entry: ProbeEntry, fingerprint: str, root: str, code: str) -> Row:
    """What a task does, in a worker.

    A worker whose code or probe set differs from those of the machine that planned the sweep would
    store what the sweep does not look for: it refuses, as a failed row that says so.
    """
    row = Row(item.model, item.recipe.name, fingerprint, "failed", None)
    where = f"worker on {platform.node()}"
    if code_version() != code:
        return row._replace(
            reason=f"{where} has other code ({code_version()}) than the sweep ({code}); install "
            "the same version everywhere"
        )
    try:
        probe = _probe(entry)
    except DeparaError as error:
        return row._replace(reason=f"{where} cannot read the probe set: {error}")
    if probe.fingerprint != fingerprint:
        return row._replace(
            reason=f"{where} has another probe set under {entry.source!r} "
            f"({probe.fingerprint[:12]}) than the sweep ({fingerprint[:12]}); give it the same "
            "files"
        )
    try:
        placement = placement_for(item)
    except DeparaError as error:
        return row._replace(reason=f"{where}: {error}")
    return compute_item(item, probe, Store(root), placement=placement)


_probe = functools.cache(open_probe)  # a worker runs many items on one probe set


def _connect(plan: Plan) -> tuple[Any, bool]:
    """Ray, connected, and whether it was this call that connected it."""
    # Ray's first start would write a token into the home folder.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # Tasks that ask for no GPU may still see one: JAX decides which device it uses.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        message = "--engine ray: Ray is not installed; pip install 'depara-jax[ray]'"
        raise DeparaError(message) from error
    if ray.is_initialized():
        return ray, False
    address = dict(plan.ray).get("address", "local")
    more: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, **more)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"--engine ray: cannot reach a cluster at {address!r} ({reason})"
        raise DeparaError(message) from error
    return ray, True


def _check_resources(ray: Any, options: dict[str, Any]) -> None:
    """Refuses tasks that no machine could ever run; Ray would wait for one."""
    wanted = {"CPU": options.get("num_cpus", 1), "GPU": options.get("num_gpus", 0)}
    wanted |= options.get("resources", {})
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(m.get(k, 0) >= v for k, v in wanted.items()) for m in machines):
        has = "; ".join(
            ", ".join(f"{k} {v:g}" for k, v in m.items() if k in {"CPU", "GPU", *wanted})
            for m in machines
        )
        asked = ", ".join(f"{k} {v:g}" for k, v in wanted.items() if v)
        raise DeparaError(
            f"--engine ray: a task asks for {asked}, and no machine of the cluster has that "
            f"({has}); change [ray] in the plan"
        )


def _row(ray: Any, reference: Any, item: WorkItem, probes: Sequence[Probe]) -> Row:
    """A task's row; a failed one if its worker died as often as the plan allows."""
    row = Row(item.model, item.recipe.name, probes[item.probe].fingerprint, "failed", None)
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, StoreError):
            raise StoreError(str(cause)) from error
        return row._replace(reason=f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}")
    except ray.exceptions.OutOfMemoryError:
        return row._replace(reason="out of memory: Ray ended the worker; ask for more in [ray]")
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[:200]
        return row._replace(reason=f"its worker died, again and again ({text})")
