"""Cosines and ranks by numpy: right at every size and scale, and equal to the compiled ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from depara_jax.graph.similarity import (
    _add_node_products,
    _cosines_with,
    _edge_vectors,
    _node_cosines,
    add_node_products,
    cosines_with,
    edge_vectors,
    node_cosines,
)
from depara_jax.host import cosines
from depara_jax.stats import HOST_SORT

# Float32 products over runs of 1,024 entries, added up in float64: far below one part in 10**6.
TOLERANCE = 1e-6


def slow(nodes):
    """Every cosine by itself in float64, of rows brought to order 1 first; [k, m, m]."""
    result = np.zeros((len(nodes[0]), len(nodes), len(nodes)))
    for image, i, j in np.ndindex(result.shape):
        a, b = (np.asarray(nodes[x][image], np.float64) for x in (i, j))
        if a.any() and b.any():
            a, b = a / abs(a).max(), b / abs(b).max()
            result[image, i, j] = a @ b / np.sqrt((a @ a) * (b @ b))
    return result


def maps(rng, models, images, entries):
    shared = rng.normal(size=(images, entries))
    made = [shared + rng.normal(size=(images, entries)) for _ in range(models)]
    return [one.astype(np.float32) for one in made]


@pytest.mark.parametrize("models", [1, 2, 9])
@pytest.mark.parametrize("entries", [1, 30, 1023, 1025, 8192, 8197])
def test_sizes_that_fill_no_block(rng, models, entries):
    nodes = maps(rng, models, 3, entries)
    expected = slow(nodes)
    np.testing.assert_allclose(cosines.map_cosines(nodes), expected, atol=TOLERANCE)
    against = cosines.cosines_with(nodes[0], nodes)
    np.testing.assert_allclose(against, expected[:, 0].T, atol=TOLERANCE)


def test_more_models_than_one_tile_of_rows(rng):
    nodes = maps(rng, cosines.ROWS + cosines.COLUMNS + 3, 1, 40)
    unit = np.stack([one[0] / np.linalg.norm(one[0]) for one in nodes]).astype(np.float64)
    np.testing.assert_allclose(cosines.map_cosines(nodes)[0], unit @ unit.T, atol=TOLERANCE)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e-12, 1e17, 1e30])
def test_squares_that_leave_the_range_of_float32(rng, scale):
    nodes = maps(rng, 4, 3, 2000)
    expected = slow(nodes)
    nodes[1] = nodes[1] * np.float32(scale)
    nodes[2][0] *= np.float32(scale)  # one image of a model only
    # At 1e-38 the entries themselves have lost digits, to subnormal numbers.
    tolerance = 1e-5 if scale == 1e-38 else TOLERANCE
    np.testing.assert_allclose(cosines.map_cosines(nodes), expected, atol=tolerance)
    against = cosines.cosines_with(nodes[1], nodes)
    np.testing.assert_allclose(against, expected[:, 1].T, atol=tolerance)


def test_zero_maps_have_cosine_0_and_nan_stays(rng):
    nodes = maps(rng, 3, 3, 50)
    nodes[1][0] = 0
    nodes[2][1, 7] = np.nan
    got, expected = cosines.map_cosines(nodes), slow(nodes)
    expected[1, 2, :] = expected[1, :, 2] = np.nan
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    np.testing.assert_array_equal(got[0, 1], 0)
    np.testing.assert_allclose(cosines.cosines_with(nodes[0], nodes), got[:, 0].T, atol=TOLERANCE)


def test_nearly_equal_maps_are_told_apart(rng):
    first = rng.normal(size=(2, 65536))
    second = first + 1e-3 * rng.normal(size=first.shape)
    nodes = [first.astype(np.float32), second.astype(np.float32)]
    # 1 - cosine is 5e-7; it is known to a tenth, as the sums run in float64 across blocks.
    np.testing.assert_allclose(1 - cosines.map_cosines(nodes), 1 - slow(nodes), atol=5e-8)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_equal_to_the_compiled_ones(rng, dtype):
    nodes = [jnp.asarray(one, dtype) for one in maps(rng, 5, 4, 300)]
    gram = jnp.ones((5, 5))
    np.testing.assert_allclose(
        add_node_products(gram, nodes), _add_node_products(gram, nodes), atol=4e-6
    )  # four images, so four times the tolerance
    np.testing.assert_allclose(node_cosines(nodes), _node_cosines(nodes), atol=TOLERANCE)
    against = _cosines_with(nodes[0], nodes[1:])
    np.testing.assert_allclose(cosines_with(nodes[0], nodes[1:]), against, atol=TOLERANCE)


def test_compiled_under_tracing(rng):
    nodes = [jnp.asarray(one) for one in maps(rng, 3, 2, 20)]
    traced = jax.jit(add_node_products)(jnp.zeros((3, 3)), nodes)
    np.testing.assert_allclose(traced, slow(nodes).sum(axis=0), atol=2 * TOLERANCE)
    text = str(jax.make_jaxpr(add_node_products)(jnp.zeros((3, 3)), nodes))
    assert "callback" not in text


@pytest.mark.parametrize("ties", ["average", "ordinal"])
def test_long_edges_are_spearmans_and_equal_to_the_compiled(rng, ties):
    edges = rng.integers(0, 500, (3, HOST_SORT + 1)).astype(np.float32)
    got = np.asarray(edge_vectors(jnp.asarray(edges), ties=ties))
    # Entries are of order 1/128; float32 rounding of either side is 1e-9 there.
    np.testing.assert_allclose(got, _edge_vectors(jnp.asarray(edges), ties), atol=1e-8)
    if ties == "average":
        expected = scipy.stats.spearmanr(edges, axis=1).statistic
        np.testing.assert_allclose(got @ got.T, expected, atol=TOLERANCE)


def test_edges_of_one_value_become_zeros_and_nan_stays():
    edges = np.ones((2, HOST_SORT), np.float32)
    edges[1, 3] = np.nan
    got = np.asarray(edge_vectors(jnp.asarray(edges)))
    np.testing.assert_array_equal(got[0], 0)
    assert np.isnan(got[1]).all()
