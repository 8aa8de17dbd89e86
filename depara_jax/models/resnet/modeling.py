"""ResNet in Flax NNX, inference mode, images [n, h, w, 3].

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. ImageNet's networks as
torchvision has them (v1.5: a bottleneck's stride is in its 3x3 convolution), CIFAR's with the
shortcuts of option A: every second pixel, and zeros for the new channels, half on either side.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.layers.pooling import max_pool
from depara_jax.models.port import check_images
from depara_jax.models.resnet.config import EXPANSION, ResNetConfig

__all__ = ["ResNet"]


class Unit(nnx.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1, and a shortcut.

    [n, h, w, n_in] -> [n, h/stride, w/stride, n_out], with `EXPANSION` times the width in
    bottlenecks. `projects`: whether a shortcut to another shape has weights; `rest`: settings of
    all convolutions.
    """

    def __init__(
        self,
        n_in: int,
        width: int,
        stride: int,
        rngs: nnx.Rngs,
        *,
        bottleneck: bool,
        projects: bool,
        **rest: Any,
    ):
        self.stride = stride
        self.n_out = width * EXPANSION if bottleneck else width
        if bottleneck:
            self.conv1 = ConvNorm(n_in, width, rngs, **rest)
            self.conv2 = ConvNorm(width, width, rngs, size=3, stride=stride, **rest)
            self.conv3 = ConvNorm(width, self.n_out, rngs, **rest)
        else:
            self.conv1 = ConvNorm(n_in, width, rngs, size=3, stride=stride, **rest)
            self.conv2 = ConvNorm(width, width, rngs, size=3, **rest)
            self.conv3 = None
        projects = projects and (stride != 1 or n_in != self.n_out)
        self.shortcut = (
            ConvNorm(n_in, self.n_out, rngs, stride=stride, **rest) if projects else None
        )

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The last convolution, its normalisation, and the unit's output."""
        conv, norm = self.conv2(jax.nn.relu(self.conv1(x)[1]))
        if self.conv3 is not None:
            conv, norm = self.conv3(jax.nn.relu(norm))
        return conv, norm, jax.nn.relu(norm + self._kept(x))

    def _kept(self, x: jax.Array) -> jax.Array:
        if self.shortcut is not None:
            return self.shortcut(x)[1]
        x = x[:, :: self.stride, :: self.stride]
        new = self.n_out - x.shape[-1]
        return x if not new else jnp.pad(x, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))


class ResNet(nnx.Module):
    """The network; any image size works."""

    def __init__(self, config: ResNetConfig, rngs: nnx.Rngs):
        self.config = config
        n_in = config.widths[0]
        imagenet = config.family == "imagenet"
        self.stem = ConvNorm(
            3, n_in, rngs, size=7 if imagenet else 3, stride=2 if imagenet else 1,
            **config.conv_norm,
        )  # fmt: skip
        stages = []
        for b, (width, count) in enumerate(zip(config.widths, config.units, strict=True)):
            units = []
            for u in range(count):
                unit = Unit(
                    n_in, width, 2 if b and not u else 1, rngs, bottleneck=config.bottleneck,
                    projects=config.projects, **config.conv_norm,
                )  # fmt: skip
                units.append(unit)
                n_in = units[-1].n_out
            stages.append(nnx.List(units))
        self.stages = nnx.List(stages)
        self.fc = nnx.Linear(n_in, config.num_classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        config = self.config
        check_images(images, config.architecture)
        conv, norm = self.stem(images)
        x = jax.nn.relu(norm)
        out = config.outputs("stem", conv, norm, x)
        if config.stem_pool is not None:
            x = out[config.stem_pool] = max_pool(x, 3, stride=2, padding="torch")
        for b, units in enumerate(self.stages, start=1):
            for u, unit in enumerate(units):
                conv, norm, x = unit(x)
                out |= config.outputs(f"layer{b}.{u}", conv, norm, x)
        out["avgpool"] = x.mean(axis=(1, 2))
        out["fc"] = self.fc(out["avgpool"])
        return out
