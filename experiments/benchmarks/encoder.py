"""Attribution of one layer of the Taskonomy encoder against PyTorch: one JSON line.

    python -m experiments.benchmarks.encoder [--images 8 --size 256 --compile]

The ResNet-50 encoder with random weights, gradient x input of ||F||^2 of its compressed output.
Peers: PyTorch eager and, with --compile, torch.compile (it needs a C++ compiler). All run in turns
in one process on the same images; compilation is reported apart. The floor is what the convolutions
and matrix products of our program take when each runs alone in XLA.
"""

import sys
from typing import Any

from experiments.benchmarks.common import ratio, script
from experiments.benchmarks.engine import engine_line, inputs, torch_inputs

LAYER = "compress"
QUICK = {"size": 64, "images": 2, "repeats": 1}


def measure(
    images: int = 8, size: int = 256, repeats: int = 5, compile: bool = False, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    options = {"images": images, "size": size, "compile": compile}
    times, figures = engine_line(ours, torch_peers, options, lambda name: repeats, quick=quick)
    return {
        "benchmark": "encoder",
        "network": "taskonomy",
        "images": images,
        "size": size,
        "ratio_vs_pytorch": ratio(times, "pytorch"),
        "ratio_vs_torch_compile": ratio(times, "torch_compile"),
        "torch_compile_s": times.get("torch_compile", {}).get("first_s"),
        **figures,
    }


def ours(images: int, size: int, compile: bool) -> tuple[Any, Any, Any]:
    """(the program, its variables, the images)."""
    import jax.numpy as jnp

    from depara_jax.attribution import attribute
    from depara_jax.models.port import PureForward
    from depara_jax.models.taskonomy import TaskonomyConfig, TaskonomyEncoder
    from depara_jax.recipe import RECIPES

    config = TaskonomyConfig()
    run, recipe = PureForward(TaskonomyEncoder, config), RECIPES["paper"]

    def program(variables: Any, x: Any) -> Any:
        return attribute(run, variables, x, (LAYER,), recipe)[1]

    return program, _variables(config), jnp.asarray(inputs(images, size))


def _variables(config: Any) -> Any:
    """Of PyTorch's random weights, so that both compute the same; without PyTorch, our own."""
    import jax

    from depara_jax.models.port import convert, random_variables
    from depara_jax.models.taskonomy import TaskonomyEncoder, schemes

    try:
        from experiments.benchmarks.peers import torch_taskonomy
    except ImportError:
        return random_variables(TaskonomyEncoder, config, jax.random.key(0))
    state = torch_taskonomy.random_state(config, seed=0)
    tensors = {name: t.numpy() for name, t in state.items()}
    return convert(TaskonomyEncoder, config, schemes(config), tensors)


def torch_peers(images: int, size: int, compile: bool) -> dict[str, Any]:
    """{name: call} in PyTorch, on the same weights and images."""
    import torch

    from depara_jax.models.taskonomy import TaskonomyConfig
    from experiments.benchmarks.peers import torch_taskonomy
    from experiments.benchmarks.peers.torch_attribution import one_layer

    config = TaskonomyConfig()
    state = torch_taskonomy.random_state(config, seed=0)
    x = torch.as_tensor(torch_inputs(images, size))

    def network(x: Any) -> Any:
        return torch_taskonomy.encoder(state, config, x)[LAYER]

    peers = {"pytorch": lambda: {LAYER: one_layer(network, x)}}
    if compile:
        faster = torch.compile(network)
        peers["torch_compile"] = lambda: {LAYER: one_layer(faster, x)}
    return peers


main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
