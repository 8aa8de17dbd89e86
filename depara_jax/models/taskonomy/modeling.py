"""Taskonomy's encoder in Flax NNX: ResNet-50 v1 of stride 16, then eight channels.

"Taskonomy: Disentangling Task Transfer Learning" (Zamir et al., CVPR 2018) trains one encoder per
task: TF-slim's `resnet_v1_50` whose last downsampling is left out, and a 3x3 convolution to 8
channels with batch normalisation and ReLU, so that 256x256 images become 16x16x8. As in TF-slim the
stride of a block sits in its LAST unit (in the 3x3 convolution, with a subsampled shortcut), not in
the first as in torchvision; blocks 1 and 2 have one, blocks 3 and 4 do not.
"""

import jax
from flax import nnx

from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.layers.pooling import max_pool
from depara_jax.models.resnet.config import EXPANSION
from depara_jax.models.resnet.modeling import Unit
from depara_jax.models.taskonomy.config import TaskonomyConfig

__all__ = ["TaskonomyEncoder"]


class TaskonomyEncoder(nnx.Module):
    """The encoder; `encoder(images[n, h, w, channels_in])` returns {layer: [n, h', w', c]}.

    Any image size works; the output has a sixteenth of it, rounded up. Max-pooling pads as
    TensorFlow's "SAME" does, with which the networks were trained. At 256 pixels, and wherever
    half the size (rounded up) is even, the PyTorch port computes the same; elsewhere it pads
    differently.
    """

    def __init__(self, config: TaskonomyConfig, rngs: nnx.Rngs):
        self.config = config
        self.stem = ConvNorm(config.channels_in, config.stem_width, rngs, size=7, stride=2)
        n_in = config.stem_width
        blocks = []
        for width, units, stride in zip(config.widths, config.units, config.strides, strict=True):
            block = []
            for unit in range(units):
                step, changes = stride if unit == units - 1 else 1, n_in != EXPANSION * width
                block.append(Unit(n_in, width, step, rngs, bottleneck=True, projects=changes))
                n_in = EXPANSION * width
            blocks.append(nnx.List(block))
        self.blocks = nnx.List(blocks)
        self.compress = ConvNorm(n_in, config.features, rngs, size=3)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep."""
        conv, norm = self.stem(images)
        x = jax.nn.relu(norm)
        out = self.config.outputs("stem", conv, norm, x)
        x = out["pool"] = max_pool(x, 3, stride=2, padding="same")
        for b, block in enumerate(self.blocks, start=1):
            for u, unit in enumerate(block, start=1):
                conv, norm, x = unit(x)
                out |= self.config.outputs(f"block{b}.unit{u}", conv, norm, x)
        conv, norm = self.compress(x)
        return out | self.config.outputs("compress", conv, norm, jax.nn.relu(norm))
