"""Label-free similarities against scipy, plain numpy, and what they must be in known cases."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.linalg import orthogonal_procrustes, subspace_angles
from scipy.spatial import distance

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import (
    ESTIMATORS,
    cka_linear,
    cka_linear_debiased,
    cka_rbf,
    cka_rbf_debiased,
    dds_cosine,
    dds_laplacian,
    procrustes,
    pwcca,
    rsa,
    spectrum,
    svcca,
)

pytestmark = pytest.mark.usefixtures("x64")
SYMMETRIC = [rsa, cka_linear, cka_linear_debiased, cka_rbf, cka_rbf_debiased, dds_cosine]
SYMMETRIC += [dds_laplacian, svcca, procrustes]


def pair(rng: np.random.Generator, n: int = 50, d: int = 12, e: int = 7) -> tuple[Any, Any]:
    left = rng.normal(size=(n, d)) + 1
    return left, left @ rng.normal(size=(d, e)) + 2 * rng.normal(size=(n, e))


def unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, equation 5, as written."""
    n = len(k)
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
    cross = one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (
        one @ k @ m @ one
    )
    return (np.trace(k @ m) + cross) / (n * (n - 3))


def biased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    centre = np.eye(len(k)) - 1 / len(k)
    return np.trace(k @ centre @ m @ centre)


def alignment(hsic: Callable[..., float], k: np.ndarray, m: np.ndarray) -> float:
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def rbf(rows: np.ndarray) -> np.ndarray:
    squared = distance.pdist(rows, "sqeuclidean")
    return np.exp(-distance.squareform(squared) / (2 * np.median(squared)))


def z(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


KERNELS: dict[Any, tuple[Any, Any]] = {
    cka_linear: (biased_hsic, lambda x: x @ x.T),
    cka_linear_debiased: (unbiased_hsic, lambda x: x @ x.T),
    cka_rbf: (biased_hsic, rbf),
    cka_rbf_debiased: (unbiased_hsic, rbf),
    dds_cosine: (
        unbiased_hsic,
        lambda x: 1 - distance.squareform(distance.pdist(z(x), "cosine")),
    ),
    dds_laplacian: (
        unbiased_hsic,
        lambda x: np.exp(-distance.squareform(distance.pdist(z(x), "cityblock")) / x.shape[1]),
    ),
}


@pytest.mark.parametrize("score", KERNELS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("sizes", [(50, 12, 7), (20, 30, 40)])
def test_kernel_alignments_are_their_definitions(
    rng: np.random.Generator, score: Any, sizes: tuple[int, int, int]
) -> None:
    left, right = pair(rng, *sizes)
    hsic, kernel = KERNELS[score]
    # float64 sums in another order
    assert float(score(left, right)) == pytest.approx(
        alignment(hsic, kernel(left), kernel(right)), rel=1e-8
    )


@pytest.mark.parametrize("sizes", [(50, 12, 7), (20, 30, 40), (20, 30, 7)])
def test_linear_cka_shares_a_decomposition(
    rng: np.random.Generator, sizes: tuple[int, int, int]
) -> None:
    left, right = pair(rng, *sizes)
    shared = cka_linear(spectrum(left), spectrum(right))
    # float64 through an eigendecomposition
    assert float(shared) == pytest.approx(float(cka_linear(left, right)), rel=1e-10)


def test_rsa_is_its_definition(rng: np.random.Generator) -> None:
    left, right = pair(rng)
    distances = [distance.pdist(rows, "correlation") for rows in (left, right)]
    expected = scipy_stats.spearmanr(*distances).statistic
    assert float(rsa(left, right)) == pytest.approx(expected, rel=1e-10)  # ranks are exact


@pytest.mark.parametrize("sizes", [(50, 12, 7), (20, 30, 40), (30, 40, 5)])
def test_procrustes_is_the_best_rotation(
    rng: np.random.Generator, sizes: tuple[int, int, int]
) -> None:
    left, right = pair(rng, *sizes)
    width = max(sizes[1:])
    first, second = (
        np.pad(rows - rows.mean(axis=0), ((0, 0), (0, width - rows.shape[1])))
        for rows in (left, right)
    )
    expected = orthogonal_procrustes(first, second)[1]
    expected /= np.linalg.norm(first) * np.linalg.norm(second)
    # float64 through square roots of Gram eigenvalues
    assert float(procrustes(left, right)) == pytest.approx(expected, rel=1e-7)


def test_svcca_is_the_mean_cosine_of_principal_angles(rng: np.random.Generator) -> None:
    left, right = pair(rng)
    kept = []
    for rows in (left, right):
        u, s, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        count = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.9)) + 1
        kept.append(u[:, :count])
    expected = np.cos(subspace_angles(*kept)).mean()
    assert float(svcca(left, right, energy=0.9)) == pytest.approx(expected, rel=1e-9)  # float64


def test_pwcca_weighs_canonical_correlations(rng: np.random.Generator) -> None:
    left, right = pair(rng)
    centred, other = left - left.mean(axis=0), right - right.mean(axis=0)
    # Canonical directions from the eigenvectors of the whitened product, another way round.
    root = np.linalg.inv(np.linalg.cholesky(centred.T @ centred))
    product = (
        root @ centred.T @ other @ np.linalg.pinv(other.T @ other) @ other.T @ centred @ root.T
    )
    values, vectors = np.linalg.eigh(product)
    directions = centred @ root.T @ vectors[:, ::-1][:, :7]
    weights = np.abs(directions.T @ centred).sum(axis=1)
    expected = (weights * np.sqrt(values[::-1][:7])).sum() / weights.sum()
    assert float(pwcca(left, right)) == pytest.approx(expected, rel=1e-8)  # two inversions


def test_pwcca_warns_where_it_is_meaningless(rng: np.random.Generator) -> None:
    for left, right in (pair(rng, 20, 25, 5), pair(rng, 20, 5, 25)):
        with pytest.warns(UserWarning, match="d >= n - 1"):
            assert float(pwcca(left, right)) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("score", [*SYMMETRIC, pwcca], ids=lambda f: f.__name__)
def test_a_representation_is_like_itself(rng: np.random.Generator, score: Any) -> None:
    left, _ = pair(rng)
    assert float(score(left, left)) == pytest.approx(1.0, abs=1e-9)  # rounding


@pytest.mark.parametrize("score", SYMMETRIC, ids=lambda f: f.__name__)
def test_symmetry(rng: np.random.Generator, score: Any) -> None:
    left, right = pair(rng)
    assert float(score(left, right)) == pytest.approx(float(score(right, left)), rel=1e-10)


def test_debiased_scores_of_independent_features_are_near_zero(rng: np.random.Generator) -> None:
    left, right = rng.normal(size=(60, 500)), rng.normal(size=(60, 500))
    assert float(cka_linear(left, right)) > 0.8  # the bias that the name warns of
    for score in (cka_linear_debiased, cka_rbf_debiased, dds_cosine):
        assert abs(float(score(left, right))) < 0.1  # 60 * 59 / 2 pairs: a deviation of about 0.02


@pytest.mark.parametrize("score", SYMMETRIC, ids=lambda f: f.__name__)
def test_constant_features_are_like_nothing(rng: np.random.Generator, score: Any) -> None:
    assert float(score(np.full((30, 5), 0.1), rng.normal(size=(30, 4)))) == pytest.approx(
        0, abs=1e-6
    )


def test_limits(rng: np.random.Generator) -> None:
    three = rng.normal(size=(3, 5))
    with pytest.raises(DegenerateError, match="needs 4 samples"):
        cka_linear_debiased(three, three)
    with pytest.raises(DeparaError, match="both must be about the same samples"):
        cka_linear(three, rng.normal(size=(4, 5)))
    with pytest.raises(DeparaError, match="energy"):
        svcca(three, three, energy=1.5)
    assert {"rsa", "svcca"} <= set(ESTIMATORS)
