"""MobileNetV1 in Flax NNX, inference mode, images [n, h, w, 3]."""

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.mobilenet_v1.config import MobileNetV1Config
from depara_jax.models.port import check_images

__all__ = ["MobileNetV1"]


class Separable(nnx.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(
        self, n_in: int, n_out: int, stride: int, config: MobileNetV1Config, rngs: nnx.Rngs
    ):
        rest: dict = {
            "padding": config.padding,
            "epsilon": config.epsilon,
            "folded": config.folded,
        }
        self.depthwise = ConvNorm(n_in, n_in, rngs, size=3, stride=stride, depthwise=True, **rest)
        self.pointwise = ConvNorm(n_in, n_out, rngs, **rest)
        self.rectified = config.activation == "relu"

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Between the convolutions, the second, its normalisation, and the output."""
        act = jax.nn.relu if self.rectified else jax.nn.relu6
        between = act(self.depthwise(x)[1])
        conv, norm = self.pointwise(between)
        return between, conv, norm, act(norm)


class MobileNetV1(nnx.Module):
    """Howard et al., "MobileNets", 2017; any image size works."""

    def __init__(self, config: MobileNetV1Config, rngs: nnx.Rngs):
        self.config = config
        rest: dict = {
            "padding": config.padding,
            "epsilon": config.epsilon,
            "folded": config.folded,
        }
        self.stem = ConvNorm(3, config.stem_width, rngs, size=3, stride=2, **rest)
        self.blocks = nnx.List([Separable(*shape, config, rngs) for shape in config.blocks])
        width, classes = config.blocks[-1][1], config.num_classes
        self.classifier = None if classes is None else nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        check_images(images, self.config.architecture)
        out: dict[str, jax.Array] = {}

        def keep(name: str, conv: jax.Array, norm: jax.Array, x: jax.Array) -> jax.Array:
            out[f"{name}.conv"] = conv
            if not self.config.folded:
                out[f"{name}.norm"] = norm
            out[name] = x
            return x

        x = images
        if self.config.padded_stem:
            x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        conv, norm = self.stem(x)
        act = jax.nn.relu if self.config.activation == "relu" else jax.nn.relu6
        x = keep("stem", conv, norm, act(norm))
        for k, block in enumerate(self.blocks):
            out[f"blocks.{k}.depthwise"], conv, norm, x = block(x)
            keep(f"blocks.{k}", conv, norm, x)
        out["avgpool"] = x.mean(axis=(1, 2))
        if self.classifier is not None:
            out["classifier"] = self.classifier(out["avgpool"])
        return out
