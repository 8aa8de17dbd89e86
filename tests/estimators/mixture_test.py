"""N-LEEP's parts: k-means, EM against scikit-learn, its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import nleep
from depara_jax.estimators.mixture import fit_mixture, kmeans, posterior


@pytest.mark.usefixtures("x64")
def test_em_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    points = np.concatenate([rng.normal(size=(60, 3)), 1.5 * rng.normal(size=(40, 3)) + 2])
    start = np.eye(3)[rng.integers(0, 3, 100)]

    class FromStart(mixture.GaussianMixture):
        def _initialize_parameters(self, X, random_state, **_):  # noqa: N803
            self._initialize(X, start)

    expected = FromStart(3).fit(points).predict_proba(points)
    fitted = fit_mixture(jnp.asarray(points), jnp.asarray(start))
    # The same number of EM steps from the same start; rounding grows with each.
    np.testing.assert_allclose(posterior(fitted, jnp.asarray(points)), expected, atol=1e-8)


def test_kmeans_finds_separated_clusters(rng: np.random.Generator) -> None:
    truth = np.repeat(np.arange(4), 25)
    corners = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])
    points = (corners[truth] + rng.normal(size=(100, 2))).astype(np.float32)
    for seed in range(3):
        found = np.asarray(kmeans(jnp.asarray(points), 4, seed=seed))
        pairs = {(int(a), int(b)) for a, b in zip(truth, found, strict=True)}
        assert len(pairs) == 4


def test_nleep_is_seeded_and_lies_below_zero(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(80, 6)).astype(np.float32), rng.integers(0, 3, 80)
    first, again, other = (float(nleep(features, labels, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert max(first, other) < 0


def test_components_of_fewer_points_than_dimensions_stay_finite(rng: np.random.Generator) -> None:
    """Features on the scale of real networks': float32 must keep the regularisation."""
    features = 6 * rng.normal(size=(60, 20)).astype(np.float32)
    labels = np.arange(60) % 4
    start = np.eye(20)[rng.integers(0, 20, 60)]
    value = float(nleep(features, labels, responsibilities=start))
    with jax.enable_x64(True):
        exact = float(nleep(features.astype(np.float64), labels, responsibilities=start))
    assert value == pytest.approx(exact, abs=1e-4)


def test_nleep_limits(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(12, 3)), np.arange(12) % 4
    with pytest.raises(DegenerateError, match="20 mixture components for 12 samples"):
        nleep(features, labels)
    assert np.isfinite(float(nleep(features, labels, components_per_class=2)))
    with pytest.raises(DegenerateError, match="the same for every sample"):
        nleep(np.ones((40, 3)), np.arange(40) % 4)
    with pytest.raises(DeparaError, match="energy"):
        nleep(features, labels, components_per_class=1, energy=0.0)
    with pytest.raises(DeparaError, match="responsibilities"):
        nleep(features, labels, responsibilities=np.ones((12, 2)))


def test_kmeans_survives_duplicates() -> None:
    points = jnp.asarray(np.repeat(np.eye(2, dtype=np.float32), 5, axis=0))
    found = kmeans(points, 4)
    assert np.isfinite(np.asarray(found)).all()
    assert len(set(np.asarray(found[:5]).tolist())) == 1
    assert isinstance(found, jax.Array)
