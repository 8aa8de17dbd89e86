"""Everything that the study says, from its cells: results.json, tables and pictures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.reporting.heatmaps import similarity_heatmap
from depara_jax.reporting.style import save_figure
from depara_jax.reporting.trees import similarity_tree
from experiments.common.cells import write_text
from experiments.pretrained_zoo import similarity
from experiments.pretrained_zoo.config import StudyConfig
from experiments.pretrained_zoo.images import held_back
from experiments.pretrained_zoo.judging import judge, summarise
from experiments.pretrained_zoo.study import Study
from experiments.pretrained_zoo.tables import counted, tables
from experiments.pretrained_zoo.transfer import LABELLED, scores_with_target, weight_count

_REFERENCE = "trained on ImageNet"
_ELSEWHERE = "accuracy on the other targets"
Cells = Mapping[str, Mapping[str, Any]]  # by network


def report(config: StudyConfig) -> list[str]:
    """Writes results.json and the pictures from the cells that are there.

    Returns:
      The tables as lines of markdown.

    Raises:
      DeparaError: there is no cell of these settings.
    """
    study = Study(config, making=False)
    graphs = {name: cell for name in study.specs if (cell := study.graph(name)) is not None}
    if not graphs:
        raise DeparaError(f"{config.output} holds no graph of these networks and images")
    names = list(graphs)
    tasks = {name: str(study.specs[name].task) for name in names}
    found = similarity.matrices(graphs)
    result: dict[str, Any] = {
        "images": config.images,
        "networks": names,
        "similarity": {k: np.round(v, 4).tolist() for k, v in found.items()},
        "grouping": {k: similarity.grouping(v, names, tasks) for k, v in found.items()},
        "twins": {k: similarity.twin_ranks(v, names) for k, v in found.items()},
        "grid": similarity.grid_effect(graphs),
        "transfer": _transfer(study, graphs),
    }
    write_text(config.results, json.dumps(result, indent=1) + "\n")
    tree = similarity_tree(
        found["DEPARA"],
        names,
        families={name: task.split()[0] for name, task in tasks.items()},
        title="Pretrained networks by DEPARA similarity",
    )
    heat = similarity_heatmap(
        found["DEPARA"], names, values=False, label="similarity", title="DEPARA similarity"
    )
    config.figures.mkdir(parents=True, exist_ok=True)
    save_figure(tree, config.figures / "tree.png")
    save_figure(heat, config.figures / "similarity.png")
    if result["transfer"]:
        save_figure(_heatmap(result["transfer"]), config.figures / "transfer.png")
    return tables(result)


def _transfer(study: Study, graphs: Cells) -> dict[str, Any]:
    """Everything that part 2 says, the twins counted once; empty without a target's cells."""
    twins = {second for _, second in similarity.TWINS}
    names = [name for name in graphs if name not in twins]
    specs = study.specs
    # Scores that look at no image: what anyone knows of a network beforehand.
    prior = {
        "input pixels": {n: float(np.prod(specs[n].input.size)) for n in names},
        "number of weights": {n: float(weight_count(study.load(n))) for n in names},
        "feature width": {n: float(graphs[n]["features"].shape[1]) for n in names},
        _REFERENCE: {n: float("ImageNet" in str(specs[n].task)) for n in names},
    }
    targets = {t: _target(study, t, names, graphs, prior) for t in study.targets}
    found = {t: row for t, row in targets.items() if row}
    if not found:
        return {}
    _add_elsewhere(found)
    probe = {t: counted(t, row["truth"]) for t, row in found.items()}
    for target, row in found.items():
        row["judged"] = {e: judge(s, probe[target]) for e, s in row["scores"].items()}
        if row["finetuned"]:
            truth = counted(target, row["finetuned"]["accuracy"])
            same = {n: probe[target][n] for n in truth}
            at96 = counted(target, row["finetuned"]["probe"])
            row["judged_by_finetuning"] = {e: judge(s, truth) for e, s in row["scores"].items()}
            row["judged_same_networks"] = {e: judge(s, same) for e, s in row["scores"].items()}
            row["agreement"] = {
                "linear probe": judge(probe[target], truth),
                "linear probe at that resolution": judge(at96, truth),
            }
    scores = {t: row["scores"] for t, row in found.items()}
    cells = {t: [study.features(t, n) for n in names] for t in found}
    return {
        "targets": found,
        "means": summarise(scores, probe, _REFERENCE),
        # Mean processor seconds of a network's cell, compilation included.
        "seconds": {
            name: float(np.mean([float(cell["seconds"]) for cell in some if cell is not None]))
            for name, some in {"probe": list(graphs.values()), **cells}.items()
        },
    }


def _target(
    study: Study, target: str, names: Sequence[str], graphs: Cells, prior: Mapping[str, Any]
) -> dict[str, Any]:
    """One target's truth, and every estimator's scores; empty where it has no cells."""
    own = study.target_network(target)
    cells = {n: cell for n in names if (cell := study.scores(target, n)) is not None}
    if own is None or not cells:
        return {}
    record, graph = own
    tuned = {n: cell for n in cells if (cell := study.tuned(target, n)) is not None}
    with_target, seconds = scores_with_target(graph, {n: graphs[n] for n in cells})
    with_labels = {row: {n: cell["scores"][row] for n, cell in cells.items()} for row in LABELLED}
    seconds |= {row: sum(cell["seconds"][row] for cell in cells.values()) for row in LABELLED}
    first = held_back(target)
    return {
        "images": {"estimators": first, "truth": len(study.targets[target].labels) - first},
        "target_network": record,
        "truth": {name: cell["probe"] for name, cell in cells.items()},
        "finetuned": {
            part: {name: np.atleast_1d(cell[part]).tolist() for name, cell in tuned.items()}
            for part in ("accuracy", "probe", "seconds") if tuned
        },
        "scores": {**with_target, **with_labels, **prior},
        "seconds": {e: s / len(cells) for e, s in seconds.items()},
    }  # fmt: skip


def _add_elsewhere(found: Mapping[str, dict[str, Any]]) -> None:
    """A prior that knows transfer: mean accuracy on the other targets, each less its average."""
    gains: dict[str, dict[str, float]] = {}
    for target, row in found.items():
        accuracy = counted(target, row["truth"])
        average = float(np.mean(list(accuracy.values())))
        gains[target] = {n: a - average for n, a in accuracy.items()}
    for target, row in found.items():
        others = [g for t, g in gains.items() if t != target]
        row["scores"][_ELSEWHERE] = {
            n: float(np.mean([g[n] for g in others if n in g])) if others else None
            for n in row["truth"]
        }


def _heatmap(result: Mapping[str, Any]) -> Any:
    """Rank correlation of every estimator with every target's truth."""
    rows = sorted(result["means"], key=lambda e: -result["means"][e]["spearman"])
    columns = {t: row["judged"] for t, row in result["targets"].items()}
    for target, row in result["targets"].items():
        if row["finetuned"]:
            name = f"{target}, {len(row['finetuned']['accuracy'])} fine-tuned"
            columns[name] = row["judged_by_finetuning"]
    values = {
        head: [judged[e]["spearman"] for e in rows]
        for head, judged in columns.items()
        if all("spearman" in judged[e] for e in rows)
    }
    values["mean of the probes"] = [result["means"][e]["spearman"] for e in rows]
    return similarity_heatmap(
        np.asarray(list(values.values())).T, rows, columns=list(values), values=True,
        label="Spearman's correlation with accuracy", title="What predicts transfer",
    )  # fmt: skip
