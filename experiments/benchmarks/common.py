"""What the timing scripts share: interleaved medians, the machine's rates, floors, peak memory."""

import multiprocessing
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.machine import peak_mb as own_peak_mb

__all__ = [
    "compiled_program",
    "copy_rate",
    "engine_figures",
    "interleaved",
    "machine",
    "matmul_rate",
    "peak_mb",
    "product_floor",
    "ratio",
    "temporary_mb",
]


def interleaved(
    calls: Mapping[str, Callable[[], Any]], repeats: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Times calls in turns, so that other work on the machine disturbs all alike.

    Args:
      calls: each waits for its result.
      repeats: runs of each after a first one that is kept apart.

    Returns:
      For each: seconds of the first run, and median, best and worst of the others (wall), with
      processor seconds of the process beside them.
    """
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(1 + max(repeats.values())):
        for name, call in calls.items():
            if turn > repeats[name]:
                continue
            wall, processor = time.perf_counter(), time.process_time()
            call()
            rows[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: _summary(row) for name, row in rows.items()}


def _summary(row: list[tuple[float, float]]) -> dict[str, float]:
    walls, processors = zip(*(row[1:] or row), strict=True)
    return {
        "first_s": round(row[0][0], 4),
        "median_s": round(statistics.median(walls), 5),
        "best_s": round(min(walls), 5),
        "worst_s": round(max(walls), 5),
        "cpu_median_s": round(statistics.median(processors), 5),
        "cpu_best_s": round(min(processors), 5),
        "runs": len(walls),
    }


def ratio(times: Mapping[str, Mapping[str, float]], peer: str) -> dict[str, float] | None:
    """Peer's seconds over those of "ours": medians of wall time, and the least disturbed runs."""
    if peer not in times:
        return None
    return {
        "wall": round(times[peer]["median_s"] / times["ours"]["median_s"], 2),
        "cpu": round(times[peer]["cpu_best_s"] / times["ours"]["cpu_best_s"], 2),
    }


def machine() -> dict[str, Any]:
    """Processor or accelerator, cores, load and versions, as every line carries them."""
    import jax

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    found = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "numpy", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": names[0] if names else platform.processor(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "versions": found,
    }


def compiled_program(program: Any, *args: Any) -> tuple[Any, float]:
    """The compiled program and the seconds that it took to trace and compile."""
    import jax

    started = time.perf_counter()
    compiled = jax.jit(program).lower(*args).compile()
    return compiled, time.perf_counter() - started


def engine_figures(
    program: Any, args: Sequence[Any], compiled: Any, times: Mapping[str, Any], images: int
) -> dict[str, Any]:
    """What every benchmark of the attribution engine says of our side, floor and rates included."""
    import jax

    ours, floor = times["ours"], product_floor(program, *args)
    clock = "cpu_best_s" if jax.default_backend() == "cpu" else "best_s"
    return {
        "images_per_s": round(images / ours["median_s"], 3),
        "floor_share": round(floor["floor_s"] / ours[clock], 3),
        "temporary_mb": temporary_mb(compiled),
        "gflop": round(floor["gflop"], 3),
        "gflop_per_s": round(floor["gflop"] / ours["best_s"], 1),
        "floor_s": round(floor["floor_s"], 4),
        "matmul_gflop_per_s": round(matmul_rate(), 1),
        "copy_gb_per_s": round(copy_rate(), 1),
        "seconds": times,
        **machine(),
        "load_after": round(os.getloadavg()[0], 2),
    }


def _best(call: Callable[[], Any], runs: int = 3) -> float:
    """Processor seconds on a CPU, where others may use it too; wall seconds elsewhere."""
    import jax

    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    call()
    seconds = []
    for _ in range(runs):
        started = clock()
        call()
        seconds.append(clock() - started)
    return min(seconds)


def matmul_rate(side: int = 2048) -> float:
    """GFLOP a second of a float32 matrix product."""
    import jax
    import jax.numpy as jnp

    a = jnp.asarray(np.random.default_rng(0).normal(size=(side, side)), jnp.float32)
    product = jax.jit(jnp.matmul)
    return 2 * side**3 / _best(lambda: product(a, a).block_until_ready()) / 1e9


def copy_rate(megabytes: int = 256) -> float:
    """GB a second of reading and writing, each byte counted twice."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones(megabytes * 2**18, jnp.float32)
    plus = jax.jit(lambda a: a + 1)
    return 2 * a.nbytes / _best(lambda: plus(a).block_until_ready()) / 1e9


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
    counts: Counter[tuple[Any, ...]] = Counter()
    equations: dict[tuple[Any, ...], Any] = {}
    for eqn in _products(needed):
        shapes = tuple((v.aval.shape, v.aval.dtype.name) for v in eqn.invars)
        key = (eqn.primitive.name, shapes, str(eqn.params))
        counts[key] += 1
        equations[key] = eqn
    rng = np.random.default_rng(0)
    seconds = flops = 0.0
    for key, eqn in equations.items():
        arrays = [
            jax.numpy.asarray(rng.normal(size=v.aval.shape), v.aval.dtype) for v in eqn.invars
        ]
        run = jax.jit(lambda *xs, eqn=eqn: eqn.primitive.bind(*xs, **eqn.params))
        compiled = run.lower(*arrays).compile()
        seconds += counts[key] * _best(lambda r=compiled, a=arrays: jax.block_until_ready(r(*a)))
        flops += counts[key] * _operations(eqn)
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


def temporary_mb(compiled: Any) -> float:
    """What a compiled program needs beside arguments and results, as XLA plans it."""
    return round(compiled.memory_analysis().temp_size_in_bytes / 1e6, 1)


def peak_mb(work: Callable[..., Any], *args: Any) -> float:
    """Peak resident megabytes of a fresh process that does the work, imports too; Linux alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_after, (work, args))


def _peak_after(work: Callable[..., Any], args: tuple[Any, ...]) -> float:
    work(*args)
    return own_peak_mb()
