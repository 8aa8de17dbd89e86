"""H-score, shrinkage H-score, TransRate and GBC against their definitions, and at their limits."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from depara_jax.errors import DeparaError
from depara_jax.estimators import (
    ESTIMATORS,
    gbc_diagonal,
    gbc_spherical,
    h_score,
    h_score_shrinkage,
    spectrum,
    transrate,
)
from depara_jax.estimators.features import ledoit_wolf


def class_means(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([features[labels == one].mean(axis=0) for one in labels])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(80, 12), (30, 40), (30, 30), (31, 30)])
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_h_scores_are_their_definitions(
    rng: np.random.Generator, shape: tuple[int, int], shift: float
) -> None:
    """With a large mean, the uncentred decomposition and the centred definition differ most."""
    features, labels = rng.normal(size=shape) + shift, rng.integers(0, 4, shape[0])
    labels[:4] = range(4)
    between = np.cov(class_means(features, labels), rowvar=False)
    # What numpy's default cutoff takes for rank is rounding where d >= n - 1; 1e-10 is above it.
    expected = np.trace(np.linalg.pinv(np.cov(features, rowvar=False), rcond=1e-10) @ between)
    call = ESTIMATORS["h_score"].function
    if shape[1] >= shape[0] - 1:
        with pytest.warns(UserWarning, match="d >= n - 1"):
            ours = call(features, labels)
        assert float(ours) == pytest.approx(3.0, abs=1e-8)  # classes - 1, for any features
    else:
        ours = call(features, labels)
    # A mean of 30 costs the squared Gram 3 of its 16 digits, and the inverse some more.
    assert float(ours) == pytest.approx(expected, rel=1e-8)

    shrinkage = pytest.importorskip("sklearn.covariance").LedoitWolf().fit(features)
    alpha = shrinkage.shrinkage_
    expected = np.trace(np.linalg.solve(shrinkage.covariance_, (1 - alpha) * between))
    assert float(ledoit_wolf(spectrum(features))[0]) == pytest.approx(alpha, rel=1e-9)
    assert float(h_score_shrinkage(features, labels)) == pytest.approx(expected, rel=1e-9)


def test_h_score_warns_where_it_is_meaningless(rng: np.random.Generator) -> None:
    labels = np.arange(50) % 10
    with pytest.warns(UserWarning, match="h_score_shrinkage"):
        value = h_score(rng.normal(size=(50, 64)).astype(np.float32), labels)
    assert float(value) == pytest.approx(9.0, abs=1e-3)  # float32 through a Gram matrix
    # One entry fewer than n - 1 does not warn (warnings are errors here).
    assert float(h_score(rng.normal(size=(50, 48)).astype(np.float32), labels)) < 9.0


def test_duplicated_features_count_once(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(100, 6)).astype(np.float32), rng.integers(0, 3, 100)
    twice = np.concatenate([features, features], axis=1)
    # The pseudo-inverse of float32: the null directions must be recognised as such.
    assert float(h_score(twice, labels)) == pytest.approx(
        float(h_score(features, labels)), rel=1e-4
    )


def test_constant_features_separate_nothing() -> None:
    features, labels = np.full((40, 5), 3.3, np.float32), np.arange(40) % 4
    # 0 but for the rounding of the mean of equal numbers.
    assert float(h_score(features, labels)) == pytest.approx(0.0, abs=1e-5)
    assert float(h_score_shrinkage(features, labels)) == pytest.approx(0.0, abs=1e-5)
    assert float(transrate(features, labels)) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(60, 8), (40, 70)])
def test_transrate_is_its_definition(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    features, labels = rng.normal(size=shape) + 2, rng.integers(0, 3, shape[0])
    centred = features - features.mean(axis=0)

    def rate(rows: np.ndarray) -> float:
        gram = np.eye(shape[1]) + rows.T @ rows / (len(rows) * 0.01)
        return 0.5 * np.linalg.slogdet(gram)[1]

    expected = rate(centred) - np.mean([rate(centred[labels == one]) for one in range(3)])
    # float64 sums in another order
    assert float(transrate(features, labels, epsilon=0.01)) == pytest.approx(expected, rel=1e-10)
    gap = np.array([0, 2, 4])[labels]  # classes 1 and 3 do not occur
    assert float(transrate(features, gap, epsilon=0.01)) == pytest.approx(expected, rel=1e-10)


def test_transrate_of_a_duplicated_sample_stays_exact(rng: np.random.Generator) -> None:
    """The class's Gram is singular; in float32 its rounding would be worth 0.3 a duplicate."""
    features = np.repeat(rng.normal(size=(20, 50)), 2, axis=0)
    labels = np.repeat(np.arange(20) % 4, 2)
    centred = features - features.mean(axis=0)

    def rate(rows: np.ndarray) -> float:
        gram = np.eye(50) + rows.T @ rows / (len(rows) * 1e-4)
        return 0.5 * np.linalg.slogdet(gram)[1]

    expected = rate(centred) - np.mean([rate(centred[labels == one]) for one in range(4)])
    # float32 relative to rates of about 100
    assert float(transrate(features.astype(np.float32), labels)) == pytest.approx(
        expected, rel=2e-4
    )


@pytest.mark.usefixtures("x64")
def test_gbc_is_the_bhattacharyya_overlap_of_gaussians(rng: np.random.Generator) -> None:
    """Against the integral of sqrt(p q) for two classes in one dimension."""
    features = np.concatenate([rng.normal(0, 1, 200), rng.normal(1.5, 2, 200)])[:, None]
    labels = np.repeat([0, 1], 200)
    grid = np.linspace(-30, 30, 200001)
    density = [
        multivariate_normal(features[labels == one].mean(), features[labels == one].var()).pdf(grid)
        for one in (0, 1)
    ]
    overlap = np.sqrt(density[0] * density[1]).sum() * (grid[1] - grid[0])
    for score in (gbc_diagonal, gbc_spherical):
        # The sum on a fine grid converges faster than any power; both orders of the pair count.
        assert float(score(features, labels)) == pytest.approx(-2 * overlap, rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_spherical_gbc_is_diagonal_gbc_of_isotropic_classes(rng: np.random.Generator) -> None:
    """It needs the width in the log term: two classes with variances 1 and 4 in 3 entries."""
    points = rng.normal(size=(50, 3))
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    features, labels = np.concatenate([points, 2 * points + 1]), np.repeat([0, 1], 50)
    one, other = (
        score(features, labels, n_components=None) for score in (gbc_diagonal, gbc_spherical)
    )
    assert float(one) == pytest.approx(float(other), rel=1e-12)


def test_one_sample_a_class(rng: np.random.Generator) -> None:
    """Variances of 0 take the floor; classes that are apart do not overlap."""
    features = rng.normal(size=(6, 4)).astype(np.float32)
    assert float(gbc_diagonal(features, np.arange(6))) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(float(transrate(features, np.arange(6))))
    assert np.isfinite(float(h_score_shrinkage(features, np.arange(6))))


def test_parameters_are_checked(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(10, 4)), np.arange(10) % 2
    with pytest.raises(DeparaError, match="epsilon"):
        transrate(features, labels, epsilon=0.0)
    with pytest.raises(DeparaError, match="n_components"):
        gbc_diagonal(features, labels, n_components=0)
    with pytest.raises(DeparaError, match="max_per_class"):
        transrate(features, labels, max_per_class=2)
    with pytest.raises(DeparaError, match="n_classes is 1"):
        h_score_shrinkage(features, labels, n_classes=1)


@pytest.mark.parametrize(
    "name", ["h_score", "h_score_shrinkage", "gbc_diagonal", "gbc_spherical", "transrate", "knn"]
)
def test_absent_class_is_left_out(rng: np.random.Generator, name: str) -> None:
    features, labels = rng.normal(size=(60, 8)).astype(np.float32), rng.integers(0, 3, 60)
    score = ESTIMATORS[name].function
    gap = np.array([0, 2, 5])[labels]
    # The same sums with rows of zeros between: float32 rounding.
    assert float(score(features, gap)) == pytest.approx(float(score(features, labels)), rel=1e-5)
