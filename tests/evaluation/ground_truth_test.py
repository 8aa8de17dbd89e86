"""Ground truths: what is accepted, what is refused, and with which words."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.evaluation import GroundTruth

NAMES = ("a", "b", "c", "d")


def test_rows_of_ids_and_of_names_agree():
    ids = GroundTruth.from_rows(np.array([[1, 3, 0, 2], [0, 2, 1, 3]]), NAMES)
    names = GroundTruth.from_rows([["b", "d", "a", "c"], ["a", "c", "b", "d"]], NAMES)
    assert ids.targets == names.targets == ("b", "a")
    np.testing.assert_array_equal(ids.order, [[3, 0, 2], [2, 1, 3]])
    np.testing.assert_array_equal(names.order, ids.order)
    np.testing.assert_array_equal(ids.rows, [1, 0])


def test_ids_alone_name_the_candidates_by_number():
    assert GroundTruth.from_rows([[2, 0, 1]]).candidates == ("0", "1", "2")


def test_affinities_rank_descending_with_ties_in_column_order():
    truth = GroundTruth.from_affinity([[9.0, 1.0, 2.0, 1.0], [2.0, 9.0, 2.0, 3.0]], "ab", NAMES)
    np.testing.assert_array_equal(truth.order, [[2, 1, 3], [3, 0, 2]])


def test_a_missing_pair_is_no_candidate():
    truth = GroundTruth.from_affinity([[np.nan, 1.0, np.nan, 3.0]], ["a"], NAMES)
    np.testing.assert_array_equal(truth.order, [[3, 1, -1]])
    np.testing.assert_array_equal(truth.pairs, [[False, True, False, True]])


def test_relevant_marks_the_best():
    truth = GroundTruth.from_rows([[1, 3, 0, 2]], NAMES)
    np.testing.assert_array_equal(truth.relevant(2), [[True, False, False, True]])


def test_selecting_candidates_keeps_their_true_order():
    truth = GroundTruth.from_rows([[1, 3, 0, 2], [0, 2, 1, 3]], NAMES)
    small = truth.select(targets=["b"], candidates=["c", "b", "d"])
    assert [small.candidates[j] for j in small.order[0]] == ["d", "c"]
    values = GroundTruth.from_affinity([[9.0, 1.0, 2.0, 3.0]], ["a"], NAMES)
    small = values.select(candidates=["c", "a", "b"])
    np.testing.assert_array_equal(small.affinity, [[2.0, 9.0, 1.0]])
    np.testing.assert_array_equal(small.order, [[0, 2]])


def test_aligned_follows_the_matrix():
    truth = GroundTruth.from_rows([[1, 3, 0, 2]], NAMES)
    turned = truth.aligned(["d", "c", "b", "a"])
    assert [turned.candidates[j] for j in turned.order[0]] == ["d", "a", "c"]
    assert turned.rows[0] == 2


def test_aligned_refuses_other_names():
    truth = GroundTruth.from_rows([[1, 3, 0, 2]], NAMES)
    with pytest.raises(DeparaError, match="'d' only in the truth, 'e' only in the matrix"):
        truth.aligned(["a", "b", "c", "e"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 3, 3, 2]], "repeats 'd'"),
        ([[1, 3, 1, 2]], "ranks the target itself"),
        ([[1, 3, 7, 2]], "id 7 is outside 0..3"),
        ([[1, 3, -1, 2]], "id -1 is outside"),
        ([[1.5, 3, 0, 2]], "not a whole number"),
        ([[1, 3, 0], [1, 0, 3]], "target 'b' occurs twice"),
        ([[1]], "at least one source"),
        ([["b", "dd"]], "unknown candidate"),
        ([], "no targets"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(DeparaError, match=message):
        GroundTruth.from_rows(rows, NAMES)


def test_names_without_candidates_are_refused():
    with pytest.raises(DeparaError, match="need the list of candidates"):
        GroundTruth.from_rows([["b", "a"]])


def test_bad_affinities_are_refused():
    with pytest.raises(UnknownNameError, match="a target must be in the matrix"):
        GroundTruth.from_affinity([[1.0, 2.0, 3.0, 4.0]], ["z"], NAMES)
    with pytest.raises(DeparaError, match="infinite"):
        GroundTruth.from_affinity([[1.0, np.inf, 3.0, 4.0]], ["a"], NAMES)
    with pytest.raises(DeparaError, match=r"expected \[1 targets, 4 candidates\]"):
        GroundTruth.from_affinity([[1.0, 2.0]], ["a"], NAMES)


def test_a_relevant_set_larger_than_the_ranking_is_refused():
    truth = GroundTruth.from_rows([[1, 3, 0]], NAMES)
    with pytest.raises(DeparaError, match="has only 2 ranked sources"):
        truth.relevant(3)
    with pytest.raises(DeparaError, match="at least 1"):
        truth.relevant(0)


def test_selecting_unknown_names_offers_the_near_ones():
    truth = GroundTruth.from_rows([["apple", "pear"]], ["apple", "pear"])
    with pytest.raises(UnknownNameError, match="did you mean 'apple'"):
        truth.select(targets=["aple"])
    with pytest.raises(UnknownNameError, match="must be in the matrix"):
        truth.select(targets=["apple"], candidates=["pear"])
