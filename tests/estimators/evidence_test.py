"""LogME against the marginal likelihood written out as one Gaussian density."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import evidence, log_evidence, logme, logme_multilabel, logme_regression

SHAPES = [(100, 300), (40, 41), (60, 60), (90, 7)]


def brute_force(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> float:
    """log N(t; 0, I/beta + F F'/alpha)."""
    covariance = np.eye(len(target)) / beta + features @ features.T / alpha
    return float(multivariate_normal(np.zeros(len(target)), covariance).logpdf(target))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.03, 20.0), (50.0, 0.4)])
def test_evidence_is_the_gaussian_marginal_likelihood(
    rng: np.random.Generator, shape: tuple[int, int], alpha: float, beta: float
) -> None:
    features, targets = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    ours = log_evidence(features, targets, alpha, beta)
    expected = [brute_force(features, column, alpha, beta) for column in targets.T]
    # float64; the brute force loses digits in the determinant of an n x n covariance.
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_evidence_at_its_own_alpha_and_beta(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    """Where n < d the common code gives 9.1 for 0.2: it drops a term of the determinant."""
    features, labels = rng.normal(size=shape), rng.integers(0, 4, shape[0])
    fit = evidence(features, np.eye(4)[labels])
    expected = [
        brute_force(features, column, alpha, beta) / shape[0]
        for column, alpha, beta in zip(np.eye(4)[labels].T, fit.alpha, fit.beta, strict=True)
    ]
    np.testing.assert_allclose(fit.value, expected, rtol=1e-9)  # as above
    assert float(logme(features, labels)) == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_fixed_point_finds_the_maximum(rng: np.random.Generator) -> None:
    features = rng.normal(size=(100, 10))
    target = features @ rng.normal(size=10) + rng.normal(size=100)
    fit = evidence(features, target[:, None])
    start = np.zeros(2)
    best = minimize(
        lambda p: -brute_force(features, target, *np.exp(p)), start, method="Nelder-Mead"
    )
    # The published rule stops at 1e-3 of alpha/beta, where the maximum is flat to second order.
    assert float(fit.value[0]) == pytest.approx(-best.fun / 100, abs=1e-5)
    assert float(fit.steps[0]) < 11


def test_class_order_does_not_matter(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(80, 120)).astype(np.float32), rng.integers(0, 5, 80)
    renamed = np.array([3, 0, 4, 1, 2])[labels]
    # The mean over classes is summed in another order: a unit or two of float32.
    assert float(logme(features, renamed)) == pytest.approx(
        float(logme(features, labels)), rel=1e-6
    )


def test_absent_class_is_left_out(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(50, 8)).astype(np.float32), rng.integers(0, 3, 50)
    gap = np.array([0, 2, 5])[labels]
    # The same columns, padded with zero ones: another compiled program, another order of sums.
    assert float(logme(features, gap)) == pytest.approx(float(logme(features, labels)), rel=1e-5)


@pytest.mark.usefixtures("x64")
def test_multilabel_and_regression_are_means_over_columns(rng: np.random.Generator) -> None:
    features = rng.normal(size=(60, 9))
    binary = (rng.normal(size=(60, 3)) > 0).astype(float)
    real = rng.normal(size=(60, 2))
    one_by_one = [float(logme_regression(features, column)) for column in real.T]
    # The same operations, batched.
    assert float(logme_regression(features, real)) == pytest.approx(np.mean(one_by_one), rel=1e-10)
    assert float(logme_multilabel(features, binary)) == pytest.approx(
        float(logme_regression(features, binary)), rel=1e-12
    )


def test_targets_that_are_no_labels(rng: np.random.Generator) -> None:
    features = rng.normal(size=(20, 3))
    with pytest.raises(DeparaError, match="zeros and ones"):
        logme_multilabel(features, np.full((20, 2), 0.5))
    with pytest.raises(DegenerateError, match="no maximum"):
        logme_regression(features, np.zeros((20, 2)))
    with pytest.raises(DeparaError, match="20 rows"):
        logme_regression(features, np.zeros((19, 2)))
