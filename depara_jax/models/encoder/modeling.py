"""Encoders of the packaged zoo in Flax NNX: stem, blocks, and a final compact map.

No normalisation layer: the branches' last kernels are scaled at initialisation instead (as Fixup
does, Zhang et al., ICLR 2019), so inference has no statistics to freeze and row k of every layer
depends on image k alone.
"""

import math
from typing import Any

import jax
from flax import nnx

from depara_jax.models.encoder.config import EncoderConfig

__all__ = ["Encoder"]


def _conv(n_in: int, n_out: int, rngs: nnx.Rngs, *, size=3, stride=1, scale=1.0, groups=1):
    # He et al., 2015, times `scale`; the fan-in of a grouped convolution counts its own group only.
    fan_in = size * size * n_in // groups
    init = nnx.initializers.normal(stddev=scale * math.sqrt(2.0 / fan_in))
    return nnx.Conv(
        n_in,
        n_out,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding="SAME",
        feature_group_count=groups,
        kernel_init=init,
        rngs=rngs,
    )


class _Separable(nnx.Module):
    """Depthwise 3x3, then pointwise 1x1: [n, h, w, n_in] -> [n, h/stride, w/stride, n_out]."""

    def __init__(self, n_in: int, n_out: int, rngs: nnx.Rngs, *, stride=1, scale=1.0):
        # Nothing rectifies between the two, so the depthwise half has gain 1, not 2.
        depth_scale = math.sqrt(0.5)
        self.depthwise = _conv(n_in, n_in, rngs, stride=stride, groups=n_in, scale=depth_scale)
        self.pointwise = _conv(n_in, n_out, rngs, size=1, scale=scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.pointwise(self.depthwise(x))


class Block(nnx.Module):
    """Two 3x3 convolutions with a ReLU between; with a shortcut unless the encoder is plain."""

    def __init__(self, n_in: int, n_out: int, stride: int, config: EncoderConfig, rngs: nnx.Rngs):
        residual = config.block != "plain"
        conv = _Separable if config.block == "separable" else _conv
        # The sum over all shortcuts then grows by a constant factor, whatever the depth.
        scale = 1.0 / math.sqrt(len(config.widths)) if residual else 1.0
        self.conv1 = conv(n_in, n_out, rngs, stride=stride)
        self.conv2 = conv(n_out, n_out, rngs, scale=scale)
        changes = residual and (stride != 1 or n_in != n_out)
        gain1 = math.sqrt(0.5)
        self.shortcut = (
            _conv(n_in, n_out, rngs, size=1, stride=stride, scale=gain1) if changes else None
        )
        self.residual = residual

    def __call__(self, x: jax.Array) -> jax.Array:
        """Output before the block's last ReLU."""
        branch = self.conv2(jax.nn.relu(self.conv1(x)))
        if not self.residual:
            return branch
        return branch + (x if self.shortcut is None else self.shortcut(x))


class Encoder(nnx.Module):
    """Stem, blocks and a 3x3 convolution to `config.features` channels.

    `encoder(images[n, h, w, channels_in])` returns {layer: [n, h', w', channels]}, shallow to
    deep: for each stage its value before the ReLU (`block1.pre`) and after it (`block1`).
    """

    def __init__(self, config: EncoderConfig, rngs: nnx.Rngs):
        widths = config.widths
        self.config = config
        self.stem = _conv(config.channels_in, widths[0], rngs, stride=config.stem_stride)
        inputs = (widths[0], *widths[:-1])
        self.blocks = nnx.List(
            [
                Block(n_in, n_out, stride, config, rngs)
                for n_in, n_out, stride in zip(inputs, widths, config.strides, strict=True)
            ]
        )
        self.head = _conv(widths[-1], config.features, rngs)

    @staticmethod
    def draw(config: EncoderConfig, key: jax.Array) -> Any:
        """Fresh variables of the modules' own spread; traceable, so that keys can be vmapped."""
        return nnx.split(Encoder(config, nnx.Rngs(key)))[1]

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer."""
        out: dict[str, jax.Array] = {}
        x = images
        stages = zip(self.config.stages, (self.stem, *self.blocks, self.head), strict=True)
        for stage, module in stages:
            x = module(x)
            if stage == "encoder" and self.config.output_activation == "linear":
                out[stage] = x
            else:
                out[f"{stage}.pre"] = x
                x = out[stage] = jax.nn.relu(x)
        return out
