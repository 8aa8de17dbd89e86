"""MobileNetV1 in Flax NNX, inference mode, images [n, h, w, 3]."""

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.mobilenet_v1.config import MobileNetV1Config
from depara_jax.models.port import check_images

__all__ = ["MobileNetV1"]

_ACTIVATIONS = {"relu": jax.nn.relu, "relu6": jax.nn.relu6}


class Separable(nnx.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(
        self, n_in: int, n_out: int, stride: int, config: MobileNetV1Config, rngs: nnx.Rngs
    ):
        rest = config.conv_norm
        self.depthwise = ConvNorm(n_in, n_in, rngs, size=3, stride=stride, depthwise=True, **rest)
        self.pointwise = ConvNorm(n_in, n_out, rngs, **rest)
        self.act = _ACTIVATIONS[config.activation]

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Between the convolutions, the second, its normalisation, and the output."""
        between = self.act(self.depthwise(x)[1])
        conv, norm = self.pointwise(between)
        return between, conv, norm, self.act(norm)


class MobileNetV1(nnx.Module):
    """Howard et al., "MobileNets", 2017; any image size works."""

    def __init__(self, config: MobileNetV1Config, rngs: nnx.Rngs):
        self.config = config
        rest = config.conv_norm
        self.stem = ConvNorm(3, config.stem_width, rngs, size=3, stride=2, **rest)
        self.blocks = nnx.List([Separable(*shape, config, rngs) for shape in config.blocks])
        width, classes = config.blocks[-1][1], config.num_classes
        self.classifier = None if classes is None else nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        config = self.config
        check_images(images, config.architecture)
        x = images
        if config.padded_stem:
            x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        conv, norm = self.stem(x)
        x = _ACTIVATIONS[config.activation](norm)
        out = config.outputs("stem", conv, norm, x)
        for k, block in enumerate(self.blocks):
            out[f"blocks.{k}.depthwise"], conv, norm, x = block(x)
            out |= config.outputs(f"blocks.{k}", conv, norm, x)
        out["avgpool"] = x.mean(axis=(1, 2))
        if self.classifier is not None:
            out["classifier"] = self.classifier(out["avgpool"])
        return out
