"""Attribution of all layers of VGG-19-BN against PyTorch: one JSON line.

    python -m experiments.benchmarks.attribution [--images 4 --size 224]

19 layers (the outputs of all layers with weights), gradient x input of ||F||^2, random weights.
Peers: the published procedure, and one PyTorch graph without weight gradients. All three run in
turns in one process on the same images; compilation is reported apart. The floor is what the
convolutions and matrix products of our program take when each runs alone in XLA.
"""

import argparse
import json
import os
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks.common import (
    compiled_program,
    engine_figures,
    interleaved,
    peak_mb,
    ratio,
)

QUICK = {"size": 32, "images": 2, "width": 1 / 16}


def main(argv: list[str] | None = None) -> int:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=float, default=1.0, help="of the network's layers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK}")
    args = parser.parse_args(argv)
    if args.quick:
        vars(args).update(QUICK)
    print(json.dumps(measure(args.images, args.size, args.width, args.repeats, args.quick)))
    return 0


def measure(
    images: int, size: int, width: float, repeats: int, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    import jax

    run, variables, x, layers = ours(images, size, width)
    compiled, compile_s = compiled_program(run, variables, x)
    calls = {"ours": lambda: jax.block_until_ready(compiled(variables, x))}
    try:
        peers = torch_peers(images, size, width, layers)
    except ImportError:
        peers = {}
    counts = {"ours": repeats, "pytorch": repeats, "published": max(1, repeats - 1)}
    times = interleaved(calls | peers, counts)
    return {
        "benchmark": "attribution",
        "network": "vgg19_bn",
        "images": images,
        "size": size,
        "layers": len(layers),
        "ratio_vs_published": ratio(times, "published"),
        "ratio_vs_pytorch": ratio(times, "pytorch"),
        "compile_s": round(compile_s, 2),
        "peak_mb": None if quick else peak_mb(work, images, size, width),
        "largest_difference": largest_difference(compiled(variables, x), peers, layers),
        **engine_figures(run, (variables, x), compiled, times, images),
    }


def inputs(images: int, size: int) -> np.ndarray:
    """Seeded images [n, size, size, 3]."""
    return np.random.default_rng(0).normal(size=(images, size, size, 3)).astype(np.float32)


def ours(images: int, size: int, width: float) -> tuple[Any, Any, Any, tuple[str, ...]]:
    """(the program, its variables, the images, the layers)."""
    import jax.numpy as jnp

    from depara_jax.attribution import attribute
    from depara_jax.models.port import PureForward, convert
    from depara_jax.models.vgg import VGG, VGGConfig, schemes
    from depara_jax.recipe import RECIPES
    from tests.references.vgg_state import random_state

    config = VGGConfig(19, num_classes=1000, width=width)
    layers = dict(config.points)["conv"]
    recipe = RECIPES["paper"]
    run = PureForward(VGG, config)

    def program(variables: Any, x: Any) -> Any:
        return attribute(run, variables, x, layers, recipe)[1]

    variables = convert(VGG, config, schemes(config), random_state(config, seed=0))
    return program, variables, jnp.asarray(inputs(images, size)), layers


def work(images: int, size: int, width: float) -> None:
    """Our side alone, for its memory."""
    import jax

    run, variables, x, _ = ours(images, size, width)
    jax.block_until_ready(jax.jit(run)(variables, x))


def torch_peers(images: int, size: int, width: float, layers: tuple[str, ...]) -> dict[str, Any]:
    """{name: call} of both procedures in PyTorch, on the same weights and images."""
    import torch

    from depara_jax.models.vgg import VGGConfig
    from experiments.benchmarks.peers import torch_attribution
    from tests.references import torch_vgg
    from tests.references.vgg_state import random_state

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as XLA does
    config = VGGConfig(19, num_classes=1000, width=width)
    network = torch_vgg.build(config, random_state(config, seed=0))
    x = np.ascontiguousarray(np.moveaxis(inputs(images, size), -1, 1))
    arguments = (partial(torch_vgg.outputs, network), list(network.parameters()), x, layers)
    return {
        "pytorch": partial(torch_attribution.one_graph, *arguments),
        "published": partial(torch_attribution.published, *arguments),
    }


def largest_difference(
    maps: dict[str, Any], peers: dict[str, Any], layers: tuple[str, ...]
) -> float | None:
    """Over layers: length of the difference from PyTorch's maps over their length."""
    if not peers:
        return None
    theirs = peers["pytorch"]()
    found = []
    for layer in layers:
        want = np.moveaxis(theirs[layer], 1, -1)
        found.append(np.linalg.norm(np.asarray(maps[layer]) - want) / np.linalg.norm(want))
    return float(f"{max(found):.2e}")


if __name__ == "__main__":
    raise SystemExit(main())
