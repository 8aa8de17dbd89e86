"""Label-free similarity of two representations of the same samples: RSA, CKA, DDS.

Shapes: features [n, d] and target_features [n, d'], row k of both about sample k. Every score is
symmetric but for its argument names; higher is more alike.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from depara_jax import stats
from depara_jax.errors import DegenerateError
from depara_jax.estimators import validate
from depara_jax.estimators.labels import correlation_rows, zscore
from depara_jax.estimators.spectrum import Spectrum, as_spectrum, matmul

__all__ = ["cka_linear", "cka_linear_debiased", "cka_rbf", "cka_rbf_debiased"]
__all__ += ["dds_cosine", "dds_laplacian", "Kernel", "kernel_vector", "rsa", "rsa_vector"]

Kernel = Literal["linear", "rbf", "cosine", "laplacian"]
ROWS_AT_A_TIME = 16


def rsa(features: Any, target_features: Any) -> Float[Array, ""]:
    """Representational similarity: Spearman of the two dissimilarity matrices 1 - corr(f_i, f_j).

    Args:
      features: [n, d], d at least 2.
      target_features: [n, d'], d' at least 2.

    Raises:
      DeparaError: lengths differ, NaN.

    References:
      Dwivedi and Roig, "Representation Similarity Analysis for Efficient Task Taxonomy & Transfer
      Learning", CVPR 2019, section 3.
    """
    pair = validate.as_pair(features, target_features)
    return _rsa(*_at_least(pair, 3, "rsa"))


@jax.jit
def _rsa(left: Float[Array, "n d"], right: Float[Array, "n e"]) -> Float[Array, ""]:
    return (rsa_vector(left) * rsa_vector(right)).sum()


def rsa_vector(features: Float[Array, "n d"]) -> Float[Array, " e"]:
    """What RSA compares of a network, at unit length: `rsa` is the product of two of them."""
    distances = stats.upper_triangle(1 - correlation_rows(features))
    return jnp.asarray(stats.standardize(stats.ranks(distances)))


def cka_linear(features: Any, target_features: Any) -> Float[Array, ""]:
    """Linear centred kernel alignment ||X'Y||^2 / (||X'X|| ||Y'Y||), X and Y centred; in [0, 1].

    Biased upwards: two independent representations with d much above n come near 1.

    Args:
      features: [n, d], or their `Spectrum`.
      target_features: [n, d'], or their `Spectrum`.

    Raises:
      DeparaError: lengths differ, NaN.

    References:
      Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited",
      ICML 2019, equation 3.
    """
    if not isinstance(features, Spectrum) and not isinstance(target_features, Spectrum):
        # Alone it needs no decomposition, only norms.
        return _alone(*validate.as_pair(features, target_features))
    left, right = as_spectrum(features), as_spectrum(target_features)
    validate.same_length("features", left.features, "target_features", right.features)
    return _cka_linear(left, right)


@jax.jit
def _alone(left: Float[Array, "n d"], right: Float[Array, "n e"]) -> Float[Array, ""]:
    first, second = (rows - rows.mean(axis=0, keepdims=True) for rows in (left, right))
    if left.shape[0] <= min(left.shape[1], right.shape[1]):
        grams = [matmul(rows, rows.T) for rows in (first, second)]
        norms = [jnp.linalg.norm(gram) for gram in grams]
        return _ratio((grams[0] * grams[1]).sum(), norms[0] * norms[1])
    sides = [rows if rows.shape[0] <= rows.shape[1] else rows.T for rows in (first, second)]
    norms = [jnp.linalg.norm(matmul(side, side.T)) for side in sides]
    return _ratio((matmul(first.T, second) ** 2).sum(), norms[0] * norms[1])


@jax.jit
def _cka_linear(left: Spectrum, right: Spectrum) -> Float[Array, ""]:
    if left.samples <= min(left.width, right.width):
        rotation = matmul(left.basis.T, right.basis) - jnp.outer(left.ones, right.ones)
        crossed = (left.values[:, None] * rotation**2 * right.values).sum()
    else:
        first = left.features - left.features.mean(axis=0, keepdims=True)
        second = right.features - right.features.mean(axis=0, keepdims=True)
        crossed = (matmul(first.T, second) ** 2).sum()
    return _ratio(crossed, left.centred_power() * right.centred_power())


def cka_linear_debiased(features: Any, target_features: Any) -> Float[Array, ""]:
    """Linear CKA with the unbiased HSIC estimate: about 0 for independent representations.

    Args:
      features: [n, d], n at least 4.
      target_features: [n, d'].

    Raises:
      DeparaError: lengths differ, NaN.
      DegenerateError: fewer than 4 samples.

    References:
      Song et al., "Feature Selection via Dependence Maximization", JMLR 2012, equation 5; Nguyen,
      Raghu, Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021, equation 3.
    """
    return _alignment(features, target_features, "linear", debiased=True)


def cka_rbf(features: Any, target_features: Any, *, width: float = 1.0) -> Float[Array, ""]:
    """CKA of Gaussian kernels exp(-||x - y||^2 / (2 (width * median distance)^2)).

    The median is over pairs of different samples.

    Args:
      features: [n, d].
      target_features: [n, d'].
      width: of the kernel, in median distances.

    References:
      Kornblith et al., ICML 2019, section 3.
    """
    return _alignment(features, target_features, "rbf", debiased=False, width=width)


def cka_rbf_debiased(
    features: Any, target_features: Any, *, width: float = 1.0
) -> Float[Array, ""]:
    """`cka_rbf` with the unbiased HSIC estimate of `cka_linear_debiased`."""
    return _alignment(features, target_features, "rbf", debiased=True, width=width)


def dds_cosine(features: Any, target_features: Any) -> Float[Array, ""]:
    """Duality diagram similarity with cosine kernels of z-scored features.

    Every entry is z-scored over the samples, the kernels are centred without bias (diagonals left
    out), and compared by the cosine of the two centred matrices, that is, unbiased CKA.

    Args:
      features: [n, d], n at least 4.
      target_features: [n, d'].

    Raises:
      DeparaError: lengths differ, NaN.
      DegenerateError: fewer than 4 samples.

    References:
      Dwivedi, Huang, Cichy, Roig, "Duality Diagram Similarity: a generic framework for
      initialization selection in task transfer learning", ECCV 2020, section 3; z-scoring is its
      best setting.
    """
    return _alignment(features, target_features, "cosine", debiased=True)


def dds_laplacian(features: Any, target_features: Any) -> Float[Array, ""]:
    """`dds_cosine` with Laplacian kernels exp(-||x - y||_1 / d)."""
    return _alignment(features, target_features, "laplacian", debiased=True)


def _alignment(
    features: Any, target_features: Any, kernel: Kernel, *, debiased: bool, width: float = 1.0
) -> Float[Array, ""]:
    pair = validate.as_pair(features, target_features)
    left, right = _at_least(pair, 4 if debiased else 2, f"{kernel} alignment")
    return _aligned(left, right, kernel, debiased, width)


@jax.jit(static_argnums=(2, 3, 4))
def _aligned(
    left: Float[Array, "n d"],
    right: Float[Array, "n e"],
    kernel: Kernel,
    debiased: bool,
    width: float,
) -> Float[Array, ""]:
    vectors = [kernel_vector(rows, kernel, debiased, width) for rows in (left, right)]
    return (vectors[0] * vectors[1]).sum()


def kernel_vector(
    features: Float[Array, "n d"], kernel: Kernel, debiased: bool, width: float = 1.0
) -> Float[Array, " p"]:
    """The centred kernel matrix at unit length: CKA and DDS are products of two of them.

    Zero where the features are constant over the samples: they are like nothing.
    """
    centre = _centre_unbiased if debiased else _centre
    gram = centre(_gram(features, kernel, width))
    return jnp.asarray(stats.normalize_rows(gram.reshape(-1)))


def _gram(rows: Float[Array, "n d"], kernel: Kernel, width: float) -> Float[Array, "n n"]:
    if kernel == "linear":
        centred = rows - rows.mean(axis=0, keepdims=True)
        return matmul(centred, centred.T)
    if kernel == "cosine":
        return jnp.asarray(stats.pairwise_cosine(zscore(rows)))
    if kernel == "laplacian":
        scored = zscore(rows)
        return jax.lax.map(
            lambda row: jnp.exp(-jnp.abs(scored - row).mean(axis=1)),
            scored,
            batch_size=ROWS_AT_A_TIME,
        )
    centred = rows - rows.mean(axis=0, keepdims=True)
    lengths = (centred**2).sum(axis=1)
    squared = jnp.maximum(lengths[:, None] + lengths - 2 * matmul(centred, centred.T), 0)
    median = jnp.median(stats.upper_triangle(squared))
    return jnp.exp(-squared / jnp.where(median > 0, 2 * width**2 * median, 1))


def _centre(gram: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """H K H."""
    columns = gram.mean(axis=0, keepdims=True)
    return gram - columns - columns.T + columns.mean()


def _centre_unbiased(gram: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """U-centring: rows of the off-diagonal part sum to zero, the diagonal is zero."""
    count = gram.shape[0]
    off = ~jnp.eye(count, dtype=bool)
    gram = jnp.where(off, gram, 0)
    # The mean first: the kernels here are often nearly constant, and float32 has 7 digits.
    gram = jnp.where(off, gram - gram.sum() / (count * (count - 1)), 0)
    columns = gram.sum(axis=0, keepdims=True) / (count - 2)
    return jnp.where(off, gram - columns - columns.T + columns.sum() / (count - 1), 0)


def _ratio(above: Float[Array, ""], below: Float[Array, ""]) -> Float[Array, ""]:
    """0 where a side is constant over the samples: it is like nothing."""
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)


def _at_least(pair: tuple[Array, Array], count: int, name: str) -> tuple[Array, Array]:
    if pair[0].shape[0] < count:
        raise DegenerateError(f"{name}: needs {count} samples or more, got {pair[0].shape[0]}")
    return pair
