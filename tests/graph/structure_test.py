"""Graphs: node vectors and edges against numpy, and what is undefined is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DegenerateError
from depara_jax.graph import AttributionGraph, GraphInfo, build_graph, edges_of, node_vectors
from depara_jax.graph.structure import edges_from_gram, normalize_features
from depara_jax.recipe import Recipe
from tests.references import depara as reference


@pytest.fixture
def maps(rng):
    return jnp.asarray(rng.normal(size=(4, 6, 6, 3)), jnp.float32)


@pytest.fixture
def features(rng):
    values = rng.normal(size=(7, 3, 5)).astype(np.float32)
    values[:, 1, 2] = 4.0  # an entry that is constant over the probe set
    return jnp.asarray(values)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_node_vectors_equal_numpy(maps, absolute, reduction):
    got = node_vectors(maps, Recipe(absolute=absolute, channel_reduction=reduction))
    for vector, one in zip(got, maps, strict=True):
        expected = reference.node_vector(np.asarray(one), absolute, reduction == "mean")
        np.testing.assert_allclose(vector, expected, atol=1e-6)  # a mean of 3 float32 numbers


def test_grid_averages_whole_blocks_and_commutes_with_the_channel_mean():
    blocks = jnp.arange(16.0).reshape(1, 4, 4, 1).repeat(2, axis=1).repeat(2, axis=2)
    got = node_vectors(blocks, Recipe(grid=4))
    # The triangle filter of half width 2 pixels reaches into the neighbours' nearer pixels, whose
    # mean with the block's own differs; a constant image must stay constant, a ramp a ramp inside.
    inner = got.reshape(4, 4)[1:3, 1:3]
    np.testing.assert_allclose(inner, jnp.arange(16.0).reshape(4, 4)[1:3, 1:3], atol=1e-5)
    constant = node_vectors(jnp.full((1, 8, 8, 1), 3.0), Recipe(grid=3))
    np.testing.assert_allclose(constant, 3.0, atol=1e-5)  # weights sum to 1 in float32


@pytest.mark.parametrize("normalization", ["none", "center", "zscore"])
def test_edges_equal_numpy(features, normalization):
    expected = reference.edges(np.asarray(features), normalization)
    got = edges_of(features, edge_normalization=normalization)
    np.testing.assert_allclose(got, expected, atol=2e-6)  # float32 cosines of 15 entries
    assert got.shape == (7 * 6 // 2,)


@pytest.mark.parametrize("normalization", ["none", "center", "zscore"])
def test_edges_from_summed_gram_slices_are_the_same(features, normalization):
    flat = features.reshape(7, -1)
    gram = np.zeros((7, 7))
    for piece in (flat[:, :4], flat[:, 4:5], flat[:, 5:]):
        piece = np.asarray(normalize_features(piece, normalization), np.float64)
        gram += piece @ piece.T
    expected = edges_of(features, edge_normalization=normalization)
    np.testing.assert_allclose(edges_from_gram(gram), expected, atol=2e-6)  # order of sums


def test_entries_that_differ_by_rounding_alone_do_not_become_edges(rng):
    row = rng.normal(size=20).astype(np.float32)
    same = jnp.asarray(np.stack([row * (1 + i * 6e-8) for i in range(5)]))
    for normalization in ("center", "zscore"):
        assert not np.asarray(edges_of(same, edge_normalization=normalization)).any()


def test_zscored_edges_of_tiny_features_do_not_underflow(features):
    tiny = edges_of(features * 1e-25, edge_normalization="zscore")
    np.testing.assert_allclose(tiny, edges_of(features, edge_normalization="zscore"), atol=1e-5)


def test_an_image_with_zero_features_has_cosine_zero():
    features = jnp.asarray([[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]])
    np.testing.assert_allclose(edges_of(features), [0.0, 0.8, 0.0], atol=1e-6)


def test_graph_is_a_pytree_with_static_info(maps, features):
    info = GraphInfo("net", "top", "abc", Recipe())
    graph = build_graph(features[:4], maps, Recipe(), info=info)
    doubled = jax.tree.map(lambda x: 2 * x, graph)
    assert isinstance(doubled, AttributionGraph)
    assert doubled.info == info
    np.testing.assert_array_equal(doubled.nodes, 2 * graph.nodes)
    assert repr(graph) == "AttributionGraph(net:top, nodes (4, 108), edges (6,))"


def test_recipes_without_a_term_leave_it_empty(maps, features):
    nodes_only = build_graph(features[:1], maps[:1], Recipe(lam=0.0))
    assert nodes_only.edges.shape == (0,)  # and one image is enough
    edges_only = build_graph(features[:4], maps, Recipe(node_weight=0.0))
    assert edges_only.nodes.shape == (4, 0)
    assert edges_only.zero_nodes == 0


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_images_are_too_few_for_edges(maps, features, count):
    with pytest.raises(DegenerateError, match="at least 3 images"):
        build_graph(features[:count], maps[:count], Recipe())


def test_identical_images_have_no_ranking_of_edges(maps, features):
    same = jnp.repeat(features[:1], 4, axis=0)
    for normalization in ("none", "center", "zscore"):
        with pytest.raises(DegenerateError, match="do not tell the probe images apart"):
            build_graph(same, maps, Recipe(edge_normalization=normalization))


def test_one_zero_map_is_counted_and_only_zero_maps_are_refused(maps, features):
    one = build_graph(features[:4], maps.at[2].set(0.0), Recipe())
    assert one.zero_nodes == 1
    with pytest.raises(DegenerateError, match="every attribution map is zero"):
        build_graph(features[:4], 0 * maps, Recipe())


def test_nan_names_the_model_and_the_images(maps, features):
    info = GraphInfo("net", "top", None, Recipe())
    with pytest.raises(DegenerateError, match=r"net:top.*position 1, 3"):
        build_graph(features[:4].at[jnp.array([1, 3]), 0].set(jnp.nan), maps, Recipe(), info=info)
    with pytest.raises(DegenerateError, match=r"net:top.*position 2"):
        build_graph(features[:4], maps.at[2, 0, 0, 0].set(jnp.inf), Recipe(), info=info)
