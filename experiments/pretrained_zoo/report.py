"""Tables, tree and picture of the study, from the cells; results.json holds every figure."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.files import write_atomically
from depara_jax.models import list_models
from depara_jax.reporting.heatmaps import similarity_heatmap
from depara_jax.reporting.style import save_figure
from depara_jax.reporting.trees import similarity_tree
from experiments.pretrained_zoo.cells import graph_cell
from experiments.pretrained_zoo.images import probe_images, target_images
from experiments.pretrained_zoo.similarity import (
    TWINS,
    family,
    grid_effect,
    grouping,
    matrices,
    read_cells,
    twin_ranks,
)
from experiments.pretrained_zoo.target import train_target
from experiments.pretrained_zoo.transfer import judge, scores_with_labels, scores_with_target, truth

__all__ = ["report"]

HERE = Path(__file__).parent


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that can be said from the cells that are there; prints markdown tables."""
    specs = [
        s for s in list_models(args.zoo) if (args.output / "probe" / f"{s.name}.npz").is_file()
    ]
    names = [spec.name for spec in specs]
    tasks = {spec.name: str(spec.task) for spec in specs}
    cells = read_cells(args.output / "probe", names, args.images)
    result: dict[str, Any] = {"images": args.images, "networks": names}
    found = matrices(cells)
    result["similarity"] = {k: np.round(v, 4).tolist() for k, v in found.items()}
    result["grouping"] = {k: grouping(v, names, tasks) for k, v in found.items()}
    result["twins"] = {k: twin_ranks(v, names) for k, v in found.items()}
    result["grid"] = grid_effect(cells)
    _figures(found, names, tasks, args.figures)
    result["targets"] = {}
    for target in filter(None, args.targets.split(",")):
        result["targets"][target] = _target(args, target, names, cells)
    text = json.dumps(result, indent=1) + "\n"
    write_atomically(args.results, lambda file: file.write(text.encode()))
    _print(result)
    return result


def _figures(
    found: Mapping[str, np.ndarray], names: list[str], tasks: Mapping[str, str], folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tree = similarity_tree(
        found["DEPARA"],
        names,
        families={name: task.split()[0] for name, task in tasks.items()},
        title="Pretrained networks by DEPARA similarity",
    )
    save_figure(tree, folder / "tree.png")
    heat = similarity_heatmap(
        found["DEPARA"], names, values=False, label="similarity", title="DEPARA similarity"
    )
    save_figure(heat, folder / "similarity.png")


def _target(
    args: argparse.Namespace, target: str, names: list[str], cells: Mapping[str, Any]
) -> dict[str, Any]:
    """One target's truth and every estimator's verdict, the twins counted once."""
    shared = Path(os.environ.get("DEPARA_SHARED", "shared"))
    twins = {second for _, second in TWINS}
    folder = args.output / target
    names = [n for n in names if n not in twins and (folder / f"{n}.npz").is_file()]
    labelled = target_images(shared, target, args.target_images)
    accuracy = truth(folder, names, labelled)
    model, fitted = train_target(labelled)
    cell = args.output / "target" / f"{target}.npz"
    graph_cell(cell, model, probe_images(shared, args.images))
    mine = read_cells(cell.parent, [target], args.images)[target]
    mine["features"] = mine["features"].reshape(len(mine["features"]), -1)
    with_labels, seconds = scores_with_labels(folder, names, labelled)
    with_target, more = scores_with_target(mine, {n: cells[n] for n in names})
    estimators = {
        name: judge(scores, accuracy) | {"seconds": round((seconds | more).get(name, 0.0), 2)}
        for name, scores in (with_labels | with_target).items()
    }
    result = {
        "images": len(labelled.labels),
        "truth": accuracy,
        "target_network_fits": fitted,
        "estimators": estimators,
    }
    if target == "cifar10":  # these networks were trained on the very images
        others = {n: a for n, a in accuracy.items() if not n.startswith("cifar")}
        result["estimators_without_cifar_networks"] = {
            name: judge(scores, others) for name, scores in (with_labels | with_target).items()
        }
    return result


def _print(result: Mapping[str, Any]) -> None:
    print("| measure | same task, other family | same family, other task | both | twins' ranks |")
    print("|---|---|---|---|---|")
    for name, kinds in result["grouping"].items():
        values = [kinds[kind]["auc"] for kind in ("same task", "same family", "both")]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        ranks = ", ".join(map(str, result["twins"][name].values()))
        print(f"| {name} | {' | '.join(cells)} | {ranks} |")
    print({kind: value["pairs"] for kind, value in result["grouping"]["DEPARA"].items()})
    print("grid", result["grid"])
    for target, found in result["targets"].items():
        print(f"\n{target}: target network fits {found['target_network_fits']:.2f}")
        for name, values in sorted(found["truth"].items(), key=lambda item: -np.mean(item[1])):
            print(f"| {name} | {family(name)} | {np.mean(values):.3f} | {np.std(values):.3f} |")
        for part in ("estimators", "estimators_without_cifar_networks"):
            for name, row in found.get(part, {}).items():
                if "interval" not in row:
                    continue
                low, high = row["interval"]
                print(
                    f"| {name} | {row['spearman']:+.2f} [{low:+.2f}, {high:+.2f}] | {row['pick']} "
                    f"| {row['regret']:.3f} | {row.get('seconds', '')} |"
                )
