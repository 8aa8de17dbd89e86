"""Attribution of all layers of VGG-19-BN against PyTorch: one JSON line.

    python -m experiments.benchmarks.attribution [--images 4 --size 224]

19 layers (the outputs of all layers with weights), gradient x input of ||F||^2, random weights.
Peers: the published procedure, and one PyTorch graph without weight gradients. All three run in
turns in one process on the same images; compilation is reported apart. The floor is what the
convolutions and matrix products of our program take when each runs alone in XLA.
"""

import sys
from functools import partial
from typing import Any

from experiments.benchmarks.common import ratio, script
from experiments.benchmarks.engine import engine_line, inputs, torch_inputs

QUICK = {"size": 32, "images": 2, "width": 1 / 16}


def measure(
    images: int = 4, size: int = 224, width: float = 1.0, repeats: int = 3, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    options = {"images": images, "size": size, "width": width}
    turns = lambda name: max(1, repeats - 1) if name == "published" else repeats  # noqa: E731
    times, figures = engine_line(ours, torch_peers, options, turns, quick=quick)
    return {
        "benchmark": "attribution",
        "network": "vgg19_bn",
        "images": images,
        "size": size,
        "layers": len(_network(width)[1]),
        "ratio_vs_published": ratio(times, "published"),
        "ratio_vs_pytorch": ratio(times, "pytorch"),
        **figures,
    }


def _network(width: float) -> tuple[Any, tuple[str, ...]]:
    from depara_jax.models.vgg import VGGConfig

    config = VGGConfig(19, num_classes=1000, width=width)
    return config, dict(config.points)["conv"]


def ours(images: int, size: int, width: float) -> tuple[Any, Any, Any]:
    """(the program, its variables, the images)."""
    import jax.numpy as jnp

    from depara_jax.attribution import attribute
    from depara_jax.models.port import PureForward, convert
    from depara_jax.models.vgg import VGG, schemes
    from depara_jax.recipe import RECIPES
    from experiments.benchmarks.peers.vgg_state import random_state

    config, layers = _network(width)
    run, recipe = PureForward(VGG, config), RECIPES["paper"]

    def program(variables: Any, x: Any) -> Any:
        return attribute(run, variables, x, layers, recipe)[1]

    variables = convert(VGG, config, schemes(config), random_state(config, seed=0))
    return program, variables, jnp.asarray(inputs(images, size))


def torch_peers(images: int, size: int, width: float) -> dict[str, Any]:
    """{name: call} of both procedures in PyTorch, on the same weights and images."""
    x = torch_inputs(images, size)
    from experiments.benchmarks.peers import torch_attribution, torch_vgg
    from experiments.benchmarks.peers.vgg_state import random_state

    config, layers = _network(width)
    network = torch_vgg.build(config, random_state(config, seed=0))
    arguments = (partial(torch_vgg.outputs, network), list(network.parameters()), x, layers)
    return {
        "pytorch": partial(torch_attribution.one_graph, *arguments),
        "published": partial(torch_attribution.published, *arguments),
    }


main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
