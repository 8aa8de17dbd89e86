"""Label-free similarity up to a linear map: SVCCA, PWCCA, orthogonal Procrustes.

Shapes: features [n, d] and target_features [n, d'], row k of both about sample k.
"""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from depara_jax.errors import DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import Spectrum, as_spectrum, matmul

__all__ = ["Directions", "directions", "procrustes", "pwcca", "svcca"]


class Directions(NamedTuple):
    """Left singular vectors of centred features, those left out being zero columns."""

    left: Float[Array, "n k"]
    kept: Bool[Array, " k"]


def svcca(features: Any, target_features: Any, *, energy: float = 0.99) -> Float[Array, ""]:
    """Mean canonical correlation of the singular directions that hold `energy` of each variance.

    Args:
      features: [n, d].
      target_features: [n, d'].
      energy: share of the variance to keep, in (0, 1].

    Returns:
      A number in [0, 1]; 1 for features that are linear maps of each other.

    Raises:
      DeparaError: lengths differ, NaN, energy outside (0, 1].

    References:
      Raghu, Gilmer, Yosinski, Sohl-Dickstein, "SVCCA: Singular Vector Canonical Correlation
      Analysis for Deep Learning Dynamics and Interpretability", NeurIPS 2017.
    """
    if not 0 < energy <= 1:
        raise DeparaError(f"energy: expected a share in (0, 1], got {energy}")
    pair = validate.as_pair(features, target_features)
    return _svcca(*pair, energy)


@jax.jit(static_argnums=2)
def _svcca(
    left: Float[Array, "n d"], right: Float[Array, "n e"], energy: float
) -> Float[Array, ""]:
    first, second = directions(left, energy), directions(right, energy)
    correlations = jnp.linalg.svd(matmul(first.left.T, second.left), compute_uv=False)
    count = jnp.minimum(first.kept.sum(), second.kept.sum())
    return jnp.minimum(correlations, 1).sum() / jnp.maximum(count, 1).astype(left.dtype)


def pwcca(features: Any, target_features: Any) -> Float[Array, ""]:
    """Canonical correlations averaged with weights: how much of `features` each direction explains.

        PWCCA = sum_i a_i rho_i / sum_i a_i,   a_i = sum_j |<h_i, x_j>|

    over the canonical directions h_i of the features and their centred columns x_j. Not symmetric.

    Args:
      features: [n, d], whose directions are weighed.
      target_features: [n, d'].

    Returns:
      A number in [0, 1].

    Warns:
      UserWarning: max(d, d') >= n - 1: one side spans everything and every correlation is 1.

    Raises:
      DeparaError: lengths differ, NaN.

    References:
      Morcos, Raghu, Bengio, "Insights on representational similarity in neural networks with
      canonical correlation", NeurIPS 2018, section 3.2.
    """
    left, right = validate.as_pair(features, target_features)
    widest = max(left.shape[1], right.shape[1])
    if widest >= left.shape[0] - 1:
        warnings.warn(
            f"pwcca: {widest} entries for {left.shape[0]} samples (d >= n - 1) span everything, so "
            "the value is 1 for any features; use svcca or cka_linear_debiased",
            stacklevel=2,
        )
    return _pwcca(left, right)


@jax.jit
def _pwcca(left: Float[Array, "n d"], right: Float[Array, "n e"]) -> Float[Array, ""]:
    first, second = directions(left, 1.0), directions(right, 1.0)
    rotation, correlations, _ = jnp.linalg.svd(
        matmul(first.left.T, second.left), full_matrices=False
    )
    centred = left - left.mean(axis=0, keepdims=True)
    canonical = matmul(first.left, rotation)
    # As many canonical pairs as the smaller side has directions; the others are rotations of
    # nothing.
    pairs = jnp.minimum(first.kept.sum(), second.kept.sum())
    counted = jnp.arange(correlations.shape[0]) < pairs
    weights = jnp.where(counted, jnp.abs(matmul(canonical.T, centred)).sum(axis=1), 0)
    total = weights.sum()
    weighed = (weights * jnp.minimum(correlations, 1)).sum()
    return jnp.where(total > 0, weighed / jnp.where(total > 0, total, 1), 0)


def procrustes(features: Any, target_features: Any) -> Float[Array, ""]:
    """Similarity after the best rotation: ||X'Y||_* / (||X|| ||Y||), X and Y centred.

    The squared orthogonal Procrustes distance of X/||X|| and Y/||Y|| is 2 - 2 times this.

    Args:
      features: [n, d], or their `Spectrum`.
      target_features: [n, d'], or their `Spectrum`.

    Returns:
      A number in [0, 1]; 1 for features equal up to rotation, scale and shift.

    Raises:
      DeparaError: lengths differ, NaN.

    References:
      Ding, Denain, Steinhardt, "Grounding Representation Similarity Through Statistical Testing",
      NeurIPS 2021, section 2; Schonemann, Psychometrika 1966.
    """
    left, right = as_spectrum(features), as_spectrum(target_features)
    validate.same_length("features", left.features, "target_features", right.features)
    return _procrustes(left, right)


@jax.jit
def _procrustes(left: Spectrum, right: Spectrum) -> Float[Array, ""]:
    # X = U S^(1/2) V' with orthonormal V, so X'HY and S^(1/2) U'HU' S^(1/2) share singular values.
    rotation = left.project_centred(right.left())
    crossed = jnp.sqrt(left.values)[:, None] * rotation * jnp.sqrt(right.values)
    nuclear = jnp.linalg.svd(crossed, compute_uv=False).sum()
    lengths = [
        jnp.sqrt(jnp.maximum((one.values * (1 - one.ones**2)).sum(), 0)) for one in (left, right)
    ]
    below = lengths[0] * lengths[1]
    return jnp.where(below > 0, nuclear / jnp.where(below > 0, below, 1), 0)


def directions(rows: Float[Array, "n d"], energy: float) -> Directions:
    """The leading singular directions of centred features that hold `energy` of their variance."""
    centred = rows - rows.mean(axis=0, keepdims=True)
    left, values, _ = jnp.linalg.svd(centred, full_matrices=False)
    power = values**2
    before = jnp.cumsum(power) - power
    noise = jnp.finfo(rows.dtype).eps * max(rows.shape) * values[0]
    kept = (before < energy * power.sum()) & (values > noise)
    return Directions(jnp.where(kept, left, 0), kept)
