"""The shared decomposition: uncentred once, centred by a rank-one change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.estimators import cka_linear, h_score_shrinkage, procrustes, spectrum, transrate
from depara_jax.estimators.features import ledoit_wolf

SHAPES = [(50, 20), (20, 50), (30, 30)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", SHAPES)
def test_spectrum_rebuilds_the_features(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    features, targets = rng.normal(size=shape) + 1, rng.normal(size=(shape[0], 3))
    parts = spectrum(features)
    left = parts.left()
    gram = (left * parts.values) @ left.T
    # float64 through an eigendecomposition
    np.testing.assert_allclose(gram, features @ features.T, atol=1e-9)
    np.testing.assert_allclose(parts.project(jnp.asarray(targets)), left.T @ targets, atol=1e-9)
    centred = targets - targets.mean(axis=0)
    np.testing.assert_allclose(
        parts.project_centred(jnp.asarray(targets)), left.T @ centred, atol=1e-9
    )
    centred = features - features.mean(axis=0)
    expected = np.linalg.norm(centred @ centred.T)
    assert float(parts.centred_power()) == pytest.approx(expected, rel=1e-9)


def test_rank_is_recognised(rng: np.random.Generator) -> None:
    low = (rng.normal(size=(60, 5)) @ rng.normal(size=(5, 24))).astype(np.float32)
    for features in (low, low.T):
        parts = spectrum(features)
        assert int((parts.values > 0).sum()) == 5
        assert int((parts.left() != 0).any(axis=0).sum()) == 5


def test_the_mean_costs_little_in_float32(rng: np.random.Generator) -> None:
    """Features after a ReLU have a mean as large as their spread; here it is three times that."""
    features, labels = rng.normal(size=(200, 40)) + 3, rng.integers(0, 4, 200)
    other = features @ rng.normal(size=(40, 15)) + rng.normal(size=(200, 15)) + 5

    def values(dtype: type) -> list[float]:
        first, second = spectrum(features.astype(dtype)), spectrum(other.astype(dtype))
        scores = [h_score_shrinkage(first, labels), transrate(first, labels)]
        scores += [cka_linear(first, second), procrustes(first, second), ledoit_wolf(first)[0]]
        return [float(score) for score in scores]

    single = values(np.float32)
    with jax.enable_x64(True):
        double = values(np.float64)
    # float32 keeps 7 digits, the largest eigenvalue is 400 times the others: about 4 are left.
    np.testing.assert_allclose(single, double, rtol=3e-4)


def test_decomposition_is_mapped(rng: np.random.Generator) -> None:
    stack = rng.normal(size=(3, 12, 7)).astype(np.float32)
    mapped = jax.vmap(spectrum)(stack)
    for index in range(3):
        # The same eigenvalues, batched; float32 through a Gram matrix.
        np.testing.assert_allclose(
            mapped.values[index], spectrum(stack[index]).values, rtol=1e-4, atol=1e-4
        )
