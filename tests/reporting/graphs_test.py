"""The picture of a graph's strongest edges."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy.stats import spearmanr

from depara_jax.errors import DeparaError
from depara_jax.reporting import edge_layout, strongest_edges
from depara_jax.reporting.graphs import node_radius


def cosines(rng, n=12):
    features = rng.normal(size=(n, 3))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return (features @ features.T)[np.triu_indices(n, 1)]


def lines(figure):
    (found,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    return found


def test_the_strongest_edges_are_drawn_between_their_nodes(rng):
    edges = cosines(rng)
    drawn = lines(strongest_edges(edges, strongest=5))
    best = np.sort(edges)[-5:]
    np.testing.assert_array_equal(drawn.get_array(), best)  # weakest first, strongest on top
    position = edge_layout(edges)
    rows, columns = np.triu_indices(12, 1)
    for segment, value in zip(drawn.get_segments(), best, strict=True):
        (pair,) = np.flatnonzero(edges == value)
        np.testing.assert_array_equal(segment, position[[rows[pair], columns[pair]]])
    assert (np.diff(drawn.get_linewidths()) > 0).all()


def test_near_images_lie_near_each_other(rng):
    edges = cosines(rng)
    position = edge_layout(edges)
    rows, columns = np.triu_indices(12, 1)
    distance = np.linalg.norm(position[rows] - position[columns], axis=1)
    # Two dimensions for three, and nodes pushed apart: the order is kept roughly.
    assert spearmanr(distance, -edges)[0] > 0.6


@pytest.mark.parametrize("kind", ["random", "equal"])
def test_nodes_do_not_cover_each_other(rng, kind):
    edges = cosines(rng) if kind == "random" else np.ones(66)
    position = edge_layout(edges)
    rows, columns = np.triu_indices(12, 1)
    gap = np.abs(position[rows] - position[columns]).max(axis=1)
    # Squares of this half side: centres at least a side apart on one axis, 15% of grace.
    assert gap.min() > 0.85 * 2 * node_radius(12)
    assert position.min() >= 0
    assert position.max() <= 1
    np.testing.assert_array_equal(position, edge_layout(edges))


def test_images_are_the_nodes(rng):
    images = rng.integers(0, 256, size=(12, 4, 4, 3), dtype=np.uint8)
    edges = cosines(rng)
    axes = strongest_edges(edges, images=images).axes[0]
    shown = axes.get_images()
    assert len(shown) == 12
    for image, (x, y), picture in zip(shown, edge_layout(edges), images, strict=True):
        np.testing.assert_array_equal(image.get_array(), picture / 255)
        left, right, bottom, top = image.get_extent()
        np.testing.assert_allclose([(left + right) / 2, (bottom + top) / 2], [x, y])
        assert axes.get_xlim()[0] < left < right < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < bottom < top < axes.get_ylim()[1]
    assert axes.get_title() == "The 24 strongest of 66 edges"


def test_without_images_nodes_are_numbered_or_labelled(rng):
    texts = strongest_edges(cosines(rng, 4)).axes[0].texts
    assert [t.get_text() for t in texts] == ["1", "2", "3", "4"]
    texts = strongest_edges(cosines(rng, 4), labels="wxyz").axes[0].texts
    assert [t.get_text() for t in texts] == list("wxyz")


def test_bad_graphs_are_refused(rng):
    edges = cosines(rng, 4)
    with pytest.raises(DeparaError, match=r"5 is not n\(n-1\)/2"):
        strongest_edges(edges[:5])
    with pytest.raises(DeparaError, match="at least 3 images"):
        strongest_edges([0.5])
    with pytest.raises(DeparaError, match=r"expected 1\.\.6"):
        strongest_edges(edges, strongest=7)
    with pytest.raises(DeparaError, match="images: 3 for a graph of 4"):
        strongest_edges(edges, images=np.zeros((3, 2, 2, 3)))
    with pytest.raises(DeparaError, match="labels: 2 for 4"):
        strongest_edges(edges, labels="ab")
    with pytest.raises(DeparaError, match="NaN"):
        strongest_edges(edges * np.nan)
