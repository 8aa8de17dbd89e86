"""Leave-one-out nearest-neighbour accuracy: no fit, no hyperparameter but k."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from depara_jax.errors import DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import matmul

__all__ = ["knn"]

ROWS_AT_A_TIME = 512


def knn(
    features: Any, labels: Any, *, k: int = 3, n_classes: int | None = None
) -> Float[Array, ""]:
    """Accuracy of the majority vote of the k nearest other samples (Euclidean).

    A tied vote goes to the smallest class, and of equally near samples the earlier one counts, as
    in scikit-learn with brute force.

    Args:
      features: [n, d].
      labels: [n] target classes.
      k: how many neighbours vote, 1 to n - 1.
      n_classes: static number of classes; needed only where the labels are traced.

    Returns:
      A fraction of the samples; higher is better.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN, k outside 1..n-1.

    References:
      k = 1 in Bolya et al., NeurIPS 2021; k = 3 in Garbas, Ploner, Akbik, "TransformerRanker",
      2024.
    """
    features = validate.as_matrix("features", features)
    labels = validate.as_labels(labels, features.shape[0])
    if not 1 <= k < features.shape[0]:
        raise DeparaError(f"k: expected 1..{features.shape[0] - 1} (samples minus one), got {k}")
    return _knn(features, labels, k, validate.count_classes(labels, n_classes))


@partial(jax.jit, static_argnums=(2, 3))
def _knn(
    features: Float[Array, "n d"], labels: Int[Array, " n"], k: int, n_classes: int
) -> Float[Array, ""]:
    # Around the mean the squared lengths are smallest, and least is lost in their difference.
    centred = features - features.mean(axis=0, keepdims=True)
    lengths = (centred**2).sum(axis=1)
    everyone = jnp.arange(features.shape[0], dtype=jnp.int32)

    def vote(one: Int[Array, ""]) -> Int[Array, ""]:
        nearness = 2 * matmul(centred, centred[one]) - lengths
        _, nearest = jax.lax.top_k(jnp.where(everyone == one, -jnp.inf, nearness), k)
        return jnp.bincount(labels[nearest], length=n_classes).argmax().astype(jnp.int32)

    votes = jax.lax.map(vote, everyone, batch_size=min(ROWS_AT_A_TIME, features.shape[0]))
    return (votes == labels).mean(dtype=features.dtype)
