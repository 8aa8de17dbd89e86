"""Ranks, correlations and cosines against scipy and against numpy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from depara_jax import stats
from tests.references import depara as reference

TIED = np.array([3.0, 1.0, 3.0, 2.0, 1.0, 1.0, 9.0], np.float32)
ordinal_ranks = functools.partial(stats.ranks, ties="ordinal")


def test_average_ranks_equal_scipy_with_and_without_ties(rng):
    for values in (rng.normal(size=301), rng.integers(0, 7, 301), TIED):
        values = values.astype(np.float32)
        # Ranks are half-integers below 2**23: exact in float32.
        np.testing.assert_array_equal(stats.ranks(values), scipy.stats.rankdata(values))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float16, "bfloat16"])
def test_ranks_of_narrow_types_are_not_rounded(dtype):
    values = np.tile([1, 1, 2, 3, 3, 3], 100)
    expected = scipy.stats.rankdata(values)
    np.testing.assert_array_equal(stats.ranks(jnp.asarray(values, dtype)), expected)


def test_ordinal_ranks_follow_position_within_ties():
    assert ordinal_ranks(TIED).tolist() == [5, 1, 6, 4, 2, 3, 7]
    assert ordinal_ranks(TIED).tolist() == reference.ranks(TIED.tolist(), "ordinal")


def test_ranks_of_a_constant_are_all_the_middle_one():
    np.testing.assert_array_equal(stats.ranks(np.zeros(4, np.float32)), np.full(4, 2.5))


@pytest.mark.parametrize("rule", ["average", "ordinal"])
def test_nan_never_becomes_a_rank(rule):
    values = np.array([[1.0, np.nan, 2.0], [1.0, 0.0, 2.0]], np.float32)
    ranked = np.asarray(stats.ranks(values, ties=rule))
    assert np.isnan(ranked[0]).all()
    assert ranked[1].tolist() == [2, 1, 3]


def test_signed_zeros_and_infinities_rank_as_numbers_do():
    values = np.array([0.0, -0.0, np.inf, -np.inf], np.float32)
    assert stats.ranks(values).tolist() == [2.5, 2.5, 4, 1]


def test_batches_rank_row_by_row(rng):
    values = rng.integers(0, 5, (2, 3, 20)).astype(np.float32)
    np.testing.assert_array_equal(stats.ranks(values), scipy.stats.rankdata(values, axis=-1))
    assert stats.ranks(values[:, :, :0]).shape == (2, 3, 0)


@pytest.mark.parametrize("transform", ["eager", "jit", "vmap", "map"])
def test_long_rows_rank_the_same_on_the_host(rng, transform):
    """Numpy sorts them on a CPU: ties, signed zeros, infinities, NaN, batches."""
    values = rng.integers(-40, 40, (3, stats.HOST_SORT + 3)).astype(np.float32) * 0.1
    values[0, :4] = [0.0, -0.0, np.inf, -np.inf]
    expected = scipy.stats.rankdata(values, axis=-1)
    values[1, 7], expected[1] = np.nan, np.nan
    rank = {
        "eager": stats.ranks,
        "jit": jax.jit(stats.ranks),
        "vmap": jax.vmap(stats.ranks),
        "map": lambda rows: jax.lax.map(stats.ranks, rows),
    }[transform]
    np.testing.assert_array_equal(rank(values), expected)


def test_long_ordinal_ranks_equal_those_of_the_device(rng):
    values = rng.integers(0, 9, (2, stats.HOST_SORT)).astype(np.float32)
    expected = scipy.stats.rankdata(values, method="ordinal", axis=-1)
    values[1, 0], expected = np.nan, expected.astype(np.float32)
    expected[1] = np.nan
    np.testing.assert_array_equal(ordinal_ranks(values), expected)
    np.testing.assert_array_equal(jax.jit(ordinal_ranks)(values), expected)


@pytest.mark.parametrize("levels", [None, 4])
def test_spearman_equals_scipy(rng, levels):
    a, b = rng.normal(size=(2, 500)) if levels is None else rng.integers(0, levels, (2, 500))
    expected = scipy.stats.spearmanr(a, b).statistic
    got = stats.spearman(a.astype(np.float32), b.astype(np.float32))
    # 500 products of float32 numbers of length one.
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_spearman_equals_the_papers_formula_without_ties(rng):
    a, b = rng.normal(size=(2, 40)).astype(np.float32)
    expected = reference.spearman_without_ties(a.tolist(), b.tolist())
    np.testing.assert_allclose(stats.spearman(a, b), expected, atol=1e-6)  # float32 rounding
    np.testing.assert_allclose(stats.spearman(a, b, ties="ordinal"), expected, atol=1e-6)


def test_correlation_with_a_constant_is_zero(rng):
    a, constant = rng.normal(size=20).astype(np.float32), np.full(20, 3.0, np.float32)
    assert stats.spearman(a, constant) == 0
    assert stats.pearson(a, constant) == 0


def test_spearman_of_half_a_million_ranks_keeps_float32_accuracy(rng):
    # The edges of 1,000 probe images; a plain float32 sum of squared ranks fails here.
    a = rng.normal(size=499_500).astype(np.float32)
    b = (a + rng.normal(size=a.size)).astype(np.float32)
    expected = scipy.stats.spearmanr(a, b).statistic
    # 499,500 terms of order 1e-6, summed in a tree: a few 1e-7.
    np.testing.assert_allclose(stats.spearman(a, b), expected, atol=2e-6)


def test_cosine_of_tiny_and_huge_vectors_neither_under_nor_overflows(rng):
    a, b = rng.normal(size=(2, 30)).astype(np.float32)
    expected = reference.cosine(a, b)
    for scale in (1e-30, 1e30):
        got = stats.cosine(jnp.asarray(a) * scale, jnp.asarray(b) / scale)
        np.testing.assert_allclose(got, expected, atol=1e-6)  # float32 rounding of 30 terms


def test_cosine_with_a_zero_vector_is_zero():
    assert stats.cosine(jnp.zeros(3), jnp.ones(3)) == 0
    assert not np.isnan(jax.grad(lambda x: stats.cosine(x, jnp.ones(3)))(jnp.full(3, 0.5))).any()


def test_upper_triangle_has_the_order_of_scipys_condensed_distances(rng):
    points = rng.normal(size=(6, 4)).astype(np.float32)
    expected = 1 - scipy.spatial.distance.pdist(points, "cosine")
    got = stats.upper_triangle(stats.pairwise_cosine(points))
    np.testing.assert_allclose(got, expected, atol=1e-6)  # float32 rounding
