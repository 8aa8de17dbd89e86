"""Ranks by numpy are scipy's, at every value that float32 has."""

import numpy as np
import pytest
import scipy.stats

from depara_jax.host.ranks import ranks

ODD = [0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, 3e38, -3e38, 1.0, -1.0, 1.0, 0.0]


def rows(rng):
    bits = rng.integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
    yield bits[~np.isnan(bits)]  # every kind of number, both signs
    yield np.array(ODD, np.float32)
    yield rng.integers(-5, 5, 500).astype(np.float32)
    yield rng.normal(size=500)  # float64 goes another way
    yield np.array([2.0], np.float32)


@pytest.mark.parametrize("ties", ["average", "ordinal"])
def test_equal_to_scipy(rng, ties):
    for row in rows(rng):
        got = ranks(row, ties=ties)
        assert got.dtype == row.dtype
        np.testing.assert_array_equal(got, scipy.stats.rankdata(row, method=ties))


@pytest.mark.parametrize("ties", ["average", "ordinal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_with_nan_has_no_ranks(ties, dtype):
    got = ranks(np.array([1, np.nan, -np.nan, 0], dtype), ties=ties)
    assert np.isnan(got).all()
