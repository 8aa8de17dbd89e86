"""What this machine does at best, measured beside a benchmark: the floor under it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks.common import timed


def rates(size: int = 2048, megabytes: int = 64, repeats: int = 7) -> dict[str, float]:
    """Best of `repeats` by processor seconds, numpy: GFLOP/s, GB/s, million sorted values a second.

    Call it where OpenBLAS has one thread (`fresh_process(..., one_thread=True)`).
    """
    rng = np.random.default_rng(0)
    a = rng.standard_normal((size, size), np.float32)
    b = a.copy()
    product = np.empty_like(a)
    source = rng.standard_normal(megabytes << 18, np.float32)
    target = np.zeros_like(source)
    values = source[:500_000]
    quickest = lambda work: min(timed(work)[1] for _ in range(repeats))  # noqa: E731
    return {
        "matmul_gflops": round(2e-9 * size**3 / quickest(lambda: np.matmul(a, b, out=product)), 1),
        # A copy reads and writes; a floor that only reads counts a byte once.
        "copy_gb_s": round(2e-9 * source.nbytes / quickest(lambda: np.copyto(target, source)), 2),
        "sort_million_s": round(1e-6 * len(values) / quickest(lambda: np.sort(values)), 1),
    }


def best(call: Callable[[], Any], runs: int = 3) -> float:
    """Processor seconds on a CPU, where others may use it too; wall seconds elsewhere."""
    import jax

    clock = 1 if jax.default_backend() == "cpu" else 2
    waited = lambda: jax.block_until_ready(call())  # noqa: E731
    waited()
    return min(timed(waited)[clock] for _ in range(runs))


def matmul_rate(side: int = 2048) -> float:
    """GFLOP a second of a float32 matrix product in XLA."""
    import jax
    import jax.numpy as jnp

    a = jnp.asarray(np.random.default_rng(0).normal(size=(side, side)), jnp.float32)
    product = jax.jit(jnp.matmul)
    return 2 * side**3 / best(lambda: product(a, a)) / 1e9


def copy_rate(megabytes: int = 256) -> float:
    """GB a second of reading and writing in XLA, each byte counted twice."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones(megabytes * 2**18, jnp.float32)
    plus = jax.jit(lambda a: a + 1)
    return 2 * a.nbytes / best(lambda: plus(a)) / 1e9


def product_floor(function: Callable[..., Any], *args: Any) -> dict[str, float]:
    """What a program's convolutions and matrix products take when each runs alone.

    Args:
      function: traceable.
      *args: its arguments, or their shapes.

    Returns:
      {"floor_s": seconds of all of them, best of three each (processor seconds on a CPU),
      "gflop": their operations}.
    """
    import jax
    from jax.interpreters import partial_eval

    traced = jax.make_jaxpr(function)(*args).jaxpr
    # XLA leaves out what no result needs, so it is not part of the floor.
    needed, _ = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for eqn in _products(needed):
        shapes = tuple((v.aval.shape, v.aval.dtype.name) for v in eqn.invars)
        alike.setdefault((eqn.primitive.name, shapes, str(eqn.params)), []).append(eqn)
    rng = np.random.default_rng(0)
    seconds = flops = 0.0
    for eqn, *others in alike.values():
        arrays = [
            jax.numpy.asarray(rng.normal(size=v.aval.shape), v.aval.dtype) for v in eqn.invars
        ]
        run = jax.jit(lambda *xs, eqn=eqn: eqn.primitive.bind(*xs, **eqn.params))
        compiled = run.lower(*arrays).compile()
        count = 1 + len(others)
        seconds += count * best(lambda r=compiled, a=arrays: r(*a))
        flops += count * _operations(eqn)
    return {"floor_s": seconds, "gflop": flops / 1e9}


def _products(jaxpr: Any) -> list[Any]:
    found = []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("conv_general_dilated", "dot_general"):
            found.append(eqn)
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += _products(inner)
    return found


def _operations(eqn: Any) -> float:
    """A multiplication and an addition for each output entry and each entry that it sums over.

    Zeros that dilation or padding puts in are counted too, as a direct algorithm computes them.
    """
    left, right = (v.aval.shape for v in eqn.invars[:2])
    out = float(np.prod(eqn.outvars[0].aval.shape))
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * out * float(np.prod([left[axis] for axis in contracted]))
    outputs = right[eqn.params["dimension_numbers"].rhs_spec[0]]
    return 2 * out * float(np.prod(right)) / outputs
