"""Curves: precision and recall at K, and the similarity of a network's layers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.reporting.style import (
    COLORS,
    GRAY,
    INK,
    MARKERS,
    check_finite,
    check_names,
    legend_below,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["layer_curve", "precision_recall"]


def precision_recall(
    curves: Mapping[str, tuple[Any, Any]],
    *,
    ks: Any,
    random: tuple[Any, Any] | None = None,
    oracle: tuple[Any, Any] | None = None,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    title: str = "",
) -> "Figure":
    """P@K, R@K and the PR curve beside each other, as in TAM's Fig. 4 and DEPARA's Fig. 3a.

    Unlike the authors' plot, whose R@K panel draws the random precision (a flat .263), the random
    recall rises with K.

    Args:
      curves: method -> (precision [K], recall [K]).
      ks: the cut-offs [K].
      random: precision and recall of a random ranking.
      oracle: the same of the true order.
      bands: method -> (low, high), a confidence interval of its precision [K], drawn as a band.
      title: of the whole figure.

    Raises:
      DeparaError: no curve, lengths that differ, values that are not finite.
    """
    if not curves:
        raise DeparaError("precision_recall: no curves; give at least one method")
    ks = check_finite("ks", ks, (None,))
    figure, (left, middle, right) = new_figure(12.5, 4.0, ncols=3)
    lines = [
        (name, pair, COLORS[i % 8], MARKERS[i % 8]) for i, (name, pair) in enumerate(curves.items())
    ]
    for name, pair, color, style in (("oracle", oracle, INK, "--"), ("random", random, GRAY, ":")):
        if pair is not None:
            draw_method(figure, ks, name, pair, color=color, linestyle=style, linewidth=1.4)
    for name, pair, color, marker in lines:
        draw_method(figure, ks, name, pair, color=color, marker=marker, markersize=4, linewidth=1.6)
    for i, name in enumerate(curves):
        if bands and name in bands:
            low, high = (check_finite(f"band of {name}", side, (len(ks),)) for side in bands[name])
            left.fill_between(ks, low, high, color=COLORS[i % 8], alpha=0.15, linewidth=0)
    tidy(left, title="Precision", xlabel="K (sources taken)", ylabel="P@K")
    tidy(middle, title="Recall", xlabel="K (sources taken)", ylabel="R@K")
    tidy(right, title="Precision against recall", xlabel="R@K", ylabel="P@K")
    for axes in (left, middle):
        axes.set_xticks(ks if len(ks) <= 10 else ks[:: int(np.ceil(len(ks) / 10))])
    for axes in (left, middle, right):
        axes.set_ylim(-0.02, 1.04)
    right.set_xlim(-0.02, 1.04)
    legend_below(figure, left.get_legend_handles_labels()[0], most=6)
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    return figure


def draw_method(figure: "Figure", ks: np.ndarray, name: str, pair: Any, **style: Any) -> None:
    """One method's line in each of the three panels."""
    left, middle, right = figure.axes
    precision, recall = (check_finite(f"curve {name!r}", side, (len(ks),)) for side in pair)
    left.plot(ks, precision, label=name, **style)
    middle.plot(ks, recall, label=name, **style)
    right.plot(recall, precision, label=name, **style)


def layer_curve(
    layers: Sequence[str],
    score: Any,
    node: Any = None,
    edge: Any = None,
    *,
    accuracy: Mapping[str, Any] | None = None,
    band: tuple[Any, Any] | None = None,
    best: str | None = None,
    title: str = "",
) -> "Figure":
    """Similarity SIM of every layer, shallow to deep, with its terms V and E (DEPARA, Fig. 4).

    Args:
      layers: l names, shallow to deep.
      score: [l], the similarity by which layers are ranked.
      node: [l], s(V), or None.
      edge: [l], s(E), or None.
      accuracy: name -> [l], accuracy in percent after transfer from each layer, on a second axis;
        NaN where it was not measured.
      band: (low, high), an interval [l] of the score.
      best: the layer to mark; by default that of the highest score.
      title: of the figure.

    Raises:
      DeparaError: lengths that differ, similarities that are not finite, an unknown `best`.
    """
    size = len(layers)
    score = check_finite("score", score, (size,))
    layers = check_names("layers", layers, size)
    figure, axes = new_figure(max(6.0, 1.6 + 0.42 * size), 4.4)
    position = np.arange(size)
    lines = (("V (nodes)", node, COLORS[0]), ("E (edges)", edge, COLORS[4]))
    for (label, values, color), marker in zip(lines, MARKERS, strict=False):
        if values is not None:
            values = check_finite(label, values, (size,))
            style: dict[str, Any] = {"color": color, "marker": marker, "linewidth": 1.5}
            axes.plot(position, values, label=label, markersize=5, **style)
    label = "SIM = V + λE" if node is not None and edge is not None else "SIM"
    axes.plot(position, score, label=label, color=COLORS[1], marker="^", linewidth=2.4)
    if band is not None:
        low, high = (check_finite("band", side, (size,)) for side in band)
        axes.fill_between(position, low, high, color=COLORS[1], alpha=0.15, linewidth=0)
    tidy(axes, title=title, xlabel="layer, shallow to deep", ylabel="similarity to the target")
    mark_best(axes, layers, score, best)
    rotate = 45 if max(map(len, layers)) > 3 else 0
    axes.set_xticks(
        position, layers, rotation=rotate, ha="right" if rotate else "center", fontsize=8
    )
    axes.set_xlim(-0.5, size - 0.5)
    handles = axes.get_legend_handles_labels()[0]
    if accuracy:
        handles = handles + add_accuracy(axes, accuracy, size).get_legend_handles_labels()[0]
    legend_below(figure, handles)
    return figure


def mark_best(axes: "Axes", layers: list[str], score: np.ndarray, best: str | None) -> None:
    """A vertical line at the layer to transfer from, named above the axes, where no curve is."""
    if best is not None and best not in layers:
        raise DeparaError(f"layer_curve: best={best!r} is not among the layers")
    chosen = int(score.argmax()) if best is None else layers.index(best)
    axes.axvline(chosen, color=GRAY, linewidth=1, linestyle=":", zorder=0)
    axes.set_title(f"picked: {layers[chosen]}", fontsize=9, color=GRAY, loc="right")


def add_accuracy(axes: "Axes", accuracy: Mapping[str, Any], size: int) -> "Axes":
    """Measured accuracies on a second axis, dashed."""
    twin = axes.twinx()
    for i, (name, values) in enumerate(accuracy.items()):
        try:
            values = np.asarray(values, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DeparaError(f"layer_curve: accuracy {name!r} is not numbers: {error}") from error
        if values.shape != (size,) or not np.isfinite(values).any():
            raise DeparaError(
                f"layer_curve: accuracy {name!r} has shape {values.shape}, expected [{size}] with "
                "at least one number"
            )
        twin.plot(
            np.arange(size), values, label=f"accuracy, {name}", color=(COLORS[2], COLORS[3])[i % 2],
            linestyle="--", marker=MARKERS[3 + i % 5], markersize=4, linewidth=1.4,
        )  # fmt: skip
    twin.set_ylabel("accuracy after transfer (%)", fontsize=10, color=INK)
    twin.tick_params(labelsize=9, colors=INK)
    twin.spines[["top"]].set_visible(False)
    return twin
