"""A picture of a deep attribution graph: probe images as nodes, its strongest edges as lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.reporting.heatmaps import check_images
from depara_jax.reporting.style import COLORS, INK, check_finite, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["edge_layout", "strongest_edges"]


def edge_layout(edges: Any) -> np.ndarray:
    """Positions [n, 2] in 0..1 at which images with a high cosine lie near each other.

    Classical scaling of the distances sqrt(2 - 2 cos), then a few sweeps that push apart nodes that
    would cover each other. No randomness: the same edges give the same picture.

    Args:
      edges: [n(n-1)/2] cosines in the order of `stats.upper_triangle`.

    Raises:
      DeparaError: not a number of edges that n images have, or values that are not finite.
    """
    cosines = full_matrix(edges)
    count = len(cosines)
    squared = np.maximum(2 - 2 * cosines, 0)
    centre = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ squared @ centre)
    position = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    # Eigenvectors have no sign; make the largest entry positive so that pictures repeat.
    position = position * np.sign(position[np.abs(position).argmax(0), [0, 1]] + 1e-30)
    return spread(unit_box(position))


def strongest_edges(
    edges: Any,
    *,
    images: Any = None,
    labels: Sequence[str] | None = None,
    strongest: int | None = None,
    title: str = "",
) -> "Figure":
    """The strongest edges of one graph; wider and darker lines are higher cosines.

    Args:
      edges: [n(n-1)/2] cosines of the features of every two probe images, in the order of
        `stats.upper_triangle`.
      images: [n, h, w, c] thumbnails; without them the nodes are numbered.
      labels: n words drawn in place of the numbers where there are no images.
      strongest: how many edges to draw; by default twice the number of images, at most all.
      title: of the figure.

    Raises:
      DeparaError: shapes that differ, values that are not finite, `strongest` out of range.
    """
    cosines = full_matrix(edges)
    count, total = len(cosines), len(np.asarray(edges))
    strongest = min(2 * count, total) if strongest is None else strongest
    if not 1 <= strongest <= total:
        raise DeparaError(
            f"strongest={strongest}: expected 1..{total}, the edges of {count} images"
        )
    position = edge_layout(edges)
    figure, axes = new_figure(7.5, 7.0)
    rows, columns = np.triu_indices(count, 1)
    values = cosines[rows, columns]
    order = np.argsort(-values, kind="stable")[:strongest]
    draw_edges(figure, axes, position, rows[order], columns[order], values[order])
    if images is not None:
        draw_images(axes, position, check_images(images))
    else:
        words = [str(k + 1) for k in range(count)] if labels is None else list(labels)
        if len(words) != count:
            raise DeparaError(f"labels: {len(words)} for {count} images")
        for (x, y), word in zip(position, words, strict=True):
            axes.text(
                x, y, word, ha="center", va="center", fontsize=8, color=INK, zorder=3,
                bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": INK, "linewidth":
                0.8},
            )  # fmt: skip
    margin = node_radius(count) + 0.02
    axes.set_xlim(-margin, 1 + margin)
    axes.set_ylim(-margin, 1 + margin)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(title or f"The {strongest} strongest of {total} edges", fontsize=12, color=INK)
    return figure


def draw_edges(
    figure: "Figure", axes: Any, position: np.ndarray, rows: np.ndarray, columns: np.ndarray,
    values: np.ndarray,
) -> None:  # fmt: skip
    """Lines coloured and widened by their cosine, with a colour bar."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap

    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.ones_like(values)
    shades = LinearSegmentedColormap.from_list("edges", ["#C6DBEF", COLORS[0], "#08306B"])
    lines = LineCollection(
        list(np.stack([position[rows], position[columns]], axis=1)[::-1]),
        cmap=shades, linewidths=(0.8 + 3.2 * share)[::-1], zorder=1, capstyle="round",
    )  # fmt: skip
    lines.set_array(values[::-1])  # strongest last, on top
    lines.set_clim(low, high if high > low else low + 1e-6)
    axes.add_collection(lines)
    bar = figure.colorbar(lines, ax=axes, shrink=0.5, pad=0.01)
    bar.set_label("cosine of the two images' features", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8)


def draw_images(axes: Any, position: np.ndarray, images: np.ndarray) -> None:
    """Thumbnails as nodes, smaller the more there are."""
    if len(images) != len(position):
        raise DeparaError(f"images: {len(images)} for a graph of {len(position)} images")
    half = node_radius(len(position))
    for (x, y), image in zip(position, images, strict=True):
        axes.imshow(
            image, extent=(x - half, x + half, y - half, y + half), cmap="gray", zorder=3,
            interpolation="antialiased",
        )  # fmt: skip
        axes.plot(
            x + half * np.array([-1, 1, 1, -1, -1]), y + half * np.array([-1, -1, 1, 1, -1]),
            color=INK, linewidth=0.8, zorder=4,
        )  # fmt: skip


def full_matrix(edges: Any) -> np.ndarray:
    """The symmetric matrix [n, n] of an edge vector, ones on the diagonal."""
    edges = check_finite("edges", edges, (None,))
    count = int((1 + np.sqrt(1 + 8 * len(edges))) / 2)
    if count * (count - 1) // 2 != len(edges):
        raise DeparaError(f"edges: {len(edges)} is not n(n-1)/2 for any number of images n")
    if count < 3:
        raise DeparaError("edges: a picture needs at least 3 images")
    matrix = np.eye(count)
    rows, columns = np.triu_indices(count, 1)
    matrix[rows, columns] = matrix[columns, rows] = edges
    return matrix


def node_radius(count: int) -> float:
    """Half the side of a thumbnail, in units of the picture."""
    return 0.25 / np.sqrt(count)


def unit_box(position: np.ndarray) -> np.ndarray:
    """Positions stretched to fill 0..1 on both axes."""
    span = np.ptp(position, axis=0)
    return (position - position.min(0)) / np.where(span > 1e-9, span, 1)


def spread(position: np.ndarray, *, sweeps: int = 200) -> np.ndarray:
    """Pushes apart nodes closer than a thumbnail's diagonal, then fits the box again."""
    # A square thumbnail's diagonal is 2.83 radii.
    least = 3.0 * node_radius(len(position))
    # A tiny fixed spiral separates nodes at the very same place.
    angle = 2.4 * np.arange(len(position))
    position = position + 1e-3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for _ in range(sweeps):
        offset = position[:, None] - position[None]
        distance = np.linalg.norm(offset, axis=-1) + np.eye(len(position))
        push = np.maximum(least - distance, 0) * (1 - np.eye(len(position)))
        position = unit_box(position + 0.25 * (offset * (push / distance)[..., None]).sum(1))
    return position
