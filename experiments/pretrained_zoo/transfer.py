"""Part 2: the truth of each target, and what every estimator says of it."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES, AttributionGraph, graph_similarity
from depara_jax.estimators import EstimatorInputs, estimate, linear_probe
from depara_jax.files import write_atomically
from depara_jax.graph import edges_of
from depara_jax.models import Model
from depara_jax.training.units import flat_values
from experiments.pretrained_zoo.cells import GRIDS
from experiments.pretrained_zoo.similarity import FEATURE_MEASURES, signatures

__all__ = [
    "LABELLED",
    "baselines",
    "finetuned",
    "read_scores",
    "score_cell",
    "scores_with_target",
    "weight_count",
]

# The last is of the networks that have classes of their own.
LABELLED = (
    "logme", "h_score_shrinkage", "gbc_spherical", "transrate", "knn", "pactran_gaussian",
    "linear_probe", "leep",
)  # fmt: skip
_LOWER_IS_BETTER = ("pactran_gaussian",)
Found = tuple[dict[str, dict[str, float | None]], dict[str, float]]


def score_cell(path: Path, features: Path, labels: np.ndarray, first: int) -> None:
    """One network's truth and the scores that need labels, on images apart.

    The truth is the accuracy of a linear probe on the images from `first` on, for three seeds, each
    of which draws five folds; the scores are of the images before.

    Args:
      path: where the cell goes, JSON; one that is there stays.
      features: the network's features and outputs on the target's images.
      labels: of the images.
      first: how many of the images the estimators see.
    """
    if path.is_file():
        return
    with np.load(features) as file:
        rows = file["features"].reshape(len(file["features"]), -1)[: len(labels)]
        logits = file["logits"][:first] if "logits" in file.files else None
    scored = _standard(rows[first:])
    found: dict[str, Any] = {
        "probe": [float(linear_probe(scored, labels[first:], seed=s).value) for s in range(3)],
        "scores": {},
        "seconds": {},
    }
    inputs = EstimatorInputs(
        features=rows[:first],
        labels=labels[:first],
        probabilities=None if logits is None else np.asarray(jax.nn.softmax(logits)),
    )
    for row in LABELLED:
        began = time.process_time()
        value = estimate(row, inputs)[row].value
        found["seconds"][row] = time.process_time() - began
        if value is not None and row in _LOWER_IS_BETTER:
            value = -value
        found["scores"][row] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(json.dumps(found).encode()))


def read_scores(
    folder: Path, names: Sequence[str]
) -> tuple[dict[str, list[float]], dict[str, dict[str, float | None]], dict[str, float]]:
    """Of the cells: {network: accuracies}, {estimator: {network: score}}, {estimator: seconds}."""
    cells = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    truth = {name: cell["probe"] for name, cell in cells.items()}
    scores = {row: {n: cell["scores"][row] for n, cell in cells.items()} for row in LABELLED}
    seconds = {row: float(sum(c["seconds"][row] for c in cells.values())) for row in LABELLED}
    return truth, scores, seconds


def finetuned(folder: Path, names: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """{"accuracy" or "probe": {network: one a seed}} of the fine-tuning cells that are there."""
    found: dict[str, dict[str, list[float]]] = {"accuracy": {}, "probe": {}, "seconds": {}}
    for name in names:
        path = folder / f"{name}.npz"
        if path.is_file():
            with np.load(path) as file:
                for part, values in found.items():
                    values[name] = np.atleast_1d(file[part]).tolist()
    return found


def scores_with_target(
    target: Mapping[str, np.ndarray], cells: Mapping[str, Mapping[str, np.ndarray]]
) -> Found:
    """{estimator: {network: similarity to the target network}} and {estimator: seconds}."""
    names = ("DEPARA", "nodes", "edges", *FEATURE_MEASURES)
    found: dict[str, dict[str, float | None]] = {name: {} for name in names}
    seconds = dict.fromkeys(names, 0.0)
    mine, ours = _graph(target), signatures(target["features"])
    for name, cell in cells.items():
        began = time.process_time()
        result = graph_similarity(mine, _graph(cell), RECIPES["default"])
        parts = {"DEPARA": result.score, "nodes": result.node, "edges": result.edge}
        for part, value in parts.items():
            assert value is not None
            found[part][name] = float(value)
        # One computation gives all three.
        taken = time.process_time() - began
        seconds |= {part: seconds[part] + taken for part in parts}
        began = time.process_time()
        theirs = signatures(cell["features"])
        for measure in FEATURE_MEASURES:
            found[measure][name] = float(theirs[measure] @ ours[measure])
            seconds[measure] += (time.process_time() - began) / len(FEATURE_MEASURES)
    return found, seconds


def baselines(
    names: Sequence[str],
    pixels: Mapping[str, int],
    weights: Mapping[str, int],
    tasks: Mapping[str, str],
    widths: Mapping[str, int],
) -> dict[str, dict[str, float | None]]:
    """Scores that look at no image: what anyone knows of a network beforehand."""
    return {
        "input pixels": {name: float(pixels[name]) for name in names},
        "number of weights": {name: float(weights[name]) for name in names},
        "feature width": {name: float(widths[name]) for name in names},
        "trained on ImageNet": {name: float("ImageNet" in tasks[name]) for name in names},
    }


def weight_count(model: Model) -> int:
    """Numbers below the classes."""
    head = f"{model.spec.logits}." if model.spec.logits else None
    values = flat_values(model.variables)
    return sum(v.size for n, v in values.items() if head is None or not n.startswith(head))


def _standard(features: np.ndarray) -> np.ndarray:
    """Entries of mean 0 and deviation 1; the penalty of the probe means the same for all."""
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _graph(cell: Mapping[str, np.ndarray]) -> AttributionGraph:
    features = jnp.asarray(cell["features"])
    edges = edges_of(features.reshape(len(features), -1), edge_normalization="zscore")
    return AttributionGraph(jnp.asarray(cell[f"nodes{GRIDS[0]}"]), edges)
