"""Leave-one-out neighbours against scikit-learn; ties; limits."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.estimators import knn


@pytest.mark.parametrize("k", [1, 4, 10])
def test_agrees_with_scikit_learn(rng: np.random.Generator, k: int) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    selection = pytest.importorskip("sklearn.model_selection")
    features, labels = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    model = neighbors.KNeighborsClassifier(k, algorithm="brute")
    expected = selection.cross_val_score(model, features, labels, cv=selection.LeaveOneOut()).mean()
    assert float(knn(features, labels, k=k)) == pytest.approx(expected, abs=1e-6)  # float32 mean


def test_a_tied_vote_goes_to_the_smallest_class() -> None:
    features = np.array([[0.0], [1.0], [-1.1], [50.0], [60.0]], np.float32)
    # Sample 0 has neighbours of classes 2 and 1, one vote each: class 1 wins.
    labels = np.array([1, 2, 1, 3, 3])
    assert float(knn(features, labels, k=2)) == pytest.approx(
        np.mean([True, False, True, False, False])  # 3 and 4 see {3, 2} -> 2
    )


def test_a_sample_is_not_its_own_neighbour() -> None:
    features = np.array([[0.0], [0.0], [9.0], [9.0]], np.float32)
    assert float(knn(features, np.array([0, 1, 0, 1]), k=1)) == 0.0
    assert float(knn(features, np.array([0, 0, 1, 1]), k=1)) == 1.0


def test_a_large_mean_costs_no_neighbours(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(80, 6)), rng.integers(0, 3, 80)
    moved = (features + 300).astype(np.float32)
    assert float(knn(moved, labels)) == float(knn((moved - 300).astype(np.float32), labels))


def test_k_is_checked(rng: np.random.Generator) -> None:
    for k in (0, 10):
        with pytest.raises(DeparaError, match=r"k: expected 1\.\.9"):
            knn(rng.normal(size=(10, 2)), np.arange(10) % 2, k=k)
