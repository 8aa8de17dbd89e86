"""Attribution of one layer of the Taskonomy encoder against PyTorch: one JSON line.

    python -m experiments.benchmarks.encoder [--images 8 --size 256 --compile]

The ResNet-50 encoder with random weights, gradient x input of ||F||^2 of its compressed output.
Peers: PyTorch eager and, with --compile, torch.compile (it needs a C++ compiler). All run in turns
in one process on the same images; compilation is reported apart. The floor is what the convolutions
and matrix products of our program take when each runs alone in XLA.
"""

import sys
from functools import partial
from typing import Any

from depara_jax.models.taskonomy import TaskonomyConfig, TaskonomyEncoder, schemes
from experiments.benchmarks.common import script
from experiments.benchmarks.engine import Network, engine_line

LAYER = "compress"
QUICK = {"size": 64, "images": 2, "repeats": 1}


def measure(
    images: int = 8, size: int = 256, repeats: int = 5, compile: bool = False, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    turns = {"ours": repeats, "pytorch": repeats, "torch_compile": repeats}
    line = engine_line("encoder", partial(network, compile), images, size, turns, quick=quick)
    compile_s = line["seconds"].get("torch_compile", {}).get("first_s")
    return {**line, "network": "taskonomy", "torch_compile_s": compile_s}


def network(compile: bool) -> Network:
    """The network, and its layer's map in PyTorch."""
    config = TaskonomyConfig()

    def torch() -> Any:
        from torch import compile as compiled

        from experiments.benchmarks.peers import torch_attribution, torch_taskonomy

        state = torch_taskonomy.random_state(config, seed=0)

        def outputs(x: Any) -> dict[str, Any]:
            return {LAYER: torch_taskonomy.encoder(state, config, x)[LAYER]}

        calls = {"pytorch": (torch_attribution.one_graph, outputs)}
        if compile:
            calls["torch_compile"] = (torch_attribution.one_graph, compiled(outputs))
        return state, (), calls

    return Network(TaskonomyEncoder, config, schemes(config), (LAYER,), torch)


main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
