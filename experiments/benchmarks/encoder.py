"""Attribution of one layer of the Taskonomy encoder against PyTorch: one JSON line.

    python -m experiments.benchmarks.encoder [--images 8 --size 256 --compile]

The ResNet-50 encoder with random weights, gradient x input of ||F||^2 of its compressed output.
Peers: PyTorch eager and, with --compile, torch.compile (it needs a C++ compiler). All run in turns
in one process on the same images; compilation is reported apart. The floor is what the convolutions
and matrix products of our program take when each runs alone in XLA.
"""

import argparse
import json
import os
from typing import Any

import numpy as np

from experiments.benchmarks.attribution import inputs
from experiments.benchmarks.common import (
    compiled_program,
    engine_figures,
    interleaved,
    peak_mb,
    ratio,
)

LAYER = "compress"
QUICK = {"size": 64, "images": 2, "repeats": 1}


def main(argv: list[str] | None = None) -> int:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile as a third side")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK}")
    args = parser.parse_args(argv)
    if args.quick:
        vars(args).update(QUICK)
    print(json.dumps(measure(args.images, args.size, args.repeats, args.compile, args.quick)))
    return 0


def measure(
    images: int, size: int, repeats: int, compiled_too: bool, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    import jax

    program, variables, x = ours(images, size)
    compiled, compile_s = compiled_program(program, variables, x)
    calls: dict[str, Any] = {"ours": lambda: jax.block_until_ready(compiled(variables, x))}
    try:
        calls |= torch_peers(images, size, compiled_too)
    except ImportError:
        compiled_too = False
    times = interleaved(calls, dict.fromkeys(calls, repeats))
    return {
        "benchmark": "encoder",
        "network": "taskonomy",
        "images": images,
        "size": size,
        "ratio_vs_pytorch": ratio(times, "pytorch"),
        "ratio_vs_torch_compile": ratio(times, "torch_compile"),
        "compile_s": round(compile_s, 2),
        "torch_compile_s": times["torch_compile"]["first_s"] if compiled_too else None,
        "peak_mb": None if quick else peak_mb(work, images, size),
        "largest_difference": _difference(compiled(variables, x), calls),
        **engine_figures(program, (variables, x), compiled, times, images),
    }


def ours(images: int, size: int) -> tuple[Any, Any, Any]:
    """(the program, its variables, the images)."""
    import jax.numpy as jnp

    from depara_jax.attribution import attribute
    from depara_jax.models.port import PureForward
    from depara_jax.models.taskonomy import TaskonomyConfig, TaskonomyEncoder
    from depara_jax.recipe import RECIPES

    config = TaskonomyConfig()
    run, recipe = PureForward(TaskonomyEncoder, config), RECIPES["paper"]

    def program(variables: Any, x: Any) -> Any:
        return attribute(run, variables, x, (LAYER,), recipe)[1][LAYER]

    return program, _variables(config), jnp.asarray(inputs(images, size))


def _variables(config: Any) -> Any:
    """Of PyTorch's random weights, so that both compute the same; without PyTorch, our own."""
    import jax

    from depara_jax.models.port import convert, random_variables
    from depara_jax.models.taskonomy import TaskonomyEncoder, schemes

    try:
        from tests.references import torch_taskonomy
    except ImportError:
        return random_variables(TaskonomyEncoder, config, jax.random.key(0))
    state = torch_taskonomy.random_state(config, seed=0)
    tensors = {name: t.numpy() for name, t in state.items()}
    return convert(TaskonomyEncoder, config, schemes(config), tensors)


def work(images: int, size: int) -> None:
    """Our side alone, for its memory."""
    import jax

    program, variables, x = ours(images, size)
    jax.block_until_ready(jax.jit(program)(variables, x))


def torch_peers(images: int, size: int, compiled_too: bool) -> dict[str, Any]:
    """{name: call} in PyTorch, on the same weights and images."""
    import torch

    from depara_jax.models.taskonomy import TaskonomyConfig
    from experiments.benchmarks.peers.torch_attribution import one_layer
    from tests.references import torch_taskonomy

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as XLA does
    config = TaskonomyConfig()
    state = torch_taskonomy.random_state(config, seed=0)
    x = torch.as_tensor(np.ascontiguousarray(np.moveaxis(inputs(images, size), -1, 1)))

    def network(x: Any) -> Any:
        return torch_taskonomy.encoder(state, config, x)[LAYER]

    peers = {"pytorch": lambda: one_layer(network, x)}
    if compiled_too:
        faster = torch.compile(network)
        peers["torch_compile"] = lambda: one_layer(faster, x)
    return peers


def _difference(maps: Any, calls: dict[str, Any]) -> float | None:
    """Length of the difference from PyTorch's maps over their length."""
    if "pytorch" not in calls:
        return None
    want = np.moveaxis(calls["pytorch"]().numpy(), 1, -1)
    return float(f"{np.linalg.norm(np.asarray(maps) - want) / np.linalg.norm(want):.2e}")


if __name__ == "__main__":
    raise SystemExit(main())
