"""Part 2's tables and picture: every target's truth, every estimator's verdict, and the means."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.models import ModelSpec, load_model
from depara_jax.reporting.heatmaps import similarity_heatmap
from depara_jax.reporting.style import save_figure
from experiments.pretrained_zoo.images import held_back, target_images
from experiments.pretrained_zoo.judging import judge, summarise
from experiments.pretrained_zoo.similarity import TWINS, family, read_cells
from experiments.pretrained_zoo.target import target_cell
from experiments.pretrained_zoo.transfer import (
    baselines,
    finetuned,
    read_scores,
    scores_with_target,
    weight_count,
)

__all__ = ["print_transfer", "save_heatmap", "transfer_results"]

_REFERENCE = "trained on ImageNet"
_ELSEWHERE = "accuracy on the other targets"


def transfer_results(
    args: argparse.Namespace, homes: Mapping[str, tuple[str, ModelSpec]], cells: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that part 2 says, from the cells that are there; the twins counted once.

    Args:
      args: the command line.
      homes: {network: (its manifest, its spec)}.
      cells: {network: its part of the probe set}.
    """
    twins = {second for _, second in TWINS}
    names = [n for n in homes if n not in twins]
    targets = [
        t for t in args.targets.split(",") if t and any((args.output / "scores" / t).glob("*.json"))
    ]
    if not targets:
        return {}
    prior = baselines(
        names,
        {n: int(np.prod(homes[n][1].input.size)) for n in names},
        {n: weight_count(load_model(n, zoo=homes[n][0])) for n in names},
        {n: str(homes[n][1].task) for n in names},
        {n: cells[n]["features"].shape[1] for n in names},
    )
    found = {t: _target(args, t, names, cells, prior) for t in targets}
    _add_elsewhere(found)
    probe = {t: _counted(t, row["truth"]) for t, row in found.items()}
    tuned = {
        t: _counted(t, row["finetuned"]["accuracy"]) for t, row in found.items() if row["finetuned"]
    }
    for target, row in found.items():
        row["judged"] = {e: judge(s, probe[target]) for e, s in row["scores"].items()}
        if target in tuned:
            truth = tuned[target]
            row["judged_by_finetuning"] = {e: judge(s, truth) for e, s in row["scores"].items()}
            same = {n: probe[target][n] for n in truth}
            row["judged_same_networks"] = {e: judge(s, same) for e, s in row["scores"].items()}
            at96 = _counted(target, row["finetuned"]["probe"])
            row["agreement"] = {
                "linear probe": judge(probe[target], truth),
                "linear probe at that resolution": judge(at96, truth),
            }
    scores = {t: row["scores"] for t, row in found.items()}
    result = {"targets": found, "means": summarise(scores, probe, _REFERENCE)}
    result["seconds"] = _feature_seconds(args, names, targets)
    return result


def _target(
    args: argparse.Namespace,
    target: str,
    names: Sequence[str],
    cells: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """One target's truth, and every estimator's scores."""
    shared = Path(os.environ.get("DEPARA_SHARED", "shared"))
    folder, first = args.output / "scores" / target, held_back(target)
    names = [n for n in names if (folder / f"{n}.json").is_file()]
    labelled = target_images(shared, target, args.target_images, fashion=args.fashion)
    record = target_cell(
        args.output / "target", shared, target,
        images=args.images, truth=args.target_images, fashion=args.fashion,
    )  # fmt: skip
    mine = read_cells(args.output / "target", [target], args.images)[target]
    mine["features"] = mine["features"].reshape(len(mine["features"]), -1)
    truth, with_labels, seconds = read_scores(folder, names)
    with_target, more = scores_with_target(mine, {n: cells[n] for n in names})
    tuned = finetuned(args.output / "finetune" / target, names)
    return {
        "images": {"estimators": first, "truth": len(labelled.labels) - first},
        "target_network": record,
        "truth": truth,
        "finetuned": tuned if tuned["accuracy"] else {},
        "scores": with_target | with_labels | {k: dict(v) for k, v in prior.items()},
        "seconds": {e: s / len(names) for e, s in (seconds | more).items()},
    }


def _add_elsewhere(found: Mapping[str, dict[str, Any]]) -> None:
    """A prior that knows transfer: mean accuracy on the other targets, each less its average."""
    gains: dict[str, dict[str, float]] = {}
    for target, row in found.items():
        accuracy = _counted(target, row["truth"])
        average = float(np.mean(list(accuracy.values())))
        gains[target] = {n: a - average for n, a in accuracy.items()}
    for target, row in found.items():
        others = [g for t, g in gains.items() if t != target]
        row["scores"][_ELSEWHERE] = {
            n: float(np.mean([g[n] for g in others if n in g])) if others else None
            for n in row["truth"]
        }


def _counted(target: str, truth: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean accuracies of the networks that were not trained on the target's very images."""
    return {
        name: float(np.mean(values))
        for name, values in truth.items()
        if not (target == "cifar10" and family(name) == "CIFAR ResNet")
    }


def _feature_seconds(
    args: argparse.Namespace, names: Sequence[str], targets: Sequence[str]
) -> dict[str, float]:
    """Mean processor seconds of a network's cell, compilation included."""
    found = {}
    for folder in ("probe", *targets):
        taken = []
        for name in names:
            path = args.output / folder / f"{name}.npz"
            if path.is_file():
                with np.load(path) as file:
                    taken.append(float(file["seconds"]))
        found[folder] = float(np.mean(taken))
    return found


def save_heatmap(result: Mapping[str, Any], path: Path) -> None:
    """Rank correlation of every estimator with every target's truth."""
    rows = sorted(result["means"], key=lambda e: -result["means"][e]["spearman"])
    means = {e: result["means"][e]["spearman"] for e in rows}
    columns = {t: row["judged"] for t, row in result["targets"].items()}
    tuned = {t: row for t, row in result["targets"].items() if row["finetuned"]}
    for target, row in tuned.items():
        count = len(row["finetuned"]["accuracy"])
        columns[f"{target}, {count} fine-tuned"] = row["judged_by_finetuning"]
    values = {
        head: [judged[e]["spearman"] for e in rows]
        for head, judged in columns.items()
        if all("spearman" in judged[e] for e in rows)
    }
    values["mean of the probes"] = list(means.values())
    figure = similarity_heatmap(
        np.asarray(list(values.values())).T, rows, columns=list(values), values=True,
        label="Spearman's correlation with accuracy", title="What predicts transfer",
    )  # fmt: skip
    save_figure(figure, path)


def print_transfer(result: Mapping[str, Any]) -> None:
    """Markdown tables."""
    targets, means = result["targets"], result["means"]
    tuned = [t for t, row in targets.items() if row["finetuned"]]
    _heads("network", "family", *targets, *(f"{t}, fine-tuned" for t in tuned))
    names = list(dict.fromkeys(n for row in targets.values() for n in row["truth"]))
    first = next(iter(targets.values()))["truth"]
    for name in sorted(names, key=lambda n: -np.mean(first.get(n, 0))):
        cells = [_percent(row["truth"].get(name)) for row in targets.values()]
        cells += [_percent(targets[t]["finetuned"]["accuracy"].get(name)) for t in tuned]
        print(f"| {name} | {family(name)} | {' | '.join(cells)} |")
    _heads("estimator", "mean", "minus ImageNet", "regret", *targets, "seconds")
    order = sorted(means, key=lambda e: -means[e]["spearman"])
    every = [*order, *(e for e in next(iter(targets.values()))["judged"] if e not in order)]
    for name in every:
        row = means.get(name)
        cells = ["-"] * 3
        if row:
            apart = _with(row["difference"], row["difference_interval"])
            cells = [_with(row["spearman"], row["interval"]), apart, f"{100 * row['regret']:.1f}"]
        cells += [_judged(found["judged"][name], interval=False) for found in targets.values()]
        taken = [found["seconds"].get(name) for found in targets.values()]
        cells.append("-" if taken[0] is None else f"{np.mean(taken):.2g}")
        print(f"| {name} | {' | '.join(cells)} |")
    for target in tuned:
        row = targets[target]
        _heads(f"{target}: estimator", "fine-tuned", "linear probe, the same networks")
        for name in [*row["agreement"], *every]:
            judged = row["agreement"] | row["judged_by_finetuning"]
            probed = row["judged_same_networks"].get(name, {})
            print(f"| {name} | {_judged(judged[name])} | {_judged(probed)} |")
    for target, row in targets.items():
        mean = list(_counted(target, row["truth"]).values())
        at_random = 100 * (max(mean) - np.mean(mean))
        print(f"{target}: {row['images']} {row['target_network']}; at random {at_random:.1f}")
    print("seconds of a network's cell", result["seconds"])


def _heads(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |\n{'|---' * len(names)}|")


def _judged(row: Mapping[str, Any], *, interval: bool = True) -> str:
    """Correlation and, in percentage points, regret."""
    if "spearman" not in row:
        return "-"
    rho = _with(row["spearman"], row["interval"]) if interval else f"{row['spearman']:.2f}"
    return f"{rho}, {100 * row['regret']:.1f}"


def _percent(values: Sequence[float] | None) -> str:
    return "-" if values is None else f"{100 * np.mean(values):.1f} ({100 * np.std(values):.1f})"


def _with(value: float, interval: Sequence[float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
