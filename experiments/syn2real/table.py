"""Table 2 of the paper: its layout, picks, correlations and figure, from results or the golden."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.reporting import layer_curve, save_figure
from experiments.common.cells import readable
from experiments.common.judge import rank_correlation
from experiments.common.tables import markdown
from experiments.syn2real.config import LAMBDAS, SOURCES

NAMES = {"imagenet": "DNN-ImageNet", "source": "DNN-Source"}
LABELS = {"acc_01T": "0.1-T", "acc_001T": "0.01-T"}


def read_table(path: Path) -> dict[str, Any]:
    """A table as `depara_table2.json` has it.

    Raises:
      DeparaError: the file is missing or lacks what a table has.
    """
    with readable(f"table {path}", "expected one such as table2.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        for source, row in itertools.product(SOURCES, ("V", "E", *LAMBDAS)):
            if len(table[source][row]) != len(table["layers"]):
                raise ValueError(f"{source}/{row} has another length than layers")
    return table


def with_similarity(row: Mapping[str, Any], size: str) -> np.ndarray:
    """SIM = V + lambda E with the paper's lambda for that data size.

    The paper's own row is taken where the table has it: from V and E as printed, with two digits,
    SIM has ties that the printed one has not.
    """
    printed = row.get(f"sim_l{LAMBDAS[size]:g}")
    if printed is not None:
        return np.asarray(printed)
    return np.asarray(row["V"]) + LAMBDAS[size] * np.asarray(row["E"])


def lines(table: Mapping[str, Any]) -> list[str]:
    """Markdown: V, E, SIM and accuracy of every layer; then picks and correlations."""
    layers = table["layers"]
    rows, notes = [], []
    for source in SOURCES:
        row = table[source]
        rows.append(_row(NAMES[source], "V", row["V"]))
        rows.append(_row("", "E", row["E"]))
        for size, label in LABELS.items():
            sim, accuracy = with_similarity(row, size), np.asarray(row[size])
            rows.append(_row("", f"SIM, lambda {LAMBDAS[size]:g} ({label})", sim))
            rows.append(_row("", f"accuracy, {label}", accuracy))
            pick, best = int(sim.argmax()), int(accuracy.argmax())
            rho = rank_correlation(sim, accuracy)
            said = "undefined, a constant side" if np.isnan(rho) else f"{rho:.3f}"
            notes.append(
                f"{NAMES[source]}, {label}: picks #{layers[pick]} ({accuracy[pick]:.2f}), best is "
                f"#{layers[best]} ({accuracy[best]:.2f}), Spearman(SIM, accuracy) {said}"
            )
    head, *body = markdown(["", "", *(f"#{n}" for n in layers)], rows)
    return [head.replace("  ", " "), *body, "", *notes]


def _row(first: str, second: str, values: Any) -> list[str]:
    return [first, second, *(f"{v:.2f}" for v in values)]


def draw(table: Mapping[str, Any], source: str, size: str, path: Path) -> Path:
    """The curves of one source at one data size, as the paper's Fig. 4."""
    row = table[source]
    names = [f"#{n}" for n in table["layers"]]
    figure = layer_curve(
        names, with_similarity(row, size), row["V"], row["E"],
        accuracy={LABELS[size]: row[size]}, title=f"{NAMES[source]}, lambda {LAMBDAS[size]:g}",
    )  # fmt: skip
    return save_figure(figure, path)
