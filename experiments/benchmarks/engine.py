"""The attribution engine against PyTorch: what its two benchmarks measure in the same way."""

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks.common import interleaved, machine, peak_mb, timed
from experiments.benchmarks.machine import copy_rate, matmul_rate, product_floor

__all__ = ["engine_line", "inputs", "torch_inputs"]


def inputs(images: int, size: int) -> np.ndarray:
    """Seeded images [n, size, size, 3]."""
    return np.random.default_rng(0).normal(size=(images, size, size, 3)).astype(np.float32)


def torch_inputs(images: int, size: int) -> np.ndarray:
    """The same [n, 3, size, size]; PyTorch gets as many threads as XLA has."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return np.ascontiguousarray(np.moveaxis(inputs(images, size), -1, 1))


def engine_line(
    ours: Callable[..., tuple[Any, Any, Any]],
    peers: Callable[..., Mapping[str, Callable[[], dict[str, Any]]]],
    options: Mapping[str, Any],
    repeats: Callable[[str], int],
    *,
    quick: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides in turns in one process on the same images, compilation apart.

    Args:
      ours: of the options, gives (program, variables, images); the program maps the last two to
        {layer: [n, h, w, c]}.
      peers: of the options, gives {name: call}, each call {layer: [n, c, h, w]} in PyTorch; where
        that is not installed there are none.
      options: images, size and what else the sides depend on.
      repeats: of a side by its name.
      quick: leave out the peak of a process of its own.

    Returns:
      Seconds by side, and what a line says of our side: floor and rates included.
    """
    import jax

    program, *args = ours(**options)
    compiled, _, compile_s = timed(lambda: jax.jit(program).lower(*args).compile())
    calls: dict[str, Any] = {"ours": lambda: jax.block_until_ready(compiled(*args))}
    with contextlib.suppress(ImportError):
        calls |= peers(**options)
    times = interleaved(calls, {name: repeats(name) for name in calls})
    floor, mine = product_floor(program, *args), times["ours"]
    clock = "cpu_best_s" if jax.default_backend() == "cpu" else "best_s"
    return times, {
        "compile_s": round(compile_s, 2),
        "peak_mb": None if quick else peak_mb(_alone, ours, dict(options)),
        "largest_difference": _difference(compiled(*args), calls),
        "images_per_s": round(options["images"] / mine["median_s"], 3),
        "floor_share": round(floor["floor_s"] / mine[clock], 3),
        # What the program needs beside arguments and results, as XLA plans it.
        "temporary_mb": round(compiled.memory_analysis().temp_size_in_bytes / 1e6, 1),
        "gflop": round(floor["gflop"], 3),
        "gflop_per_s": round(floor["gflop"] / mine["best_s"], 1),
        "floor_s": round(floor["floor_s"], 4),
        "matmul_gflop_per_s": round(matmul_rate(), 1),
        "copy_gb_per_s": round(copy_rate(), 1),
        "seconds": times,
        **machine(),
        "load_after": round(os.getloadavg()[0], 2),
    }


def _alone(ours: Callable[..., tuple[Any, Any, Any]], options: dict[str, Any]) -> None:
    """Our side alone, for its memory."""
    import jax

    program, *args = ours(**options)
    jax.block_until_ready(jax.jit(program)(*args))


def _difference(maps: dict[str, Any], calls: Mapping[str, Any]) -> float | None:
    """Over layers: length of the difference from PyTorch's maps over their length."""
    if "pytorch" not in calls:
        return None
    found = []
    for layer, values in calls["pytorch"]().items():
        want = np.moveaxis(np.asarray(values), 1, -1)
        found.append(np.linalg.norm(np.asarray(maps[layer]) - want) / np.linalg.norm(want))
    return float(f"{max(found):.2e}")
