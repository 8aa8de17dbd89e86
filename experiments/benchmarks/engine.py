"""The attribution engine against PyTorch: what its two benchmarks measure in the same way."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.attribution import attribute
from depara_jax.models.port import PureForward, convert, random_variables
from depara_jax.recipe import RECIPES
from experiments.benchmarks.common import interleaved, machine, peak_mb, ratio, timed
from experiments.benchmarks.machine import copy_rate, matmul_rate, product_floor


class Network(NamedTuple):
    """A port and its peers.

    Attributes:
      kind: its NNX class.
      config: of it.
      schemes: of its weights' names.
      layers: what is attributed.
      torch: gives random weights by name, the parameters that a procedure may ask gradients of, and
        {side: (procedure of `peers.torch_attribution`, {layer: output} of images)}.
    """

    kind: Any
    config: Any
    schemes: Any
    layers: tuple[str, ...]
    torch: Callable[[], tuple[Mapping[str, Any], Sequence[Any], dict[str, tuple[Any, Any]]]]


def engine_line(
    name: str,
    network: Callable[[], Network],
    images: int,
    size: int,
    repeats: Mapping[str, int],
    *,
    quick: bool,
) -> dict[str, Any]:
    """Both sides in turns in one process on the same images, compilation apart.

    Args:
      name: of the benchmark.
      network: gives the network, in this process or another.
      images: how many.
      size: pixels of their sides.
      repeats: of each side; without PyTorch, or such a peer, its ratio is null.
      quick: leave out the peak of a process of its own.

    Returns:
      The line: seconds by side, ratios, and of our side the floor and rates.
    """
    program, *args = _ours(network(), images, size)
    compiled, _, compile_s = timed(lambda: jax.jit(program).lower(*args).compile())
    calls: dict[str, Any] = {"ours": lambda: jax.block_until_ready(compiled(*args))}
    with contextlib.suppress(ImportError):
        calls |= _peers(network(), np.asarray(args[1]))
    times = interleaved(calls, {side: repeats[side] for side in calls})
    floor, mine = product_floor(program, *args), times["ours"]
    clock = "cpu_best_s" if jax.default_backend() == "cpu" else "best_s"
    return {
        "benchmark": name,
        "images": images,
        "size": size,
        **{f"ratio_vs_{side}": ratio(times, side) for side in repeats if side != "ours"},
        "compile_s": round(compile_s, 2),
        "peak_mb": None if quick else peak_mb(_alone, network, images, size),
        "largest_difference": _difference(compiled(*args), calls),
        "images_per_s": round(images / mine["median_s"], 3),
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


def _ours(network: Network, images: int, size: int) -> tuple[Any, Any, Any]:
    """(the program, its variables, seeded images [n, size, size, 3])."""
    kind, config = network.kind, network.config
    run, recipe = PureForward(kind, config), RECIPES["paper"]

    def program(variables: Any, x: Any) -> Any:
        return attribute(run, variables, x, network.layers, recipe)[1]

    try:  # so that both sides compute the same
        tensors = {name: np.asarray(value) for name, value in network.torch()[0].items()}
        variables = convert(kind, config, network.schemes, tensors)
    except ImportError:
        variables = random_variables(kind, config, jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(images, size, size, 3))
    return program, variables, jnp.asarray(x, jnp.float32)


def _peers(network: Network, images: np.ndarray) -> dict[str, Any]:
    """PyTorch gets as many threads as XLA has."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    _, parameters, sides = network.torch()
    return {
        side: partial(procedure, outputs, parameters, x, network.layers)
        for side, (procedure, outputs) in sides.items()
    }


def _alone(network: Callable[[], Network], images: int, size: int) -> None:
    """Our side alone, for its memory."""
    program, *args = _ours(network(), images, size)
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
