"""The tree: which linkage, which order, which colours."""

from pathlib import Path

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.reporting import similarity_tree, tree_linkage

MATRICES = Path(__file__).parents[1] / "golden" / "papers" / "tam_affinity_taskonomy_probe.npz"
# Two pairs: (a, c) and (b, d).
PAIRS = np.array(
    [[1.0, 0.1, 0.9, 0.2], [0.1, 1.0, 0.2, 0.8], [0.9, 0.2, 1.0, 0.1], [0.2, 0.8, 0.1, 1.0]]
)


def test_distance_joins_the_most_alike_first():
    links = tree_linkage(PAIRS)
    assert set(links[0, :2]) == {0, 2}
    assert set(links[1, :2]) == {1, 3}
    # 1 - .9, 1 - .8, and 1 - the mean of .1, .2, .2, .1; one or two float64 roundings.
    np.testing.assert_allclose(links[:, 2], [0.1, 0.2, 0.85], rtol=1e-12)


def test_distance_is_free_of_each_networks_scale_and_of_asymmetry():
    scale = np.array([1.0, 5.0, 0.1, 2.0])
    scaled = PAIRS * np.outer(scale, scale)
    # The same products of float64 in another order.
    np.testing.assert_allclose(tree_linkage(scaled), tree_linkage(PAIRS), rtol=1e-12)
    lopsided = PAIRS + np.triu(np.full((4, 4), 0.05), 1) - np.tril(np.full((4, 4), 0.05), -1)
    np.testing.assert_allclose(tree_linkage(lopsided), tree_linkage(PAIRS), rtol=1e-12)


def test_authors_construction_is_single_linkage_of_rows():
    links = tree_linkage(PAIRS, construction="authors")
    expected = hierarchy.linkage(pdist(PAIRS), method="single", optimal_ordering=True)
    np.testing.assert_array_equal(links, expected)
    assert not np.allclose(links[:, 2], tree_linkage(PAIRS)[:, 2])


@pytest.mark.parametrize("attribution", ["saliency", "gradient_times_input", "epsilon_lrp"])
def test_authors_construction_takes_their_targets_by_all_tasks(attribution):
    with np.load(MATRICES) as matrices:
        whole = matrices[attribution]
    # Colorization and inpainting are no targets.
    rows = np.delete(whole, (7, 19), axis=0)
    links = tree_linkage(rows, construction="authors")
    # MATLAB's linkage(rows) is single linkage by Euclidean distance.
    expected = hierarchy.linkage(pdist(rows), method="single", optimal_ordering=True)
    np.testing.assert_array_equal(links, expected)
    square = tree_linkage(np.delete(rows, (7, 19), axis=1), construction="authors")
    assert np.abs(links[:, 2] - square[:, 2]).max() > 1e-3
    with pytest.raises(DeparaError, match=r"shape \[18, 18\], got \(18, 20\)"):
        tree_linkage(rows)


def test_leaves_are_in_the_optimal_order(rng):
    features = rng.normal(size=(12, 3))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T
    distance = 1 - similarity
    leaves = hierarchy.leaves_list(tree_linkage(similarity))
    condensed = distance[np.triu_indices(12, 1)]
    plain = hierarchy.leaves_list(hierarchy.linkage(condensed, "average"))

    def walk(order):
        return sum(distance[a, b] for a, b in zip(order[:-1], order[1:], strict=True))

    assert walk(leaves) < walk(plain)


def test_names_stand_at_their_leaves_in_family_colours():
    families = {"a": "2D", "c": "2D", "b": "3D"}
    figure = similarity_tree(PAIRS, "abcd", families=families, title="tree")
    (axes,) = figure.axes
    labels = axes.get_yticklabels()
    leaves = hierarchy.leaves_list(tree_linkage(PAIRS))
    assert [label.get_text() for label in labels] == ["abcd"[i] for i in leaves]
    colors = {label.get_text(): label.get_color() for label in labels}
    assert colors["a"] == colors["c"]
    assert len({colors["a"], colors["b"], colors["d"]}) == 3
    assert len(axes.get_lines()) == 3  # one join fewer than networks
    heights = sorted(max(line.get_xdata()) for line in axes.get_lines())
    # The joins are drawn at their distances.
    np.testing.assert_allclose(heights, [0.1, 0.2, 0.85], rtol=1e-12)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["2D", "3D"]
    assert "1 − similarity" in axes.get_xlabel()


def test_bad_trees_are_refused():
    with pytest.raises(DeparaError, match="at least 2"):
        tree_linkage(np.eye(1))
    with pytest.raises(DeparaError, match=r"shape \[2, 2\], got \(2, 3\)"):
        tree_linkage(np.ones((2, 3)))
    with pytest.raises(DeparaError, match="self-similarity is not positive"):
        tree_linkage(np.zeros((2, 2)))
    with pytest.raises(DeparaError, match="3 names for 4"):
        similarity_tree(PAIRS, "abc")
    with pytest.raises(UnknownNameError, match="name in families"):
        similarity_tree(PAIRS, "abcd", families={"x": "2D"})
    names = "abcdefghi"
    with pytest.raises(DeparaError, match="9 of them; 8 can"):
        similarity_tree(np.eye(9), names, families={n: n for n in names})
