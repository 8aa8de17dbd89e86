"""LEEP, NCE, hardness, energy and PARC against obvious loops, and at their limits."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from depara_jax.errors import DeparaError
from depara_jax.estimators import energy, leep, nce, parc, task_hardness
from tests.estimators.conftest import golden_data


def data() -> tuple[np.ndarray, ...]:
    features, labels, probabilities = golden_data(N=90, D=10, C=3, Cs=5, seed=4)
    return features.astype(np.float32), labels, probabilities.astype(np.float32)


def slow_leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    joint = {y: probabilities[labels == y].sum(axis=0) / len(labels) for y in np.unique(labels)}
    marginal = sum(joint.values())
    total = 0.0
    for row, y in zip(probabilities, labels, strict=True):
        total += np.log(
            sum(joint[y][z] / marginal[z] * row[z] for z in range(len(row)) if row[z] > 0)
        )
    return total / len(labels)


def test_leep_is_its_definition() -> None:
    _, labels, probabilities = data()
    # float32 sums
    assert float(leep(probabilities, labels)) == pytest.approx(
        slow_leep(probabilities, labels), rel=1e-5
    )


def test_zero_probabilities_are_no_nan() -> None:
    """A source class that never occurs divides 0 by 0 in the common code."""
    _, labels, probabilities = data()
    padded = np.concatenate([probabilities, np.zeros((90, 2), np.float32)], axis=1)
    # The same numbers and two zeros
    assert float(leep(padded, labels)) == pytest.approx(
        float(leep(probabilities, labels)), rel=1e-6
    )
    assert float(nce(padded, labels)) == pytest.approx(float(nce(probabilities, labels)), rel=1e-6)
    hard = np.eye(5, dtype=np.float32)[probabilities.argmax(axis=1)]
    # With one-hot predictions the two scores are one.
    assert float(leep(hard, labels)) == pytest.approx(float(nce(hard, labels)), rel=1e-5)


def test_a_perfect_source_scores_zero() -> None:
    labels = np.arange(30) % 3
    perfect = np.eye(3, dtype=np.float32)[labels]
    assert float(leep(perfect, labels)) == 0.0
    assert float(nce(perfect, labels)) == 0.0


def test_absent_class_changes_nothing() -> None:
    features, labels, probabilities = data()
    gap = np.array([0, 3, 5])[labels]
    for score, given in ((leep, probabilities), (nce, probabilities), (parc, features)):
        # The same sums with rows of zeros between: float32 rounding
        assert float(score(given, gap)) == pytest.approx(float(score(given, labels)), rel=1e-5)
    assert float(task_hardness(gap)) == pytest.approx(float(task_hardness(labels)), rel=1e-6)


def test_task_hardness_is_the_entropy_and_bounds_nce() -> None:
    _, labels, probabilities = data()
    expected = scipy_stats.entropy(np.bincount(labels))
    assert float(task_hardness(labels)) == pytest.approx(expected, rel=1e-6)  # float32
    trivial = np.tile(np.array([[1.0, 0.0]], np.float32), (90, 1))
    # NCE of a source that says nothing is -H(Y).
    assert float(nce(trivial, labels)) == pytest.approx(-expected, rel=1e-5)
    assert float(nce(probabilities, labels)) >= -expected


def test_energy_over_a_share_of_the_samples() -> None:
    logits = np.log(np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [8.0, 8.0]], np.float32))
    expected = np.log([2.0, 4.0, 8.0, 16.0])
    assert float(energy(logits)) == pytest.approx(expected.mean(), rel=1e-6)  # float32
    assert float(energy(logits, percent=50.0)) == pytest.approx(expected[2:].mean(), rel=1e-6)
    assert float(energy(logits, percent=25.0, tail="bottom")) == pytest.approx(
        expected[0], rel=1e-6
    )
    with pytest.raises(DeparaError, match="percent"):
        energy(logits, percent=0.0)
    with pytest.raises(DeparaError, match="tail"):
        energy(logits, tail="middle")


def test_parc_ignores_constant_entries_and_projects() -> None:
    features, labels, _ = data()
    constant = np.concatenate([features, np.full((90, 1), 0.1, np.float32)], axis=1)
    scored = (features - features.mean(axis=0)) / features.std(axis=0)
    pairs = np.triu_indices(90, 1)
    wide = np.concatenate([scored, np.zeros((90, 1))], axis=1)
    differ = (labels[:, None] != labels)[pairs]
    expected = 100 * scipy_stats.spearmanr((1 - np.corrcoef(wide))[pairs], differ).statistic
    # float32 may swap near-equal ranks among 4,005
    assert float(parc(constant, labels)) == pytest.approx(expected, abs=0.01)
    reduced = pytest.importorskip("sklearn.decomposition").PCA(4).fit_transform(features)
    scored = reduced / reduced.std(axis=0)
    expected = 100 * scipy_stats.spearmanr((1 - np.corrcoef(scored))[pairs], differ).statistic
    assert float(parc(features, labels, n_components=4)) == pytest.approx(expected, abs=0.01)
