"""Makes vgg_narrow.npz with PyTorch; run from the root: python -m tests.golden.make_vgg_narrow.

For each case an array [layer, quantity, image, 34]: the quantities are the features and the input
gradients of their sum and of their length, each as `vgg_state.digest` condenses it.
"""

from pathlib import Path

import numpy as np
import torch

from experiments.benchmarks.peers import torch_vgg
from tests.golden.vgg_narrow_cases import CASES
from tests.references import torch_parity
from tests.references.vgg_state import digest, random_images, random_state


def condensed(config, size):
    """Every layer's features and gradients, by PyTorch."""
    images = torch_parity.to_torch(random_images(2, size, seed=1)).requires_grad_()
    outputs = torch_vgg.outputs(torch_vgg.build(config, random_state(config, seed=0)), images)
    rows = []
    for features in outputs.values():
        values = [torch_parity.to_numpy(features)]
        for target in ("sum", "l2"):
            scalar = torch_parity.TARGETS[target](features).sum()
            (gradient,) = torch.autograd.grad(scalar, images, retain_graph=True)
            values.append(torch_parity.to_numpy(gradient))
        rows.append([[digest(image) for image in value] for value in values])
    return np.asarray(rows, np.float32)


if __name__ == "__main__":
    stored = {name: condensed(*case) for name, case in CASES.items()}
    np.savez_compressed(Path(__file__).with_name("vgg_narrow.npz"), **stored)
