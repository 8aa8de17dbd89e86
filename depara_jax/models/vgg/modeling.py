"""VGG in Flax NNX, image axes last but channels: [n, h, w, c].

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015; with batch normalisation and adaptive pooling as torchvision has them.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models.layers import adaptive_avg_pool
from depara_jax.models.model import Model
from depara_jax.models.pooling import max_pool
from depara_jax.models.vgg.config import Kind, VGGConfig
from depara_jax.spec import InputSpec, ModelSpec

__all__ = ["VGG", "forward", "vgg", "vgg_spec"]

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

    def __call__(self, images: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        """Features of every layer, under torchvision's module names, shallow to deep.

        Args:
          images: [n, h, w, 3] with h and w at least 32.

        Returns:
          {"features.0": [n, h, w, 64], ..., "avgpool": [n, 7, 7, 512], "classifier.0": [n, 4096],
          ..., "classifier.6": [n, classes]}.

        Raises:
          DeparaError: images of another rank, fewer than 32 pixels, or not three channels.
        """
        x = jnp.asarray(images)
        _check_images(x)
        out: dict[str, jax.Array] = {}
        for i, module in enumerate(self.features):
            x = out[f"features.{i}"] = module(x)
        x = out["avgpool"] = adaptive_avg_pool(x, _BINS, _BINS)
        x = x.reshape(x.shape[0], -1)
        for i, module in enumerate(self.classifier):
            x = module(x)
            if not isinstance(module, nnx.Dropout):
                out[f"classifier.{i}"] = x
        return out


def _check_images(images: jax.Array) -> None:
    shape = images.shape
    if len(shape) != 4 or shape[-1] != 3 or min(shape[1:3]) < _SMALLEST:
        raise DeparaError(
            f"VGG takes images [n, h, w, 3] of at least {_SMALLEST}x{_SMALLEST} pixels, "
            f"got shape {tuple(shape)}"
        )


@functools.cache
def _graphdef(config: VGGConfig) -> Any:
    """The static half of the network; nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: VGG(config, nnx.Rngs(0))))[0]


@dataclasses.dataclass(frozen=True)
class _Forward:
    """`forward` of one configuration; equal for equal ones, so that caches find it again."""

    config: VGGConfig

    def __call__(self, variables: Any, images: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        return nnx.merge(_graphdef(self.config), variables)(images)


def forward(config: VGGConfig) -> _Forward:
    """The network as a pure function of (variables, images); see `depara_jax.types.Forward`."""
    return _Forward(config)


def vgg_spec(
    config: VGGConfig,
    *,
    name: str | None = None,
    input: InputSpec | None = None,
    task: str | None = None,
    zoo: str | None = None,
    sha256: str | None = None,
) -> ModelSpec:
    """What a VGG is but its numbers.

    Args:
      config: its shape.
      name: the model's name; the architecture's by default.
      input: preprocessing; ImageNet's at 224 pixels by default.
      task: what it was trained for.
      zoo: the zoo it belongs to.
      sha256: digest of its weights file.
    """
    return ModelSpec(
        name=name or config.architecture,
        architecture=config.architecture,
        input=input or InputSpec.imagenet(),
        layers=config.layers,
        # The most compact features: the last before the classes.
        encoder="classifier.4",
        logits="classifier.6",
        points=config.points,
        task=task,
        zoo=zoo,
        sha256=sha256,
    )


def vgg(config: VGGConfig, *, variables: Any, spec: ModelSpec | None = None) -> Model:
    """Makes a `Model` of a VGG's variables.

    Args:
      config: its shape.
      variables: an `nnx.State` as `load`, `convert` or `random_variables` returns.
      spec: name and preprocessing; `vgg_spec(config)` by default.
    """
    return Model(spec or vgg_spec(config), forward(config), variables)
