"""What may enter an estimator: every check in one place, each with a message that says what to do.

Shapes are checked always. Values (NaN, label range, rows that sum to one) are checked where they
are known, so a function stays traceable: under `jax.jit` or `jax.vmap` the values are the caller's.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from depara_jax.errors import DegenerateError, DeparaError

__all__ = [
    "as_labels",
    "as_matrix",
    "as_pair",
    "as_probabilities",
    "as_targets",
    "count_classes",
    "is_concrete",
    "largest_class",
]

PROBABILITY_TOLERANCE = 1e-3  # rows summed in bfloat16 or stored in float16 are off by about this


def is_concrete(array: Any) -> bool:
    """Whether the values are known, that is, whether `array` is no tracer."""
    return not isinstance(array, Tracer)


def as_matrix(name: str, value: Any) -> jax.Array:
    """[n, d] floating point with finite entries; half precision and integers become float32.

    Raises:
      DeparaError: not numeric, not a matrix, empty, or with a NaN or an infinity.
    """
    array = _numeric(name, value)
    if array.ndim != 2:
        raise DeparaError(
            f"{name}: expected a matrix [samples, entries], got shape {tuple(array.shape)}; "
            "pool or flatten the other axes first"
        )
    if 0 in array.shape:
        raise DeparaError(f"{name}: expected at least one row and column, got {tuple(array.shape)}")
    return _finite(name, array)


def as_pair(features: Any, target_features: Any) -> tuple[jax.Array, jax.Array]:
    """Two matrices about the same samples, in one dtype."""
    pair = as_matrix("features", features), as_matrix("target_features", target_features)
    same_length("features", pair[0], "target_features", pair[1])
    dtype = jnp.promote_types(pair[0].dtype, pair[1].dtype)
    return pair[0].astype(dtype), pair[1].astype(dtype)


def as_probabilities(value: Any, *, name: str = "probabilities") -> jax.Array:
    """[n, z], rows non-negative and summing to one (rescaled to do so to the last bit).

    Raises:
      DeparaError: as `as_matrix`, or with a negative entry, or with a row that does not sum to one.
    """
    array = as_matrix(name, value)
    if is_concrete(array):
        lowest, worst = (float(fact) for fact in _extremes(array))
        if lowest < 0:
            raise DeparaError(f"{name}: found a negative entry; give softmax outputs, not logits")
        if worst > PROBABILITY_TOLERANCE:
            raise DeparaError(
                f"{name}: rows must sum to 1, one is off by {worst:.3g}; give softmax outputs"
            )
    return array / array.sum(axis=1, keepdims=True)


def as_labels(value: Any, samples: int) -> jax.Array:
    """[n] int32 class indices, one for each of `samples` rows.

    Raises:
      DeparaError: not integers, negative, or of another length.
      DegenerateError: only one class occurs.
    """
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise DeparaError(f"labels: expected integers 0..C-1, got dtype {array.dtype}")
    if array.ndim != 1 or array.shape[0] != samples:
        raise DeparaError(
            f"labels: expected one label for each of {samples} rows, got shape {array.shape}"
        )
    if is_concrete(array):
        known = np.asarray(array)
        if known.min() < 0:
            raise DeparaError(f"labels: expected 0..C-1, found {known.min()}; drop unlabelled rows")
        if known.min() == known.max():
            raise DegenerateError(
                f"labels: all {samples} samples are of class {known[0]}; "
                "a label-based score needs two classes or more"
            )
    return jnp.asarray(array, jnp.int32)


def as_targets(value: Any, samples: int) -> jax.Array:
    """[n, t] finite floating point; a vector becomes one column."""
    array = _numeric("targets", value)
    array = as_matrix("targets", array[:, None] if array.ndim == 1 else array)
    if array.shape[0] != samples:
        raise DeparaError(
            f"targets: expected {samples} rows as the features have, got {len(array)}"
        )
    return array


def count_classes(labels: jax.Array, n_classes: int | None) -> int:
    """`n_classes` as given, or one more than the largest label.

    Raises:
      DeparaError: a label is outside 0..n_classes-1, or the labels are traced and `n_classes` is
        not given.
    """
    if not is_concrete(labels):
        if n_classes is None:
            raise DeparaError("labels: traced; give n_classes= as a static number")
        return n_classes
    top = int(labels.max())
    if n_classes is not None and top >= n_classes:
        raise DeparaError(f"labels: found class {top}, but n_classes is {n_classes}")
    return top + 1 if n_classes is None else n_classes


def largest_class(labels: jax.Array, max_per_class: int | None) -> int:
    """The size of the largest class, or a static bound for it when the labels are traced."""
    if not is_concrete(labels):
        return labels.shape[0] if max_per_class is None else max_per_class
    top = int(np.bincount(np.asarray(labels)).max())
    if max_per_class is not None and top > max_per_class:
        raise DeparaError(f"labels: a class has {top} samples, but max_per_class={max_per_class}")
    return top if max_per_class is None else max_per_class


def same_length(left_name: str, left: Any, right_name: str, right: Any) -> None:
    """Raises `DeparaError` unless both have the same number of rows."""
    if left.shape[0] != right.shape[0]:
        raise DeparaError(
            f"{right_name}: {right.shape[0]} rows, but {left_name} has {left.shape[0]}; "
            "both must be about the same samples in the same order"
        )


@jax.jit
def _extremes(array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The least entry, and the largest distance of a row's sum from one."""
    return array.min(), jnp.abs(array.sum(axis=1) - 1).max()


@jax.jit
def _all_finite(array: jax.Array) -> jax.Array:
    return jnp.isfinite(array).all()


def _numeric(name: str, value: Any) -> jax.Array:
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise DeparaError(f"{name}: expected real numbers, got dtype {array.dtype}")
    wide = array.dtype in (np.dtype(np.float32), np.dtype(np.float64))
    return jnp.asarray(array if wide else array.astype(np.float32))


def _finite(name: str, array: jax.Array) -> jax.Array:
    if is_concrete(array) and not bool(_all_finite(array)):
        row = int(jnp.argmax(~jnp.isfinite(array).all(axis=1)))
        raise DeparaError(f"{name}: NaN or infinity in row {row}; drop or repair that sample")
    return array
