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

from depara_jax.models.vgg import VGG, VGGConfig, schemes
from experiments.benchmarks.common import script
from experiments.benchmarks.engine import Network, engine_line

QUICK = {"size": 32, "images": 2, "width": 1 / 16}


def measure(
    images: int = 4, size: int = 224, width: float = 1.0, repeats: int = 3, quick: bool = False
) -> dict[str, Any]:
    """The line's content; torch's part is null where PyTorch is not installed, peak where quick."""
    turns = {"ours": repeats, "published": max(1, repeats - 1), "pytorch": repeats}
    line = engine_line("attribution", partial(network, width), images, size, turns, quick=quick)
    return {**line, "network": "vgg19_bn", "layers": len(network(width).layers)}


def network(width: float) -> Network:
    """The network, and both procedures in PyTorch."""
    config = VGGConfig(19, num_classes=1000, width=width)
    layers = dict(config.points)["conv"]

    def torch() -> Any:
        from experiments.benchmarks.peers import torch_attribution, torch_vgg

        peer = torch_vgg.random_network(config, seed=0)
        outputs = partial(torch_vgg.outputs, peer)
        sides = {"pytorch": torch_attribution.one_graph, "published": torch_attribution.published}
        calls = {side: (procedure, outputs) for side, procedure in sides.items()}
        return peer.state_dict(), list(peer.parameters()), calls

    return Network(VGG, config, schemes(config), layers, torch)


main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
