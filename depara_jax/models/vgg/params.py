"""A VGG's variables: from torchvision's tensors, or drawn from a key."""

import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.models.vgg.config import VGGConfig
from depara_jax.models.vgg.modeling import VGG
from depara_jax.weights.mapping import OWN_RULES, Rule, assign, has_own_names, linear_after_flatten
from depara_jax.weights.readers import read_tensors

__all__ = ["IGNORE", "convert", "count_classes", "load", "random_variables", "rules"]

# PyTorch counts the batches that its running statistics have seen; inference does not use it.
IGNORE = (r"features\.\d+\.num_batches_tracked",)


def rules(config: VGGConfig) -> tuple[Rule, ...]:
    """Where torchvision's tensors go; convolutions and norms share names and differ by index."""
    table = [
        Rule(rf"features\.({_indices(config, 'conv')})\.weight", r"features.\1.kernel", "conv"),
        Rule(rf"features\.({_indices(config, 'conv', 'norm')})\.bias", r"features.\1.bias"),
        Rule(r"classifier\.0\.weight", "classifier.0.kernel", linear_after_flatten(7, 7)),
        Rule(r"classifier\.([36])\.weight", r"classifier.\1.kernel", "linear"),
        Rule(r"classifier\.([036])\.bias", r"classifier.\1.bias"),
    ]
    if config.batch_norm:
        norms = _indices(config, "norm")
        table += [
            Rule(rf"features\.({norms})\.weight", r"features.\1.scale"),
            Rule(rf"features\.({norms})\.running_(mean|var)", r"features.\1.\2"),
        ]
    return tuple(table)


def convert(config: VGGConfig, tensors: Mapping[str, Any], *, source: str = "weights") -> Any:
    """Variables of a VGG from tensors under torchvision's names, or the variables' own.

    Args:
      config: the network's shape.
      tensors: {"features.0.weight": [64, 3, 3, 3], ...}.
      source: what to call them in an error.

    Returns:
      An `nnx.State`.

    Raises:
      DeparaError: tensors are missing, unexpected, or of another shape or dtype; all are listed.
    """
    state = _template(config)
    targets = {_name(path): leaf for path, leaf in nnx.to_flat_state(state)}
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    table = OWN_RULES if has_own_names(arrays) else rules(config)
    chosen = assign(table, arrays, targets, ignore=IGNORE, source=source)
    return nnx.from_flat_state(
        [
            (path, leaf.replace(jnp.asarray(chosen[_name(path)])))
            for path, leaf in nnx.to_flat_state(state)
        ]
    )


def load(config: VGGConfig, path: str | os.PathLike[str]) -> Any:
    """Variables of a VGG from a weights file (.safetensors, .npz, .pth, .pt), torchvision's names.

    Raises:
      DeparaError: the file cannot be read (see `read_tensors`) or does not fit (see `convert`).
    """
    return convert(config, read_tensors(path), source=f"weights file {path}")


def count_classes(tensors: Mapping[str, Any]) -> int | None:
    """Outputs of the last linear layer; None where there is none to be seen."""
    bias = tensors.get("classifier.6.bias")
    return bias.shape[0] if bias is not None and bias.ndim == 1 else None


def random_variables(config: VGGConfig, key: jax.Array) -> Any:
    """Variables drawn as torchvision draws them, float32, a function of the key alone.

    Convolutions N(0, 2 / fan_out) (He et al., ICCV 2015), linear layers N(0, 0.01^2), biases 0,
    batch norm the identity. Drawn by numpy: several times faster than JAX on a CPU, and the same
    whatever the backend; hence not traceable.
    """
    seed = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
    flat = nnx.to_flat_state(_template(config))
    return nnx.from_flat_state(
        [
            (path, leaf.replace(jnp.asarray(_drawn(path[-1], leaf.shape, [*seed, index]))))
            for index, (path, leaf) in enumerate(flat)
        ]
    )


def _drawn(kind: Any, shape: tuple[int, ...], seed: list[int]) -> np.ndarray:
    if kind != "kernel":
        return np.full(shape, 1 if kind in ("scale", "var") else 0, np.float32)
    std = math.sqrt(2.0 / (9 * shape[-1])) if len(shape) == 4 else 0.01
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    values *= np.float32(std)
    return values


@functools.cache
def _template(config: VGGConfig) -> Any:
    """The state's shapes; nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: VGG(config, nnx.Rngs(0))))[1]


def _indices(config: VGGConfig, *kinds: Any) -> str:
    return "|".join(a.removeprefix("features.") for a in config.features_of(*kinds))


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))
