"""All pairs at once give what `ESTIMATORS` give pair by pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.estimators import ESTIMATORS, PAIRWISE, estimate_pairs, modelgif_pairs


@pytest.fixture
def networks(rng):
    """Features of three networks of different widths that have something in common."""
    shared = rng.normal(size=(40, 6))
    return [
        np.maximum(shared @ rng.normal(size=(6, d)) + rng.normal(size=(40, d)), 0).astype("f4")
        for d in (30, 50, 20)
    ]


@pytest.mark.parametrize("name", PAIRWISE)
def test_all_pairs_equal_the_estimator_pair_by_pair(name, networks):
    matrix = estimate_pairs(name, networks)
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=1e-5)
    for i, j in ((0, 1), (1, 2), (2, 1)):
        expected = float(ESTIMATORS[name].function(networks[i], networks[j]))
        # Two float32 routes to the same number.
        np.testing.assert_allclose(matrix[i, j], expected, atol=2e-5)


def test_a_network_that_tells_nothing_apart_is_like_none(networks):
    for name in ("cka_linear", "dds_cosine", "svcca"):
        matrix = estimate_pairs(name, [networks[0], np.ones((40, 3), np.float32)])
        np.testing.assert_allclose(matrix[:, 1], 0.0, atol=1e-6)


def test_what_cannot_be_compared_is_refused(networks):
    with pytest.raises(UnknownNameError, match="estimator of all pairs"):
        estimate_pairs("logme", networks)
    with pytest.raises(DeparaError, match=r"features\[1\]: 39 rows"):
        estimate_pairs("rsa", [networks[0], networks[1][1:]])
    with pytest.raises(DegenerateError, match="needs 4 samples"):
        estimate_pairs("dds_cosine", [one[:3] for one in networks])
    with pytest.raises(DeparaError, match="at least one network"):
        estimate_pairs("rsa", [])


def linear(weights, images):
    return jnp.tanh(jnp.einsum("nhwc,cd->nhwd", images, weights))


def test_modelgif_of_all_pairs_equals_the_estimator(rng):
    images = rng.uniform(-1, 1, size=(4, 5, 5, 3)).astype(np.float32)
    weights = [jnp.asarray(rng.normal(size=(3, 2)), jnp.float32) for _ in range(3)]
    models = [Partial(linear, one) for one in weights]
    matrix = modelgif_pairs(models, images, steps=3, baseline=0.1, batch_size=3)
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=1e-5)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    for i, j in ((0, 1), (2, 1)):
        plain = [lambda x, w=weights[k]: linear(w, x) for k in (i, j)]
        expected = float(ESTIMATORS["modelgif"].function(*plain, images, steps=3, baseline=0.1))
        np.testing.assert_allclose(matrix[i, j], expected, atol=1e-5)  # float32
    with pytest.raises(DeparaError, match="batch_size"):
        modelgif_pairs(models, images, batch_size=0)


def test_networks_of_one_architecture_share_a_program(rng):
    traced = []

    def network(weights, images):
        traced.append(1)
        return linear(weights, images)

    images = jnp.asarray(rng.uniform(size=(2, 4, 4, 3)), jnp.float32)
    models = [Partial(network, jax.random.normal(jax.random.key(i), (3, 2))) for i in range(3)]
    modelgif_pairs(models, images, steps=2)
    assert len(traced) == 1
