"""Metrics against slow loops, with ties, missing pairs and every refused input."""

import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.evaluation import (
    GroundTruth,
    dds_score,
    evaluate,
    hits_at_k,
    oracle_curves,
    precision_at_k,
    random_curves,
    rank_correlations,
    recall_at_k,
    regret_at_k,
)
from tests.references import metrics as slow

NAMES = tuple("abcdefg")


@pytest.fixture(params=["values", "ties", "missing"])
def case(request, rng):
    """A similarity matrix and a truth: plain, with many ties, with missing pairs."""
    similarity = rng.normal(size=(7, 7))
    affinity = rng.uniform(0.5, 2, size=(5, 7))
    if request.param == "ties":
        similarity, affinity = similarity.round(0), affinity.round(0) + 1
    if request.param == "missing":
        affinity[0, 3] = affinity[2, 6] = np.nan
    return similarity, GroundTruth.from_affinity(affinity, NAMES[:5], NAMES)


def candidates(truth, i):
    return [j for j in range(7) if j != truth.rows[i] and not np.isnan(truth.affinity[i, j])]


@pytest.mark.parametrize("relevant", [1, 3])
def test_hits_precision_and_recall_equal_the_loop(case, relevant):
    similarity, truth = case
    ks = [1, 2, 5]
    hits = hits_at_k(similarity, truth, relevant=relevant, ks=ks)
    for i, row in enumerate(truth.order):
        for c, k in enumerate(ks):
            best = row[:relevant].tolist()
            expected = slow.hits(similarity, truth.rows[i], candidates(truth, i), best, k)
            assert hits[i, c] == expected
    precision = precision_at_k(similarity, truth, relevant=relevant, ks=ks)
    np.testing.assert_array_equal(precision, hits / np.array(ks))
    recall = recall_at_k(similarity, truth, relevant=relevant, ks=ks)
    np.testing.assert_array_equal(recall, hits / relevant)


def test_equal_similarities_keep_the_column_order():
    truth = GroundTruth.from_rows([[3, 0, 1, 2]])
    np.testing.assert_array_equal(hits_at_k(np.zeros((4, 4)), truth, relevant=1), [[1, 1, 1]])


def test_regret_equals_the_loop(case):
    similarity, truth = case
    regret = regret_at_k(similarity, truth, ks=[1, 2, 4])
    relative = regret_at_k(similarity, truth, ks=[1, 2, 4], relative=True)
    for i in range(5):
        pool = candidates(truth, i)
        best = max(truth.affinity[i, j] for j in pool)
        for c, k in enumerate([1, 2, 4]):
            expected = slow.regret(similarity, truth.affinity[i], truth.rows[i], pool, k)
            assert regret[i, c] == expected
            assert relative[i, c] == expected / best


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_rank_correlations_equal_the_loop(case, method):
    similarity, truth = case
    found = rank_correlations(similarity, truth, method=method)
    for i in range(5):
        pool = candidates(truth, i)
        a, b = similarity[truth.rows[i], pool], truth.affinity[i, pool]
        # float64 sums over at most 6 values: rounding alone.
        np.testing.assert_allclose(found[i], getattr(slow, method)(a, b), atol=1e-12)


def test_ranks_alone_correlate_by_rank(rng):
    similarity = rng.normal(size=(4, 4))
    truth = GroundTruth.from_rows([[1, 3, 0, 2]])
    expected = slow.spearman(similarity[1, [3, 0, 2]], [3, 2, 1])
    # Rounding of float64 sums over 3 values.
    np.testing.assert_allclose(rank_correlations(similarity, truth), [expected], atol=1e-12)


def test_a_constant_row_has_no_correlation_and_no_other_row_suffers(case):
    similarity, truth = case
    similarity[truth.rows[1]] = 1.0
    found = rank_correlations(similarity, truth)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False, False])


def test_random_reference_equals_the_mean_over_all_orders():
    truth = GroundTruth.from_affinity([[0, 1, 2, 3, np.nan], [1, 0, 2, 3, 4.0]], "ab", "abcde")
    curves = random_curves(truth, relevant=2, ks=[1, 2, 3])
    for c, k in enumerate([1, 2, 3]):
        counts = [slow.random_hits(pool, pool[:2], k) for pool in ([1, 2, 3], [0, 2, 3, 4])]
        # Closed form against a mean of 24 whole numbers: rounding alone.
        np.testing.assert_allclose(curves.hits[c], sum(counts), rtol=1e-12)
        np.testing.assert_allclose(curves.precision[c], np.mean(counts) / k, rtol=1e-12)
        np.testing.assert_allclose(curves.recall[c], np.mean(counts) / 2, rtol=1e-12)


def test_oracle_reference_is_what_the_truth_itself_scores(rng):
    affinity = rng.normal(size=(7, 7))
    truth = GroundTruth.from_affinity(affinity, NAMES, NAMES)
    oracle = oracle_curves(truth, relevant=3)
    np.testing.assert_array_equal(oracle.hits, hits_at_k(affinity, truth, relevant=3).sum(0))
    np.testing.assert_array_equal(oracle.precision, np.minimum(1, 3 / np.arange(1, 7)))


def test_dds_score_with_and_without_the_diagonal(rng):
    similarity, affinity = rng.normal(size=(7, 7)), rng.normal(size=(5, 7))
    truth = GroundTruth.from_affinity(affinity, NAMES[:5], NAMES)
    everything = np.mean([slow.spearman(similarity[i], affinity[i]) for i in range(5)])
    others = np.mean(
        [slow.spearman(np.delete(similarity[i], i), np.delete(affinity[i], i)) for i in range(5)]
    )
    # Rounding of float64 sums over 7 values.
    np.testing.assert_allclose(dds_score(similarity, truth), everything, atol=1e-12)
    reported = evaluate(similarity, truth, relevant=1, resamples=10).to_dict()["dds"]
    assert reported["with_diagonal"] == dds_score(similarity, truth)
    assert reported["without_diagonal"] == dds_score(similarity, truth, include_diagonal=False)
    without = dds_score(similarity, truth, include_diagonal=False)
    np.testing.assert_allclose(without, others, atol=1e-12)


def test_dds_score_needs_affinities():
    with pytest.raises(DegenerateError, match="ranks alone"):
        dds_score(np.eye(3), GroundTruth.from_rows([[0, 1, 2]]))
    truth = GroundTruth.from_affinity([[np.nan, 1.0, 2.0]], "a", "abc")
    with pytest.raises(DegenerateError, match="no affinity to itself"):
        dds_score(np.eye(3), truth)


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (np.zeros((3, 4)), r"shape \(3, 4\), expected a square"),
        (np.zeros(3), "expected a square"),
        (np.zeros((4, 4)), "4 x 4, but the ground truth has 3 candidates"),
        (np.full((3, 3), np.nan), "9 values that are not finite"),
        (np.diag([0, 0, np.inf]), r"the first at \('2', '2'\)"),
        (np.array([["x"] * 3] * 3), "real numbers"),
    ],
)
def test_bad_matrices_are_refused(similarity, message):
    with pytest.raises(DeparaError, match=message):
        hits_at_k(similarity, GroundTruth.from_rows([[0, 1, 2]]), relevant=1)


@pytest.mark.parametrize("ks", [[3], [0], [], np.array([1.5]), np.array([[1]])])
def test_bad_cutoffs_are_refused(ks):
    with pytest.raises(DeparaError, match="K"):
        hits_at_k(np.eye(3), GroundTruth.from_rows([[0, 1, 2]]), relevant=1, ks=ks)


def test_k_beyond_the_candidates_names_the_target():
    truth = GroundTruth.from_affinity([[0, 1, 2], [1, 0, np.nan]], "ab", "abc")
    with pytest.raises(DeparaError, match="K=2 is larger than the 1 candidates of target 'b'"):
        hits_at_k(np.eye(3), truth, relevant=1, ks=[2])


def test_a_target_without_sources_is_refused_by_name():
    truth = GroundTruth.from_affinity([[0, 1, 2], [np.nan, 0, np.nan]], "ab", "abc")
    with pytest.raises(DegenerateError, match="target 'b' has no candidate .* leave it out"):
        hits_at_k(np.eye(3), truth, relevant=1)


def test_undefined_regret_is_refused():
    with pytest.raises(DegenerateError, match="ranks alone"):
        regret_at_k(np.eye(3), GroundTruth.from_rows([[0, 1, 2]]))
    truth = GroundTruth.from_affinity([[0, -1, -2]], "a", "abc")
    with pytest.raises(DegenerateError, match="not positive"):
        regret_at_k(np.eye(3), truth, relative=True)


def test_unknown_correlations_offer_the_near_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'spearman'"):
        rank_correlations(np.eye(3), GroundTruth.from_rows([[0, 1, 2]]), method="sperman")


def test_sources_that_the_truth_does_not_rank_still_compete(rng):
    similarity = rng.normal(size=(7, 7))
    truth = GroundTruth.from_rows([["c", "a", "f"]], NAMES)
    hits = hits_at_k(similarity, truth, relevant=2)
    pool = [0, 1, 3, 4, 5, 6]
    assert hits.tolist() == [[slow.hits(similarity, 2, pool, [0, 5], k) for k in range(1, 7)]]
    # Only the two ranked ones have a rank to correlate with.
    expected = np.sign(similarity[2, 0] - similarity[2, 5])
    np.testing.assert_array_equal(rank_correlations(similarity, truth), [expected])
