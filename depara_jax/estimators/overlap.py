"""Gaussian Bhattacharyya coefficient: how much the classes overlap, each taken as one Gaussian."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from depara_jax.estimators import validate
from depara_jax.estimators.labels import principal_components

__all__ = ["gbc_diagonal", "gbc_spherical"]

VARIANCE_FLOOR = 1e-4  # of a class with one sample, or an entry constant in a class; as published
COMPONENTS = 64


def gbc_diagonal(
    features: Any,
    labels: Any,
    *,
    n_components: int | None = COMPONENTS,
    n_classes: int | None = None,
) -> Float[Array, ""]:
    """Gaussian Bhattacharyya coefficient with one variance for each entry of each class.

        DB_ij = 1/8 (mu_i - mu_j)' S^-1 (mu_i - mu_j) + 1/2 ln(|S| / sqrt(|S_i| |S_j|)),
        S = (S_i + S_j) / 2,   GBC = - sum_{i != j} exp(-DB_ij)   (both orders of a pair)

    Args:
      features: [n, d].
      labels: [n] target classes; those that do not occur are left out.
      n_components: principal components kept first (64 in the paper); `None` keeps the entries.
      n_classes: static number of classes; needed only where the labels are traced.

    Returns:
      A number of at most 0; higher (less overlap) is better.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN.

    References:
      Pandy, Agostinelli, Uijlings, Ferrari, Mensink, "Transferability Estimation using
      Bhattacharyya Class Separability", CVPR 2022.
    """
    return _gbc(features, labels, n_components, n_classes, spherical=False)


def gbc_spherical(
    features: Any,
    labels: Any,
    *,
    n_components: int | None = COMPONENTS,
    n_classes: int | None = None,
) -> Float[Array, ""]:
    """`gbc_diagonal` with one variance for all entries of a class.

    The determinant of v I is v^d: the log term carries the width d, which the code published with
    the paper leaves out.
    """
    return _gbc(features, labels, n_components, n_classes, spherical=True)


def _gbc(
    features: Any, labels: Any, n_components: int | None, n_classes: int | None, *, spherical: bool
) -> Float[Array, ""]:
    features = validate.as_matrix("features", features)
    labels = validate.as_labels(labels, features.shape[0])
    if n_components is not None:
        features = principal_components(features, n_components)
    return _bhattacharyya(features, labels, validate.count_classes(labels, n_classes), spherical)


@partial(jax.jit, static_argnums=(2, 3))
def _bhattacharyya(
    features: Float[Array, "n d"], labels: Int[Array, " n"], n_classes: int, spherical: bool
) -> Float[Array, ""]:
    sizes = jnp.bincount(labels, length=n_classes).astype(features.dtype)
    divisor = jnp.maximum(sizes, 1)[:, None]
    means = jax.ops.segment_sum(features, labels, n_classes) / divisor
    squares = jax.ops.segment_sum((features - means[labels]) ** 2, labels, n_classes) / divisor
    if spherical:
        squares = jnp.broadcast_to(squares.mean(axis=1, keepdims=True), squares.shape)
    variances = jnp.maximum(squares, VARIANCE_FLOOR)
    half_logs = 0.5 * jnp.log(variances).sum(axis=1)
    present = sizes > 0

    def overlaps(one: Int[Array, ""]) -> Float[Array, ""]:
        pooled = (variances[one] + variances) / 2
        apart = 0.125 * ((means[one] - means) ** 2 / pooled).sum(axis=1)
        shape = 0.5 * (jnp.log(pooled).sum(axis=1) - half_logs[one] - half_logs)
        counted = present & present[one] & (jnp.arange(n_classes) != one)
        return jnp.where(counted, jnp.exp(-apart - shape), 0).sum()

    return -jax.lax.map(overlaps, jnp.arange(n_classes), batch_size=16).sum()
