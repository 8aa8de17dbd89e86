"""Pictures of the tables: dots with intervals, curves with bands, the truth as a heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depara_jax.reporting import similarity_heatmap
from depara_jax.reporting.style import COLORS, GRAY, MARKERS, new_figure, save_figure, tidy
from experiments.league.judge import Score
from experiments.league.league import Entry
from experiments.league.study import Study
from experiments.league.sweeps import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL = "mean Spearman correlation with measured transfer"
KINDS = {"label-free": COLORS[0], "labels": COLORS[2], "prior": COLORS[1], "reference": GRAY}


def league_figure(entries: Sequence[Entry]) -> "Figure":
    """Every row of the league with its interval, coloured by what it needs."""
    shown = list(reversed(entries))
    points: dict[str, list[tuple[float, Score]]] = {kind: [] for kind in KINDS}
    for i, entry in enumerate(shown):
        points[entry.kind].append((i, entry.scores["spearman"]))
    labels = [entry.title.replace("`", "") for entry in shown]
    return _dots((7.6, 1.4 + 0.27 * len(shown)), labels, points, list(KINDS.values()))


def sweep_figure(sweep: Sweep) -> "Figure":
    """An ablation: a line of dots a setting, one colour a column, with intervals."""
    labels = list(sweep.rows)[::-1]
    columns = list(sweep.rows[labels[0]])
    points = {}
    for j, column in enumerate(columns):
        shift = 0.14 * ((len(columns) - 1) / 2 - j)
        points[column] = [(i + shift, sweep.rows[one][column]) for i, one in enumerate(labels)]
    return _dots((7.2, 1.5 + 0.34 * len(labels)), labels, points, COLORS, title=sweep.title)


def _dots(
    size: tuple[float, float],
    labels: Sequence[str],
    series: Mapping[str, Sequence[tuple[float, Score]]],
    colors: Sequence[str],
    title: str = "",
) -> "Figure":
    """Series of (height, score), labels at the whole heights."""
    figure, axes = new_figure(*size)
    style = {"markersize": 5, "linewidth": 1.3}
    for j, (name, points) in enumerate(series.items()):
        if points:
            heights, scores = zip(*points, strict=True)
            means, low, high = np.array(scores).T
            errors = np.maximum(0, [means - low, high - means])
            axes.errorbar(
                means, heights, xerr=errors, fmt=MARKERS[j], color=colors[j], label=name, **style
            )
    axes.set_yticks(range(len(labels)), labels)
    axes.axvline(0, color=GRAY, linewidth=0.8)
    tidy(axes, title=title, xlabel=LABEL)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def curve_figure(
    xs: Sequence[float],
    series: Mapping[str, Sequence[Score]],
    *,
    title: str,
    xlabel: str,
    ends: tuple[str, str] | None = None,
) -> "Figure":
    """Curves with bands over a logarithmic axis.

    Args:
      xs: where; with `ends` the first and last are 0 and infinity, drawn at the sides.
      series: {name: a score at every x}.
      title: of the figure.
      xlabel: of the axis.
      ends: labels of 0 and infinity.
    """
    figure, axes = new_figure(7.2, 4.2)
    places = np.arange(len(xs))
    for j, (name, values) in enumerate(series.items()):
        means, low, high = np.array(values).T
        axes.plot(places, means, color=COLORS[j], marker=MARKERS[j], label=name, linewidth=1.8)
        axes.fill_between(places, low, high, color=COLORS[j], alpha=0.15, linewidth=0)
    labels = [f"{x:g}" for x in xs]
    if ends:
        labels[0], labels[-1] = ends
    axes.set_xticks(places, labels)
    tidy(axes, title=title, xlabel=xlabel, ylabel="mean Spearman")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def truth_figure(study: Study) -> "Figure":
    """Mean share of the control's loss that each source saves each target."""
    gains = np.mean([study.gains(a, s) for a in study.architectures for s in study.seeds], axis=0)
    return similarity_heatmap(
        gains, study.tasks, columns=study.tasks, values=False,
        label="share of a random encoder's loss that is saved",
        title="measured transfer: rows targets, columns sources",
    )  # fmt: skip


def save(figure: "Figure", path: Path) -> None:
    """A PNG of moderate size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set_dpi(100)
    save_figure(figure, path)
