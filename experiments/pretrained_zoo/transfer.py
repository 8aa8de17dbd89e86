"""Part 2: which estimator predicts how well each network's features serve a new task."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES, AttributionGraph, graph_similarity
from depara_jax.estimators import EstimatorInputs, estimate, linear_probe
from depara_jax.evaluation.correlation import spearman
from depara_jax.graph import edges_of
from experiments.pretrained_zoo.cells import GRIDS
from experiments.pretrained_zoo.images import Labelled
from experiments.pretrained_zoo.similarity import FEATURE_MEASURES, signatures

__all__ = ["LABELLED", "judge", "scores_with_labels", "scores_with_target", "truth"]

LABELLED = ("logme", "h_score_shrinkage", "gbc_spherical", "transrate", "knn")
_HELD_BACK = 100  # images that the estimators see and the truth does not


def truth(folder: Path, names: Sequence[str], labelled: Labelled) -> dict[str, list[float]]:
    """{network: accuracy of a linear probe for each of three seeds}, on images of its own."""
    found = {}
    for name in names:
        features = _features(folder, name)[_HELD_BACK:]
        labels = labelled.labels[_HELD_BACK:]
        found[name] = [
            float(linear_probe(_standard(features), labels, seed=s).value) for s in range(3)
        ]
    return found


def scores_with_labels(
    folder: Path, names: Sequence[str], labelled: Labelled
) -> tuple[dict[str, dict[str, float | None]], dict[str, float]]:
    """{estimator: {network: score}} on the images held back, and {estimator: seconds}."""
    found: dict[str, dict[str, float | None]] = {row: {} for row in LABELLED}
    seconds: dict[str, float] = dict.fromkeys(LABELLED, 0.0)
    for name in names:
        features = _features(folder, name)[:_HELD_BACK]
        inputs = EstimatorInputs(features=features, labels=labelled.labels[:_HELD_BACK])
        for row in LABELLED:
            began = time.process_time()
            found[row][name] = estimate(row, inputs)[row].value
            seconds[row] += time.process_time() - began
    return found, seconds


def scores_with_target(
    target: Mapping[str, np.ndarray], cells: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[dict[str, dict[str, float | None]], dict[str, float]]:
    """{estimator: {network: similarity to the target network}} and {estimator: seconds}."""
    names = ("DEPARA", "nodes", "edges", *FEATURE_MEASURES)
    found: dict[str, dict[str, float | None]] = {name: {} for name in names}
    seconds = dict.fromkeys(names, 0.0)
    mine, ours = _graph(target), signatures(target["features"])
    for name, cell in cells.items():
        began = time.process_time()
        result = graph_similarity(mine, _graph(cell), RECIPES["default"])
        seconds["DEPARA"] += time.process_time() - began
        for part, value in zip(
            ("DEPARA", "nodes", "edges"), (result.score, result.node, result.edge), strict=True
        ):
            assert value is not None
            found[part][name] = float(value)
        began = time.process_time()
        theirs = signatures(cell["features"])
        for measure in FEATURE_MEASURES:
            found[measure][name] = float(theirs[measure] @ ours[measure])
            seconds[measure] += (time.process_time() - began) / len(FEATURE_MEASURES)
    return found, seconds


def judge(
    scores: Mapping[str, float | None], truth: Mapping[str, Sequence[float]], *, seed: int = 0
) -> dict[str, Any]:
    """Rank correlation with the truth, its 95% interval over networks, and the first pick's regret.

    The interval resamples networks, a thousand times; it says how far another draw of networks of
    this kind might move the figure, and is wide with so few.
    """
    names = [name for name in truth if scores.get(name) is not None]
    score = np.asarray([scores[name] for name in names], np.float64)
    accuracy = np.asarray([np.mean(truth[name]) for name in names])
    best = int(np.argmax(score)) if names else 0
    if len(names) < 3 or np.ptp(score) == 0 or np.ptp(accuracy) == 0:  # no order to speak of
        return {"networks": len(names), "pick": names[best] if names else None}
    rng, samples = np.random.default_rng(seed), []
    while len(samples) < 1000:
        chosen = rng.integers(0, len(names), len(names))
        if np.ptp(score[chosen]) > 0 and np.ptp(accuracy[chosen]) > 0:
            samples.append(float(spearman(score[chosen], accuracy[chosen])))
    low, high = np.percentile(samples, [2.5, 97.5])
    return {
        "networks": len(names),
        "spearman": float(spearman(score, accuracy)),
        "interval": [float(low), float(high)],
        "pick": names[best],
        "regret": float(accuracy.max() - accuracy[best]),
    }


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
