"""Tables, tree and picture of the study, from the cells; results.json holds every figure."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.files import write_atomically
from depara_jax.models import list_models
from depara_jax.reporting.heatmaps import similarity_heatmap
from depara_jax.reporting.style import save_figure
from depara_jax.reporting.trees import similarity_tree
from experiments.pretrained_zoo.report_transfer import (
    print_transfer,
    save_heatmap,
    transfer_results,
)
from experiments.pretrained_zoo.similarity import (
    grid_effect,
    grouping,
    matrices,
    read_cells,
    twin_ranks,
)

__all__ = ["report"]

HERE = Path(__file__).parent


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that can be said from the cells that are there; prints markdown tables."""
    homes = {
        spec.name: (zoo, spec)
        for zoo in args.zoo.split(",")
        for spec in list_models(zoo)
        if (args.output / "probe" / f"{spec.name}.npz").is_file()
    }
    names = list(homes)
    tasks = {name: str(spec.task) for name, (_, spec) in homes.items()}
    cells = read_cells(args.output / "probe", names, args.images)
    result: dict[str, Any] = {"images": args.images, "networks": names}
    found = matrices(cells)
    result["similarity"] = {k: np.round(v, 4).tolist() for k, v in found.items()}
    result["grouping"] = {k: grouping(v, names, tasks) for k, v in found.items()}
    result["twins"] = {k: twin_ranks(v, names) for k, v in found.items()}
    result["grid"] = grid_effect(cells)
    _figures(found, names, tasks, args.figures)
    _print(result)
    result["transfer"] = transfer_results(args, homes, cells)
    if result["transfer"]:
        save_heatmap(result["transfer"], args.figures / "transfer.png")
        print_transfer(result["transfer"])
    text = json.dumps(result, indent=1) + "\n"
    write_atomically(args.results, lambda file: file.write(text.encode()))
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


def _print(result: Mapping[str, Any]) -> None:
    print("| measure | same task, other family | same family, other task | both | twins' ranks |")
    print("|---|---|---|---|---|")
    for name, kinds in result["grouping"].items():
        cells = [_auc(kinds[kind]) for kind in ("same task", "same family", "both")]
        ranks = ", ".join(map(str, result["twins"][name].values()))
        print(f"| {name} | {' | '.join(cells)} | {ranks} |")
    print({kind: value["pairs"] for kind, value in result["grouping"]["DEPARA"].items()})
    print("grid", result["grid"])


def _auc(row: Mapping[str, Any]) -> str:
    if row["auc"] is None:
        return "-"
    low, high = row.get("interval", (np.nan, np.nan))
    return f"{row['auc']:.2f} [{low:.2f}, {high:.2f}]"
