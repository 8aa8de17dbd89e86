"""Part 2: the truth of each target, and what every estimator says of it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES, AttributionGraph, graph_similarity
from depara_jax.estimators import EstimatorInputs, estimate, linear_probe
from depara_jax.graph import edges_of
from depara_jax.models import Model
from depara_jax.training.units import flat_values
from experiments.pretrained_zoo.cells import GRIDS
from experiments.pretrained_zoo.images import Labelled
from experiments.pretrained_zoo.similarity import FEATURE_MEASURES, signatures

__all__ = [
    "LABELLED",
    "baselines",
    "finetuned",
    "probe_truth",
    "scores_with_labels",
    "scores_with_target",
    "weight_count",
]

# The last is of the networks that have classes of their own.
LABELLED = (
    "logme", "h_score_shrinkage", "gbc_spherical", "transrate", "knn", "parc", "pactran_gaussian",
    "linear_probe", "leep",
)  # fmt: skip
_LOWER_IS_BETTER = ("pactran_gaussian",)
Found = tuple[dict[str, dict[str, float | None]], dict[str, float]]


def probe_truth(folder: Path, names: Sequence[str], labelled: Labelled, first: int) -> dict:
    """{network: accuracy of a linear probe for each of three seeds} on the images from `first` on.

    A seed draws the five folds; within them every image is tested on once.
    """
    labels, found = labelled.labels[first:], {}
    for name in names:
        features = _standard(_features(folder, name)[first : len(labelled.labels)])
        found[name] = [float(linear_probe(features, labels, seed=s).value) for s in range(3)]
    return found


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


def scores_with_labels(folder: Path, names: Sequence[str], labels: np.ndarray) -> Found:
    """{estimator: {network: score}} on the first images, and {estimator: seconds}."""
    found: dict[str, dict[str, float | None]] = {row: {} for row in LABELLED}
    seconds: dict[str, float] = dict.fromkeys(LABELLED, 0.0)
    for name in names:
        with np.load(folder / f"{name}.npz") as file:
            logits = file["logits"][: len(labels)] if "logits" in file.files else None
        inputs = EstimatorInputs(
            features=_features(folder, name)[: len(labels)],
            labels=labels,
            probabilities=None if logits is None else np.asarray(jax.nn.softmax(logits)),
        )
        for row in LABELLED:
            began = time.process_time()
            value = estimate(row, inputs)[row].value
            seconds[row] += time.process_time() - began
            if value is not None and row in _LOWER_IS_BETTER:
                value = -value
            found[row][name] = value
    return found, seconds


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


def _features(folder: Path, name: str) -> np.ndarray:
    with np.load(folder / f"{name}.npz") as file:
        features = file["features"]
    return features.reshape(len(features), -1)


def _standard(features: np.ndarray) -> np.ndarray:
    """Entries of mean 0 and deviation 1; the penalty of the probe means the same for all."""
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _graph(cell: Mapping[str, np.ndarray]) -> AttributionGraph:
    features = jnp.asarray(cell["features"])
    edges = edges_of(features.reshape(len(features), -1), edge_normalization="zscore")
    return AttributionGraph(jnp.asarray(cell[f"nodes{GRIDS[0]}"]), edges)
