"""VGG in Flax NNX, image axes last but channels: [n, h, w, c].

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015; with batch normalisation and adaptive pooling as torchvision has them.
"""

import functools
import math
from typing import Any

import jax
from flax import nnx

from depara_jax.models.layers.pooling import adaptive_avg_pool, max_pool
from depara_jax.models.port import check_images, draw_variables
from depara_jax.models.vgg.config import Kind, VGGConfig

__all__ = ["VGG"]

_SMALLEST = 32  # five halvings leave one pixel
_BINS = 7  # per side, between features and classifier


def _max_pool(x: jax.Array) -> jax.Array:
    return max_pool(x, 2, stride=2)


def _feature_module(kind: Kind, n_in: int, n_out: int, rngs: nnx.Rngs) -> Any:
    if kind == "conv":
        return nnx.Conv(n_in, n_out, (3, 3), padding=1, rngs=rngs)
    if kind == "norm":
        return nnx.BatchNorm(n_out, use_running_average=True, epsilon=1e-5, rngs=rngs)
    return jax.nn.relu if kind == "activation" else _max_pool


class VGG(nnx.Module):
    """Convolutions, 7x7 adaptive pooling, three linear layers; inference mode.

    `features` and `classifier` have torchvision's indices, so that paths in the state are its
    tensor names but for the last part. Weights come from `vgg.params`.
    """

    def __init__(self, config: VGGConfig, rngs: nnx.Rngs):
        self.config = config
        widths = [width for _, width in config.feature_modules]
        self.features = nnx.List(
            [
                _feature_module(kind, n_in, n_out, rngs)
                for (kind, n_out), n_in in zip(
                    config.feature_modules, [3, *widths[:-1]], strict=True
                )
            ]
        )
        linear = functools.partial(nnx.Linear, rngs=rngs)
        hidden = config.hidden
        self.classifier = nnx.List(
            [
                linear(widths[-1] * _BINS * _BINS, hidden),
                jax.nn.relu,
                nnx.Dropout(0.5, deterministic=True),
                linear(hidden, hidden),
                jax.nn.relu,
                nnx.Dropout(0.5, deterministic=True),
                linear(hidden, config.num_classes),
            ]
        )

    @staticmethod
    def draw(config: VGGConfig, key: jax.Array) -> Any:
        """Fresh variables as torchvision draws them.

        Convolutions N(0, 2 / fan_out) (He et al., ICCV 2015), linear layers N(0, 0.01^2).
        """

        def kernel_std(shape: tuple[int, ...]) -> float:
            return math.sqrt(2.0 / (9 * shape[-1])) if len(shape) == 4 else 0.01

        return draw_variables(VGG, config, key, kernel_std=kernel_std)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, under torchvision's module names, shallow to deep.

        Args:
          images: [n, h, w, 3] with h and w at least 32.

        Returns:
          {"features.0": [n, h, w, 64], ..., "avgpool": [n, 7, 7, 512], "classifier.0": [n, 4096],
          ..., "classifier.6": [n, classes]}.

        Raises:
          DeparaError: images of another rank, fewer than 32 pixels, or not three channels.
        """
        check_images(images, self.config.architecture, smallest=_SMALLEST)
        x, out = images, {}
        for i, module in enumerate(self.features):
            x = out[f"features.{i}"] = module(x)
        x = out["avgpool"] = adaptive_avg_pool(x, _BINS, _BINS)
        x = x.reshape(x.shape[0], -1)
        for i, module in enumerate(self.classifier):
            x = module(x)
            if not isinstance(module, nnx.Dropout):
                out[f"classifier.{i}"] = x
        return out
