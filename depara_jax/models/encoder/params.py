"""An encoder's variables: drawn from a key, and to and from flat named tensors."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.models.encoder.config import EncoderConfig
from depara_jax.models.encoder.modeling import Encoder
from depara_jax.weights.mapping import Rule, assign

__all__ = ["RULES", "flatten_variables", "init_variables", "target_shapes", "unflatten_variables"]

# The zoo's files were written by `flatten_variables`, so that their names are the variables' own.
RULES = (Rule("(.+)", r"\1"),)


def init_variables(config: EncoderConfig, key: jax.Array) -> Any:
    """Freshly drawn variables; traceable, so that it can be vmapped over keys."""
    return nnx.split(Encoder(config, nnx.Rngs(key)))[1]


def flatten_variables(variables: Any) -> dict[str, np.ndarray]:
    """{tensor name such as "blocks.0.conv1.kernel": float32 array}, as the zoo stores them."""
    flat = nnx.to_flat_state(variables)
    return {_name(path): np.asarray(leaf[...], np.float32) for path, leaf in flat}


def unflatten_variables(
    tensors: Mapping[str, Any], config: EncoderConfig, *, source: str = "weights"
) -> Any:
    """The inverse of `flatten_variables`, strict on both sides.

    Args:
      tensors: {tensor name: array}.
      config: the encoder that they belong to.
      source: what to call them in an error.

    Raises:
      DeparaError: a tensor is missing, unknown or of another shape or dtype; all are listed.
    """
    template = _template(config)
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    chosen = assign(RULES, arrays, target_shapes(config), source=source)
    paths, leaves = zip(*nnx.to_flat_state(template), strict=True)
    values = [
        leaf.replace(jnp.asarray(chosen[_name(p)])) for p, leaf in zip(paths, leaves, strict=True)
    ]
    return nnx.from_flat_state(list(zip(paths, values, strict=True)))


def target_shapes(config: EncoderConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """{tensor name: shape and dtype} of every variable; nothing is computed."""
    flat = nnx.to_flat_state(_template(config))
    return {_name(path): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in flat}


def _template(config: EncoderConfig) -> Any:
    return jax.eval_shape(lambda: init_variables(config, jax.random.key(0)))


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))
