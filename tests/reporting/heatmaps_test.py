"""What the heat map and the grid of attribution maps show."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.reporting import attribution_grid, similarity_heatmap


def test_heatmap_shows_values_names_and_an_off_diagonal_scale():
    matrix = np.array([[9.0, 0.25, 0.5], [0.25, 9.0, -0.75], [0.5, -0.75, 9.0]])
    figure = similarity_heatmap(matrix, ["a", "b", "c"], title="t", label="s")
    axes, bar = figure.axes
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), matrix)
    assert image.get_clim() == (-0.75, 0.5)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in axes.texts] == [
        "9", ".25", ".50", ".25", "9", "-.75", ".50", "-.75", "9"
    ]  # fmt: skip
    assert bar.get_ylabel() == "s"
    assert axes.get_title("left") == "t"


def test_numbers_stand_out_from_their_cells():
    axes = similarity_heatmap(np.array([[1.0, 0.0], [1.0, 1.0]]), "ab").axes[0]
    colors = [t.get_color() for t in axes.texts]
    assert colors[1] == "white"  # on the darkest colour
    assert colors[2] != "white"  # on the brightest


def test_large_maps_leave_the_numbers_out():
    names = [str(i) for i in range(27)]
    assert not similarity_heatmap(np.eye(27), names).axes[0].texts
    assert len(similarity_heatmap(np.eye(27), names, values=True).axes[0].texts) == 27 * 27
    assert not similarity_heatmap(np.eye(2), "ab", values=False).axes[0].texts


def test_rectangular_matrices_have_column_names():
    axes = similarity_heatmap(np.zeros((2, 3)) + np.arange(3), "ab", columns="xyz").axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["x", "y", "z"]
    assert axes.get_images()[0].get_clim() == (0, 2)


def test_bad_matrices_are_refused():
    with pytest.raises(DeparaError, match=r"expected an array of shape \[2, 2\], got \(2, 3\)"):
        similarity_heatmap(np.zeros((2, 3)), "ab")
    with pytest.raises(DeparaError, match="1 values are NaN"):
        similarity_heatmap(np.array([[1.0, np.nan], [0.0, 1.0]]), "ab")


def test_grid_shows_images_and_symmetric_maps(rng):
    images = rng.integers(0, 256, size=(2, 4, 4, 3), dtype=np.uint8)
    maps = [rng.normal(size=(2, 4, 4, 3)), 1e-9 * rng.normal(size=(2, 8, 8, 1))]
    figure = attribution_grid(images, maps, ["m", "n"], rows=["first", "second"])
    grid = np.array(figure.axes).reshape(2, 3)
    for k in range(2):
        np.testing.assert_array_equal(grid[k, 0].get_images()[0].get_array(), images[k] / 255)
        for column, values in enumerate(maps, 1):
            (shown,) = grid[k, column].get_images()
            np.testing.assert_array_equal(shown.get_array(), values[k].sum(-1))
            low, high = shown.get_clim()
            assert low == -high
            # Each map has its own scale, so that the tiny one is seen as well.
            np.testing.assert_allclose(high, np.percentile(np.abs(values[k].sum(-1)), 99))
            assert shown.get_cmap().name == "RdBu_r"
    assert [axes.get_title() for axes in grid[0]] == ["image", "m", "n"]
    assert [line[0].get_ylabel() for line in grid] == ["first", "second"]
    assert "99th percentile" in figure.get_supxlabel()


def test_a_zero_map_is_blank():
    axes = attribution_grid(np.zeros((1, 2, 2, 1)), [np.zeros((1, 2, 2, 1))], "m").axes[1]
    assert axes.get_images()[0].get_clim() == (-1.0, 1.0)


def test_bad_grids_are_refused():
    good = np.zeros((1, 2, 2, 3))
    with pytest.raises(DeparaError, match="images: expected"):
        attribution_grid(good[0], [good], "m")
    with pytest.raises(DeparaError, match="columns: 2 names for 1"):
        attribution_grid(good, [good], "mn")
    with pytest.raises(DeparaError, match=r"maps of m: expected .*\[1, any, any, any\]"):
        attribution_grid(good, [np.zeros((2, 2, 2, 3))], "m")
    with pytest.raises(DeparaError, match="NaN"):
        attribution_grid(good, [good * np.nan], "m")
    with pytest.raises(DeparaError, match="rows: 2 names for 1"):
        attribution_grid(good, [good], "m", rows="ab")
