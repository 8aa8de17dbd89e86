"""Part 2: the truth of each target, and what every estimator says of it."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from depara_jax import RECIPES, graph_similarity
from depara_jax.estimators import EstimatorInputs, estimate, estimate_pairs, linear_probe
from depara_jax.models import Model
from depara_jax.training import flat_values
from experiments.pretrained_zoo.similarity import FEATURE_MEASURES, graph_of

# The last is of the networks that have classes of their own.
LABELLED = (
    "logme", "h_score_shrinkage", "gbc_spherical", "transrate", "knn", "pactran_gaussian",
    "linear_probe", "leep",
)  # fmt: skip
_LOWER_IS_BETTER = ("pactran_gaussian",)


def labelled_scores(features: Mapping[str, Any], labels: np.ndarray, first: int) -> dict[str, Any]:
    """One network's truth and the scores that need labels, on images apart.

    The truth is the accuracy of a linear probe on the images from `first` on, for three seeds, each
    of which draws five folds; the scores are of the images before.

    Args:
      features: "features" [n, d] of the network, and "logits" where it has classes.
      labels: [n] of the images.
      first: how many of the images the estimators see.

    Returns:
      "probe" [3], "scores" and "seconds" by estimator.
    """
    rows, logits = features["features"], features.get("logits")
    scored = standard(rows[first:])
    probe = [float(linear_probe(scored, labels[first:], seed=s).value) for s in range(3)]
    found: dict[str, Any] = {"probe": probe, "scores": {}, "seconds": {}}
    inputs = EstimatorInputs(
        features=rows[:first],
        labels=labels[:first],
        probabilities=None if logits is None else np.asarray(jax.nn.softmax(logits[:first])),
    )
    for row in LABELLED:
        began = time.process_time()
        value = estimate(row, inputs)[row].value
        found["seconds"][row] = time.process_time() - began
        if value is not None and row in _LOWER_IS_BETTER:
            value = -value
        found["scores"][row] = value
    return found


def scores_with_target(
    target: Mapping[str, np.ndarray], cells: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """{estimator: {network: similarity to the target network}} and {estimator: seconds}."""
    parts = {"DEPARA": "score", "nodes": "node", "edges": "edge"}
    found: dict[str, dict[str, float]] = {name: {} for name in parts}
    began, mine = time.process_time(), graph_of(target)
    for name, cell in cells.items():
        result = graph_similarity(mine, graph_of(cell), RECIPES["default"])
        for part, field in parts.items():
            found[part][name] = float(getattr(result, field))
    # One computation gives all three.
    seconds = dict.fromkeys(parts, time.process_time() - began)
    features = [cell["features"] for cell in (target, *cells.values())]
    for measure, row in FEATURE_MEASURES.items():
        began = time.process_time()
        values = estimate_pairs(row, features)[0, 1:].tolist()
        found[measure] = dict(zip(cells, values, strict=True))
        seconds[measure] = time.process_time() - began
    return found, seconds


def weight_count(model: Model) -> int:
    """Numbers below the classes."""
    head = f"{model.spec.logits}." if model.spec.logits else None
    values = flat_values(model.variables)
    return sum(v.size for n, v in values.items() if head is None or not n.startswith(head))


def standard(features: np.ndarray) -> np.ndarray:
    """Entries of mean 0 and deviation 1; the penalty of the probe means the same for all."""
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
