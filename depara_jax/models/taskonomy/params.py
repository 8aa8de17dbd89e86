r"""Taskonomy's variables: drawn at random, or from PyTorch ports and TensorFlow checkpoints.

Two rule tables: the ports' names (`layer1.0.conv1.weight`, as in `visualpriors`) and TF-slim's
(`encoder/block1/unit_1/bottleneck_v1/conv1/weights`). The networks without a decoder (classes, room
layout, vanishing points) were built inside a variable scope of their own, `feedforward/`.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models.taskonomy.modeling import TaskonomyConfig, TaskonomyEncoder
from depara_jax.weights.mapping import OWN_RULES, Rule, assign, has_own_names

__all__ = [
    "IGNORED_IN_TF",
    "IGNORED_IN_TORCH",
    "init_variables",
    "tf_rules",
    "torch_rules",
    "variables_from_tensors",
]

IGNORED_IN_TORCH = (r".*\.num_batches_tracked",)
# What a TF 1.x training run saves beside the encoder: all that lies outside its two scopes (step,
# decoder, classifier, discriminator, the optimizer's scalars) and, inside them, Adam's moments.
IGNORED_IN_TF = (r"(?!(?:feedforward/)?(?:encoder|compress1)/).*", r".*/Adam(?:_\d+)?")

_TORCH_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
_TF_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}


def torch_rules(config: TaskonomyConfig) -> list[Rule]:
    """The table for PyTorch ports; every bottleneck by number, so that none too many gets in."""
    rules = _torch_pair("conv1", "bn1", "stem")
    for b, units in enumerate(config.units):
        for u in range(units):
            here, there = rf"layer{b + 1}\.{u}\.", f"blocks.{b}.{u}"
            for k in (1, 2, 3):
                rules += _torch_pair(f"{here}conv{k}", f"{here}bn{k}", f"{there}.conv{k}")
            rules += _torch_pair(
                rf"{here}downsample\.0", rf"{here}downsample\.1", f"{there}.shortcut"
            )
    return rules + _torch_pair("compress1", "compress_bn", "compress")


def tf_rules(config: TaskonomyConfig) -> list[Rule]:
    """The table for TF-slim's names."""
    scope = "(?:feedforward/)?"
    rules = _tf_pair(f"{scope}encoder/conv1", "stem")
    for b, units in enumerate(config.units):
        for u in range(units):
            here = f"{scope}encoder/block{b + 1}/unit_{u + 1}/bottleneck_v1"
            for part in ("conv1", "conv2", "conv3", "shortcut"):
                rules += _tf_pair(f"{here}/{part}", f"blocks.{b}.{u}.{part}")
    return rules + _tf_pair(f"{scope}compress1", "compress")


def _torch_pair(conv: str, norm: str, target: str) -> list[Rule]:
    return [
        Rule(rf"{conv}\.weight", f"{target}.conv.kernel", "conv"),
        *(Rule(rf"{norm}\.{k}", f"{target}.norm.{v}") for k, v in _TORCH_NORM.items()),
    ]


def _tf_pair(conv: str, target: str) -> list[Rule]:
    return [
        Rule(f"{conv}/weights", f"{target}.conv.kernel"),  # HWIO already
        *(Rule(f"{conv}/BatchNorm/{k}", f"{target}.norm.{v}") for k, v in _TF_NORM.items()),
    ]


@functools.partial(jax.jit, static_argnames="config")
def init_variables(config: TaskonomyConfig, key: jax.Array) -> Any:
    """Freshly drawn variables (He et al., 2015); the normalisations start as the identity.

    All kernels are slices of one draw: fifty draws would take ten times as long to compile.
    """
    flat = nnx.to_flat_state(_template(config))
    sizes = [math.prod(leaf.shape) if path[-1] == "kernel" else 0 for path, leaf in flat]
    draws = jax.random.normal(key, (sum(sizes),))
    leaves = []
    for (path, leaf), part in zip(flat, jnp.split(draws, list(np.cumsum(sizes))[:-1]), strict=True):
        if path[-1] == "kernel":
            value = part.reshape(leaf.shape) * math.sqrt(2 / math.prod(leaf.shape[:3]))
        else:
            value = jnp.full(leaf.shape, float(path[-1] in ("scale", "var")))
        leaves.append((path, leaf.replace(value)))
    return nnx.from_flat_state(leaves)


def _template(config: TaskonomyConfig) -> Any:
    """Shapes of the variables; nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: TaskonomyEncoder(config, nnx.Rngs(0))))[1]


def variables_from_tensors(
    tensors: Mapping[str, np.ndarray], config: TaskonomyConfig, *, source: str = "weights"
) -> Any:
    """Variables from a port's, a TF-slim or a converted network's tensors, as their names say.

    Args:
      tensors: {name in the source framework: array}.
      config: the encoder that they must fit.
      source: what a message calls them, e.g. the file's name.

    Raises:
      DeparaError: the network was made for another number of input channels, or a tensor is
        missing, unknown, of another shape or not finite.
    """
    from_tf = any("/" in name for name in tensors)
    of_framework = tf_rules if from_tf else torch_rules
    _check_channels(tensors, config, source)
    flat = [
        (".".join(map(str, path)), path, leaf)
        for path, leaf in nnx.to_flat_state(_template(config))
    ]
    arrays = assign(
        OWN_RULES if has_own_names(tensors) else of_framework(config),
        tensors,
        {name: leaf for name, _, leaf in flat},
        ignore=IGNORED_IN_TF if from_tf else IGNORED_IN_TORCH,
        source=source,
    )
    bad = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if bad:
        raise DeparaError(f"{source}: NaN or infinity in {', '.join(bad[:10])}")
    leaves = [(path, leaf.replace(jnp.asarray(arrays[name]))) for name, path, leaf in flat]
    return nnx.from_flat_state(leaves)


def _check_channels(
    tensors: Mapping[str, np.ndarray], config: TaskonomyConfig, source: str
) -> None:
    """Tells a colorization encoder (1 input channel) from the others (3) in so many words."""
    axes = {"conv1.weight": 1, "encoder/conv1/weights": 2, "feedforward/encoder/conv1/weights": 2}
    for name, axis in axes.items():
        if name in tensors and tensors[name].ndim == 4:
            found, kinds = tensors[name].shape[axis], {1: "colorization", 3: "any other task"}
            if found != config.channels_in:
                raise DeparaError(
                    f"{source} holds another task's encoder: its first convolution takes {found} "
                    f"input channels ({kinds.get(found, 'no Taskonomy task')}), but "
                    f"{config.channels_in} are expected here ({kinds[config.channels_in]}; "
                    "colorization alone sees one channel, the lightness)"
                )
