"""Heat maps: all-pairs similarity, and probe images beside their attribution maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.reporting.style import INK, check_finite, check_names, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attribution_grid", "similarity_heatmap"]

# Beyond this many rows the numbers in the cells are too small to read.
MOST_NUMBERS = 26


def similarity_heatmap(
    similarity: Any,
    names: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    values: bool | None = None,
    label: str = "similarity",
    title: str = "",
) -> "Figure":
    """A matrix of similarities (or affinities) with names, as TAM's Fig. S2.

    The colour scale spans the off-diagonal values, so that a diagonal of ones does not swallow it.

    Args:
      similarity: [r, c]; square, unless `columns` is given.
      names: of the r rows, and of the columns.
      columns: names of the c columns where they differ from the rows.
      values: whether to write each value into its cell; by default for up to 26 rows.
      label: of the colour bar.
      title: of the figure.

    Raises:
      DeparaError: shapes and names that differ, values that are not finite.
    """
    columns_given = columns is not None
    columns = columns if columns is not None else names
    matrix = check_finite("similarity", similarity, (len(names), len(columns)))
    names = check_names("rows", names, matrix.shape[0])
    columns = check_names("columns", columns, matrix.shape[1])
    longest = 0.075 * max(map(len, [*names, *columns]))
    cell = 0.42 if max(matrix.shape) <= MOST_NUMBERS else 0.25
    figure, axes = new_figure(
        2.2 + longest + cell * matrix.shape[1], 1.2 + longest + cell * matrix.shape[0]
    )
    shown = matrix
    if not columns_given and len(matrix) > 1:
        shown = matrix[~np.eye(len(matrix), dtype=bool)]
    low, high = float(shown.min()), float(shown.max())
    picture = axes.imshow(matrix, cmap="viridis", vmin=low, vmax=high)
    axes.set_xticks(
        np.arange(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(len(names)), names)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=12, color=INK, loc="left", pad=10)
    bar = figure.colorbar(
        picture, ax=axes, shrink=0.8, extend="max" if matrix.max() > high else "neither"
    )
    bar.set_label(label, fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    if values if values is not None else len(matrix) <= MOST_NUMBERS:
        write_values(axes, matrix, low, high)
    return figure


def write_values(axes: Any, matrix: np.ndarray, low: float, high: float) -> None:
    """Each value in its cell, dark on light colours and light on dark ones."""
    for (row, column), value in np.ndenumerate(matrix):
        bright = value > low + 0.6 * (high - low)
        text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3g}"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=6.5,
            color=INK if bright else "white",
        )  # fmt: skip


def attribution_grid(
    images: Any,
    maps: Any,
    names: Sequence[str],
    *,
    rows: Sequence[str] | None = None,
    title: str = "Attribution maps",
) -> "Figure":
    """Probe images beside their attribution maps: a row an image, a column a model or layer.

    Channels are added up, since a map assigns a share to each. Red raises the features' scalar
    target, blue lowers it, white does nothing. Every map has a scale of its own, the 99th
    percentile
    of its absolute values: maps of different models are comparable in shape, not in size.

    Args:
      images: [n, h, w, c], integers 0..255 or floats 0..1; one channel is shown in gray.
      maps: m arrays [n, h', w', c'] (each model has its own input size), signed.
      names: of the m models or layers.
      rows: labels of the n images.
      title: of the figure.

    Raises:
      DeparaError: shapes and names that differ, no image, values that are not finite.
    """
    images = check_images(images)
    count = len(images)
    names = check_names("columns", names, len(maps))
    maps = [
        check_finite(f"maps of {name}", m, (count, None, None, None))
        for name, m in zip(names, maps, strict=True)
    ]
    figure, grid = new_figure(
        1.45 * (len(maps) + 1) + 0.4, 1.5 * count + 0.9, nrows=count, ncols=len(maps) + 1,
        squeeze=False,
    )  # fmt: skip
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#BBBBBB")
    for k, line in enumerate(grid):
        line[0].imshow(images[k], cmap="gray")
        for axes, values in zip(line[1:], maps, strict=True):
            flat = values[k].sum(axis=-1)
            limit = float(np.percentile(np.abs(flat), 99)) or float(np.abs(flat).max()) or 1.0
            axes.imshow(flat, cmap="RdBu_r", vmin=-limit, vmax=limit)
        if rows is not None:
            line[0].set_ylabel(check_names("rows", rows, count)[k], fontsize=8, color=INK)
    for axes, name in zip(grid[0], ["image", *names], strict=True):
        axes.set_title(name, fontsize=8, color=INK)
    figure.suptitle(title, fontsize=11, color=INK)
    figure.supxlabel(
        "red raises the features, blue lowers them; each map scaled to its own 99th percentile",
        fontsize=7.5, color=INK,
    )  # fmt: skip
    return figure


def check_images(images: Any) -> np.ndarray:
    """Pictures ready to show: [n, h, w, 3] or [n, h, w] in 0..1."""
    array = np.asarray(images)
    if array.ndim != 4 or not len(array) or array.shape[-1] not in (1, 3):
        raise DeparaError(
            f"images: expected [n, h, w, 1 or 3] with n at least 1, got shape {array.shape}"
        )
    scale = 255.0 if array.dtype.kind in "iu" else 1.0
    shown = np.clip(check_finite("images", array, (None,) * 4) / scale, 0, 1)
    return shown[..., 0] if shown.shape[-1] == 1 else shown
