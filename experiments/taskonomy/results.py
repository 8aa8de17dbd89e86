"""From a run's evidence to similarity matrices, Table 1 and the curves."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.estimators import estimate_pairs
from depara_jax.evaluation import (
    EvaluationResult,
    GroundTruth,
    evaluate,
    hits_at_k,
    load_ground_truth,
)
from depara_jax.files import write_atomically
from depara_jax.graph import AttributionGraph, edges_of, similarity_matrix
from experiments.common.tables import markdown
from experiments.taskonomy.cells import Evidence
from experiments.taskonomy.config import ESTIMATORS, PROBE_SETS, ExperimentConfig

TABLE1_LEAVES_OUT = "class_places"


def truth(names: tuple[str, ...]) -> GroundTruth:
    """The papers' ground truth: 18 targets, 20 candidates."""
    return load_ground_truth(Path(__file__).with_name("ground_truth.json")).aligned(names)


def similarities(evidence: Evidence, config: ExperimentConfig) -> dict[str, np.ndarray]:
    """{method: [m, m]}: every recipe with its two terms apart, and the estimators."""
    matrices: dict[str, np.ndarray] = {}
    for name in config.recipes:
        recipe = config.recipe(name)
        node = edge = None
        if recipe.uses_nodes:
            node = evidence.cosines[config.node_recipes()[config.maps(name)]].mean(
                axis=0, dtype=np.float64
            )
        if recipe.uses_edges:
            edge = edge_matrix(evidence, config, name)
        terms = [(recipe.node_weight, node), (recipe.lam, edge)]
        weighed = [weight * term for weight, term in terms if term is not None]
        matrices[name] = np.sum(weighed, axis=0)
        if node is not None and edge is not None:
            matrices |= {f"{name} V": node, f"{name} E": edge}
    for name in config.estimators:
        matrices[name] = estimator_matrix(evidence, name)
    return matrices


def edge_matrix(evidence: Evidence, config: ExperimentConfig, name: str) -> np.ndarray:
    """Spearman of every two networks' edges."""
    recipe = config.recipe(name).replace(node_weight=0.0, lam=1.0)
    form = recipe.edge_normalization
    edges = [edges_of(jnp.asarray(one), edge_normalization=form) for one in evidence.features]
    nothing = jnp.zeros((evidence.features.shape[1], 0))
    graphs = [AttributionGraph(nothing, one) for one in edges]
    return np.asarray(similarity_matrix(graphs, recipe).score, np.float64)


def estimator_matrix(evidence: Evidence, name: str) -> np.ndarray:
    """A symmetric similarity of features.

    Raises:
      DeparaError: the quantity is undefined for a pair, which is named.
    """
    row, centred = ESTIMATORS[name]
    features = evidence.features
    if centred:
        features = features - features.mean(axis=1, keepdims=True)
    matrix = np.asarray(estimate_pairs(row, list(features)), np.float64)
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DeparaError(f"{name} of {evidence.names[i]} and {evidence.names[j]} is undefined")
    return matrix


def table1(
    matrices: Mapping[str, np.ndarray], names: tuple[str, ...], probe_set: str | None
) -> list[dict[str, Any]]:
    """Rows of DEPARA's Table 1: P@1 and P@5 by target and their means over 17 targets.

    The printed means of the probe set stand below, if it is one of the papers'.
    """
    known = truth(names)
    targets = [name for name in known.targets if name != TABLE1_LEAVES_OUT]
    known = known.select(targets=targets)
    rows = []
    for method, matrix in matrices.items():
        result = evaluate(matrix, known, ks=[1, 5])
        hits = hits_at_k(matrix, known, ks=[1, 5])
        rows.append(
            {
                "method": method,
                "P@1": float(result.curves.precision[0]),
                "P@5": float(result.curves.precision[1]),
                "targets": {t: [int(h[0]), int(h[1])] for t, h in zip(targets, hits, strict=True)},
            }
        )
    if probe_set is not None:
        for method, (first, fifth) in PROBE_SETS[probe_set].table1.items():
            rows.append({"method": f"{method} (printed)", "P@1": first, "P@5": fifth})
    return rows


def write_curves(results: Mapping[str, EvaluationResult], output: Path, title: str) -> None:
    """P@K, R@K and the PR curve of the recipes and estimators, as PNG and SVG."""
    from depara_jax.reporting.curves import precision_recall

    whole = {name: r for name, r in results.items() if name[-2:] not in (" V", " E")}
    one = next(iter(whole.values()))
    figure = precision_recall(
        {name: (r.curves.precision, r.curves.recall) for name, r in whole.items()},
        ks=one.ks,
        random=(one.random.precision, one.random.recall),
        oracle=(one.oracle.precision, one.oracle.recall),
        title=title,
    )
    for suffix in ("png", "svg"):
        figure.savefig(output / f"curves.{suffix}")


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Table 1 as markdown."""
    cells = ([r["method"], f"{r['P@1']:.2f}", f"{r['P@5']:.2f}"] for r in rows)
    return markdown(["method", "P@1", "P@5 = R@5"], cells)


def similarity_file(matrices: Mapping[str, np.ndarray], names: tuple[str, ...], path: Path) -> None:
    """All matrices in one .npz that `depara evaluate` reads as FILE:METHOD."""
    arrays: dict[str, Any] = {key.replace(" ", "_"): matrix for key, matrix in matrices.items()}
    write_atomically(path, lambda file: np.savez(file, names=np.array(names), **arrays))


def undecided(results: Mapping[str, EvaluationResult]) -> list[list[str]]:
    """Pairs of methods whose P@5 intervals over targets overlap: 18 targets decide little."""
    bounds = {}
    for name, result in results.items():
        at, interval = list(result.ks).index(5), result.intervals["precision"]
        bounds[name] = (interval.low[at], interval.high[at])
    return [
        [a, b]
        for a, b in itertools.combinations(bounds, 2)
        if bounds[a][0] <= bounds[b][1] and bounds[b][0] <= bounds[a][1]
    ]
