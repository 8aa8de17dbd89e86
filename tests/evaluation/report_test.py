"""The one-call evaluation: it repeats the metrics, and its JSON is plain."""

import json

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.evaluation import GroundTruth, evaluate, hits_at_k, regret_at_k

NAMES = tuple("abcdef")


@pytest.fixture
def case(rng):
    affinity = rng.uniform(0.5, 2, size=(6, 6))
    return rng.normal(size=(6, 6)), GroundTruth.from_affinity(affinity, NAMES, NAMES)


def test_json_repeats_the_metrics(case):
    similarity, truth = case
    result = evaluate(similarity, truth, relevant=2, resamples=100).to_dict()
    text = json.loads(json.dumps(result, allow_nan=False))
    hits = hits_at_k(similarity, truth, relevant=2)
    assert text["hits"] == hits.sum(0).tolist()
    assert text["ks"] == [1, 2, 3, 4, 5]
    # Means of six numbers, taken in another order.
    np.testing.assert_allclose(text["precision"], hits.sum(0) / 6 / np.arange(1, 6), rtol=1e-12)
    np.testing.assert_allclose(text["recall"], hits.sum(0) / 12, rtol=1e-12)
    expected = regret_at_k(similarity, truth, relative=True).mean(0)
    np.testing.assert_array_equal(text["regret"], expected)
    assert set(text["spearman"]["per_target"]) == set(NAMES)
    assert {"kendall", "weighted_tau", "pearson", "random", "oracle", "ci"} <= set(text)
    low, high = text["ci"]["precision"]["low"], text["ci"]["precision"]["high"]
    assert (np.array(low) <= text["precision"]).all()
    assert (np.array(high) >= text["precision"]).all()


def test_names_put_the_truth_in_the_order_of_the_matrix(case):
    similarity, truth = case
    turn = [3, 1, 5, 0, 2, 4]
    turned = evaluate(
        similarity[np.ix_(turn, turn)], truth, names=[NAMES[i] for i in turn], relevant=2
    )
    plain = evaluate(similarity, truth, relevant=2)
    np.testing.assert_array_equal(turned.curves.hits, plain.curves.hits)
    np.testing.assert_array_equal(turned.correlations["spearman"], plain.correlations["spearman"])


def test_undefined_numbers_are_null(rng):
    truth = GroundTruth.from_rows([[0, 1, 2, 3], [1, 2, 3, 0]])
    similarity = rng.normal(size=(4, 4))
    similarity[0] = 1.0
    result = evaluate(similarity, truth, relevant=1, resamples=10).to_dict()
    assert result["regret"] is None
    assert "pearson" not in result
    assert result["spearman"]["per_target"]["0"] is None
    assert result["spearman"]["undefined"] == 1
    assert result["spearman"]["mean"] == result["spearman"]["per_target"]["1"]
    json.dumps(result, allow_nan=False)


def test_one_target_has_no_interval_over_targets(rng):
    truth = GroundTruth.from_rows([[0, 1, 2, 3]])
    assert evaluate(rng.normal(size=(4, 4)), truth, relevant=1).to_dict()["ci"] == {}


def test_no_positive_affinity_means_no_relative_regret(rng):
    truth = GroundTruth.from_affinity(-np.ones((1, 3)), "a", "abc")
    assert evaluate(rng.normal(size=(3, 3)), truth, relevant=1).regret is None


def test_mismatch_is_refused(case):
    similarity, truth = case
    with pytest.raises(DeparaError, match="only in the matrix"):
        evaluate(similarity, truth, names=list("abcdeg"))
    with pytest.raises(DeparaError, match="K=6 is larger"):
        evaluate(similarity, truth, ks=[6])
