"""Correlations against scipy, and where they are undefined."""

import numpy as np
import pytest
import scipy.stats

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation.correlation import CORRELATIONS
from tests.references import metrics as slow

SCIPY = {
    "spearman": lambda a, b: scipy.stats.spearmanr(a, b)[0],
    "kendall": lambda a, b: scipy.stats.kendalltau(a, b)[0],
    "weighted_tau": lambda a, b: scipy.stats.weightedtau(a, b)[0],
    "pearson": lambda a, b: scipy.stats.pearsonr(a, b)[0],
}


@pytest.mark.parametrize("name", CORRELATIONS)
@pytest.mark.parametrize("ties", [False, True])
def test_equal_to_scipy(name, ties, rng):
    a = rng.normal(size=40)
    b = a + rng.normal(size=40)
    if ties:
        a, b = a.round(0), b.round(0)
    # The same float64 formula, summed in another order.
    np.testing.assert_allclose(CORRELATIONS[name](a, b), SCIPY[name](a, b), atol=1e-12)


@pytest.mark.parametrize("name", ["spearman", "kendall"])
def test_equal_to_the_definition(name, rng):
    a, b = rng.normal(size=(2, 12)).round(1)
    # Counting pairs in whole numbers against float64 sums.
    np.testing.assert_allclose(CORRELATIONS[name](a, b), getattr(slow, name)(a, b), atol=1e-12)


def test_weighted_tau_minds_the_top_more(rng):
    b = np.arange(10.0)[::-1]
    top, bottom = b.copy(), b.copy()
    top[[0, 1]], bottom[[8, 9]] = top[[1, 0]], bottom[[9, 8]]
    weighted = CORRELATIONS["weighted_tau"]
    assert weighted(top, b) < weighted(bottom, b) < 1
    plain = CORRELATIONS["kendall"]
    assert plain(top, b) == plain(bottom, b)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_a_perfect_order_is_exactly_one(name):
    tiny = np.arange(1, 8) * 1e-300  # squares underflow
    # One up to the rounding of a square root.
    np.testing.assert_allclose(CORRELATIONS[name](tiny, tiny), 1.0, atol=1e-15)
    assert CORRELATIONS[name](tiny, tiny) <= 1.0


@pytest.mark.parametrize("name", CORRELATIONS)
def test_undefined_is_an_error(name):
    with pytest.raises(DegenerateError, match="constant"):
        CORRELATIONS[name]([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(DegenerateError, match="at least 2"):
        CORRELATIONS[name]([1.0], [1.0])
    with pytest.raises(DeparaError, match="NaN or infinite"):
        CORRELATIONS[name]([1.0, np.nan, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(DeparaError, match="one length"):
        CORRELATIONS[name]([1.0, 2.0], [1.0, 2.0, 3.0])
