"""Tables and figures of the study, from results.json alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.reporting import save_figure
from depara_jax.reporting.style import COLORS, GRAY, INK, new_figure, tidy
from experiments.common.cells import readable
from experiments.common.tables import markdown
from experiments.layer_study import analysis


def write_report(results: Path, figures: Path) -> list[str]:
    """Writes curves.png and lambda.png; returns the tables as lines of markdown.

    Raises:
      DeparaError: the results cannot be read.
    """
    with readable(f"results {results}", "run the study"):
        found = json.loads(results.read_text(encoding="utf-8"))
        settings = found["settings"]
    if not figures.is_dir():
        raise DeparaError(f"--figures {figures} is not a folder")
    save(curves(settings), figures / "curves.png")
    save(lambdas(settings), figures / "lambda.png")
    sizes = list(found["config"]["fractions"])
    lines = [*target_table(found["targets"]), ""]
    for same in (False, True):
        trained = "the same images as the transfer" if same else "the target's whole training part"
        lines += [f"Target network trained on {trained}, {len(settings)} pairs:", ""]
        lines += [*methods_table(settings, sizes, same=same), ""]
    lines += pairs_table(settings, sizes)
    seconds = sum(s["cpu_seconds"] for s in settings) + sum(
        record["cpu_seconds"] for sizes in found["targets"].values() for record in sizes.values()
    )
    return [*lines, "", f"Processor time of all trainings: {seconds / 60:.1f} minutes"]


def save(figure: Any, path: Path) -> None:
    """A picture of 64 colours, a third of the bytes, since it is committed."""
    with Image.open(save_figure(figure, path)) as picture:
        reduced = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    write_atomically(path, lambda file: reduced.save(file, "PNG", optimize=True))


def target_table(targets: Mapping[str, Any]) -> list[str]:
    """Accuracy of the target networks, trained from scratch."""
    sizes = list(next(iter(targets.values())))
    rows = [
        [name, *(f"{100 * of[s]['accuracy']:.1f} ({of[s]['images']})" for s in sizes)]
        for name, of in targets.items()
    ]
    return markdown(["target", *sizes], rows)


def methods_table(
    settings: Sequence[Mapping[str, Any]], sizes: Sequence[str], *, same: bool
) -> list[str]:
    """One row a method."""
    head, chance = ["method"], ["a layer at random"]
    for size in sizes:
        head += [f"Spearman, {size}", f"regret, {size}", "best found"]
        chance += ["0", f"{analysis.random_regret(settings, size):.1f}", "-"]
    columns = [analysis.table_rows(settings, size, same=same) for size in sizes]
    lines = []
    for rows in zip(*columns, strict=True):
        cells = [rows[0]["method"]]
        for r in rows:
            cells += [
                f"{r['spearman']:.2f} ({r['low']:.2f} to {r['high']:.2f})",
                f"{r['regret']:.1f} ({r['regret_low']:.1f} to {r['regret_high']:.1f})",
                f"{r['hits']}",
            ]
        lines.append(cells)
    return markdown(head, [*lines, chance])


def pairs_table(settings: Sequence[Mapping[str, Any]], sizes: Sequence[str]) -> list[str]:
    """One row a source, target and size, for `depara` with the whole target network."""
    head = [
        "source", "target", "size", "best layer", "chosen (best in)", "regret", "Spearman (95%)",
        "standard error of accuracy",
    ]  # fmt: skip
    rows = []
    for setting in settings:
        cuts = setting["cuts"]
        for size in sizes:
            accuracy = analysis.mean_accuracy(setting, size)
            scores = analysis.method_scores(setting, size, "full")["depara"]
            about = setting["certain"][size]["full"]["depara"]
            best, chosen = int(accuracy.argmax()), int(scores.argmax())
            runs = np.asarray(setting["accuracy"][size])
            error = 100 * runs.std(axis=1, ddof=1).mean() / np.sqrt(runs.shape[1])
            rows.append(
                [
                    setting["source"], setting["target"], size,
                    f"{cuts[best]} {100 * accuracy[best]:.1f}",
                    f"{cuts[chosen]} {100 * accuracy[chosen]:.1f} ({about['share'][chosen]:.0%})",
                    f"{analysis.regret(scores, accuracy):.1f}",
                    f"{analysis.spearman(scores, accuracy):.2f} "
                    f"({about['low']:.2f} to {about['high']:.2f})",
                    f"{error:.1f}",
                ]
            )  # fmt: skip
    return markdown(head, rows)


def curves(settings: Sequence[Mapping[str, Any]]) -> Any:
    """Accuracy and similarity of every layer, one panel a pair."""
    columns = min(4, len(settings))
    rows = -(-len(settings) // columns)
    figure, grid = new_figure(
        3.0 * columns, 2.6 * rows + 0.5, nrows=rows, ncols=columns, squeeze=False
    )
    figure.set_dpi(110)
    for axes, setting in zip(grid.ravel(), settings, strict=False):
        position = np.arange(len(setting["cuts"]))
        for color, size in zip((COLORS[2], COLORS[3]), setting["accuracy"], strict=False):
            runs = 100 * np.asarray(setting["accuracy"][size])
            axes.plot(position, runs.mean(axis=1), color=color, marker="o", markersize=3,
                      label=f"accuracy, {size}")  # fmt: skip
            axes.fill_between(position, runs.min(axis=1), runs.max(axis=1), color=color, alpha=0.15)
        twin = axes.twinx()
        scores = analysis.method_scores(setting, "large", "full")
        for name, color in (("depara", COLORS[1]), ("V", COLORS[0]), ("E", COLORS[4])):
            twin.plot(position, scores[name], color=color, linestyle="--", linewidth=1.3,
                      label={"depara": "V + E"}.get(name, name))  # fmt: skip
        tidy(axes, title=f"{setting['source']} to {setting['target']}")
        axes.set_xticks(position, setting["cuts"], rotation=60, ha="right", fontsize=6)
        axes.tick_params(axis="y", labelsize=7)
        twin.tick_params(labelsize=7, colors=INK)
        twin.spines[["top"]].set_visible(False)
    for axes in grid.ravel()[len(settings) :]:
        axes.set_axis_off()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    more = figure.axes[len(grid.ravel())].get_legend_handles_labels()
    figure.legend(handles + more[0], labels + more[1], loc="outside lower center", ncols=5,
                  frameon=False, fontsize=9)  # fmt: skip
    figure.suptitle("left: accuracy after transfer, %; right: similarity to the target", fontsize=9)
    return figure


def lambdas(settings: Sequence[Mapping[str, Any]]) -> Any:
    """Mean rank correlation and regret against lambda."""
    figure, (left, right) = new_figure(8.5, 3.2, ncols=2)
    places = range(len(analysis.LAMBDAS))
    for color, recipe in zip(COLORS, ("paper", "default"), strict=False):
        for style, size in zip(("-", "--"), settings[0]["accuracy"], strict=False):
            rhos, losses = analysis.lambda_curve(settings, size, recipe)
            label = f"{recipe} edges, {size}"
            for axes, values in ((left, rhos), (right, losses)):
                axes.plot(places, values, style, color=color, marker="o",
                          markersize=3, label=label)  # fmt: skip
    for axes, title in ((left, "mean Spearman(SIM, accuracy)"), (right, "mean regret, points")):
        tidy(axes, title=title, xlabel="lambda (0: nodes alone)")
        axes.set_xticks(places, [f"{lam:g}" for lam in analysis.LAMBDAS], fontsize=8)
    left.axhline(0, color=GRAY, linewidth=0.8)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure
