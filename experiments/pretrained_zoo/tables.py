"""The study's tables, from what results.json holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.tables import markdown, short, with_interval
from experiments.pretrained_zoo.similarity import family


def counted(target: str, truth: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean accuracies of the networks that were not trained on the target's very images."""
    return {
        name: float(np.mean(values))
        for name, values in truth.items()
        if not (target == "cifar10" and family(name) == "CIFAR ResNet")
    }


def tables(result: Mapping[str, Any]) -> list[str]:
    """Both parts as lines of markdown."""
    lines, transfer = _grouping(result), result["transfer"]
    if transfer:
        tuned = {t: row for t, row in transfer["targets"].items() if row["finetuned"]}
        lines += ["", *_truth(transfer["targets"], tuned), "", *_estimators(transfer)]
        for target, row in tuned.items():
            lines += ["", *_fine_tuned(target, row, _order(transfer))]
        lines += ["", *map(_images, transfer["targets"].items())]
        spent = ", ".join(f"{name} {s:.1f}" for name, s in transfer["seconds"].items())
        lines.append(f"processor seconds of a network's cell: {spent}")
    return lines


def _grouping(result: Mapping[str, Any]) -> list[str]:
    kinds = ("same task", "same family", "both")
    pairs = next(iter(result["grouping"].values()))
    titles = ("same task, other family", "same family, other task", "both")
    head = [
        f"{title} ({pairs[kind]['pairs']} pairs)" for title, kind in zip(titles, kinds, strict=True)
    ]
    rows = [
        [name, *(_auc(found[kind]) for kind in kinds), ", ".join(map(str, twins.values()))]
        for (name, found), twins in zip(
            result["grouping"].items(), result["twins"].values(), strict=True
        )
    ]
    lines = markdown(["measure", *head, "twins: rank of the other"], rows)
    lines.append(f"pairs that share neither: {pairs['neither']['pairs']}")
    grid = ", ".join(f"{name} {value:.3g}" for name, value in result["grid"].items())
    return [*lines, f"common grid: {grid}"]


def _truth(targets: Mapping[str, Any], tuned: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys(n for row in targets.values() for n in row["truth"]))
    first = next(iter(targets.values()))["truth"]
    rows = []
    for name in sorted(names, key=lambda n: -np.mean(first.get(n, 0))):
        cells = [_percent(row["truth"].get(name)) for row in targets.values()]
        cells += [_percent(row["finetuned"]["accuracy"].get(name)) for row in tuned.values()]
        rows.append([name, family(name), *cells])
    return markdown(["network", "family", *targets, *(f"{t}, fine-tuned" for t in tuned)], rows)


def _order(transfer: Mapping[str, Any]) -> list[str]:
    """Estimators by their mean, those without one last."""
    means = transfer["means"]
    judged = next(iter(transfer["targets"].values()))["judged"]
    order = sorted(means, key=lambda e: -means[e]["spearman"])
    return [*order, *(e for e in judged if e not in order)]


def _estimators(transfer: Mapping[str, Any]) -> list[str]:
    targets, rows = transfer["targets"], []
    for name in _order(transfer):
        row, cells = transfer["means"].get(name), ["-"] * 3
        if row:
            apart = with_interval(row["difference"], row["difference_interval"])
            mean = with_interval(row["spearman"], row["interval"])
            cells = [mean, apart, f"{100 * row['regret']:.1f}"]
        cells += [_judged(found["judged"][name], interval=False) for found in targets.values()]
        taken = [found["seconds"].get(name) for found in targets.values()]
        cells.append("-" if taken[0] is None else f"{np.mean(taken):.2g}")
        rows.append([name, *cells])
    head = ["estimator", "mean", "minus ImageNet", "regret", *targets, "seconds"]
    return markdown(head, rows)


def _fine_tuned(target: str, row: Mapping[str, Any], order: Sequence[str]) -> list[str]:
    judged = row["agreement"] | row["judged_by_finetuning"]
    rows = [
        [name, _judged(judged[name]), _judged(row["judged_same_networks"].get(name, {}))]
        for name in [*row["agreement"], *order]
    ]
    return markdown([f"estimator, {target}", "fine-tuned", "linear probe, same networks"], rows)


def _images(item: tuple[str, Mapping[str, Any]]) -> str:
    target, row = item
    mean, own = list(counted(target, row["truth"]).values()), row["target_network"]
    return (
        f"{target}: {row['images']['estimators']} images for estimators, "
        f"{row['images']['truth']} for the truth; its own network learnt from "
        f"{own['trained_on']} and reaches {own['accuracy']:.0%}; a network at random loses "
        f"{100 * (max(mean) - np.mean(mean)):.1f}"
    )


def _auc(row: Mapping[str, Any]) -> str:
    if row["auc"] is None:
        return "-"
    return with_interval(row["auc"], row.get("interval", (np.nan, np.nan)))


def _judged(row: Mapping[str, Any], *, interval: bool = True) -> str:
    """Correlation and, in percentage points, regret."""
    if "spearman" not in row:
        return "-"
    rho = with_interval(row["spearman"], row["interval"]) if interval else short(row["spearman"])
    return f"{rho}, {100 * row['regret']:.1f}"


def _percent(values: Sequence[float] | None) -> str:
    return "-" if values is None else f"{100 * np.mean(values):.1f} ({100 * np.std(values):.1f})"
