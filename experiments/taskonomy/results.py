"""From a run's evidence to similarity matrices, Table 1 and the curves."""

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.estimators import EstimatorInputs, estimate
from depara_jax.evaluation import EvaluationResult, GroundTruth, evaluate, load_ground_truth
from depara_jax.graph import AttributionGraph, edges_of, similarity_matrix
from experiments.taskonomy.cells import Evidence, write_atomically
from experiments.taskonomy.config import ESTIMATORS, PROBE_SETS, ExperimentConfig

__all__ = ["evaluate_methods", "similarities", "table1", "truth", "write_curves"]

Progress = Callable[[int, int], None]
TABLE1_LEAVES_OUT = "class_places"


def truth(names: tuple[str, ...]) -> GroundTruth:
    """The papers' ground truth: 18 targets, 20 candidates."""
    return load_ground_truth(Path(__file__).with_name("ground_truth.json")).aligned(names)


def similarities(
    evidence: Evidence, config: ExperimentConfig, output: Path, progress: Progress
) -> dict[str, np.ndarray]:
    """{method: [m, m]}: every recipe with its two terms apart, and the estimators.

    Rows of the estimators' matrices are stored as they are made, since SVCCA of 1,000 images takes
    seconds a pair.
    """
    matrices: dict[str, np.ndarray] = {}
    for name in config.recipes:
        recipe = config.recipe(name)
        node = edge = None
        if recipe.uses_nodes:
            node = evidence.cosines[config.node_key(name)].mean(axis=0, dtype=np.float64)
        if recipe.uses_edges:
            edge = edge_matrix(evidence, config, name)
        terms = [(recipe.node_weight, node), (recipe.lam, edge)]
        weighed = [weight * term for weight, term in terms if term is not None]
        matrices[name] = np.sum(weighed, axis=0)
        if node is not None and edge is not None:
            matrices |= {f"{name} V": node, f"{name} E": edge}
    for name in config.estimators:
        matrices[name] = estimator_matrix(evidence, name, output, progress)
    return matrices


def edge_matrix(evidence: Evidence, config: ExperimentConfig, name: str) -> np.ndarray:
    """Spearman of every two networks' edges."""
    recipe = config.recipe(name).replace(node_weight=0.0, lam=1.0)
    graphs = []
    for features in evidence.features:
        edges = edges_of(jnp.asarray(features), edge_normalization=recipe.edge_normalization)
        graphs.append(AttributionGraph(jnp.zeros((len(features), 0)), edges))
    return np.asarray(similarity_matrix(graphs, recipe).score, np.float64)


def estimator_matrix(evidence: Evidence, name: str, output: Path, progress: Progress) -> np.ndarray:
    """A symmetric similarity of features, row by row.

    Raises:
      DeparaError: the quantity is undefined for a pair; it is named with the reason.
    """
    row_name, centred = ESTIMATORS[name]
    features = evidence.features
    if centred:
        features = features - features.mean(axis=1, keepdims=True)
    count = len(features)
    matrix = np.ones((count, count))
    folder = output / "pairs"
    folder.mkdir(exist_ok=True)
    for i in range(count):
        progress(i, count)
        path = folder / f"{name}_{i:02d}.json"
        if not path.is_file():
            row = [pair(features[i], features[j], row_name) for j in range(i + 1, count)]
            for j, (value, why) in enumerate(row, start=i + 1):
                if value is None:
                    names = f"{evidence.names[i]} and {evidence.names[j]}"
                    raise DeparaError(f"{name} of {names} is undefined: {why}")
            write_atomically(path, json.dumps([value for value, _ in row]).encode())
        matrix[i, i + 1 :] = matrix[i + 1 :, i] = json.loads(path.read_text(encoding="utf-8"))
    progress(count, count)
    return matrix


def pair(source: np.ndarray, target: np.ndarray, row: str) -> tuple[float | None, str]:
    """One estimator's value, or None and why."""
    result = estimate(row, EstimatorInputs(features=source, target_features=target))[row]
    return result.value, result.why


def evaluate_methods(
    matrices: Mapping[str, np.ndarray], names: tuple[str, ...]
) -> dict[str, EvaluationResult]:
    """Every method against the ground truth, 18 targets as in the papers' curves."""
    known = truth(names)
    return {method: evaluate(matrix, known) for method, matrix in matrices.items()}


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
        hits = _hits(matrix, known)
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


def _hits(matrix: np.ndarray, known: GroundTruth) -> np.ndarray:
    from depara_jax.evaluation import hits_at_k

    return hits_at_k(matrix, known, ks=[1, 5])


def write_curves(results: Mapping[str, EvaluationResult], output: Path, title: str) -> list[Path]:
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
    paths = [output / f"curves.{suffix}" for suffix in ("png", "svg")]
    for path in paths:
        figure.savefig(path)
    return paths


def markdown(rows: list[dict[str, Any]]) -> str:
    """Table 1 as a page."""
    lines = ["| method | P@1 | P@5 = R@5 |", "|---|---|---|"]
    lines += [f"| {r['method']} | {r['P@1']:.2f} | {r['P@5']:.2f} |" for r in rows]
    return "\n".join(lines) + "\n"


def similarity_file(matrices: Mapping[str, np.ndarray], names: tuple[str, ...], path: Path) -> None:
    """All matrices in one .npz that `depara evaluate` reads as FILE:METHOD."""
    arrays: dict[str, Any] = {key.replace(" ", "_"): matrix for key, matrix in matrices.items()}
    arrays["names"] = np.array(names)
    with open(path.with_suffix(".tmp"), "wb") as file:
        np.savez(file, **arrays)
    path.with_suffix(".tmp").replace(path)


def undecided(results: Mapping[str, EvaluationResult]) -> list[tuple[str, str]]:
    """Pairs of methods whose P@5 intervals over targets overlap: 18 targets decide little."""
    bounds = {}
    for name, result in results.items():
        at = list(result.ks).index(5)
        interval = result.intervals["precision"]
        bounds[name] = (interval.low[at], interval.high[at])
    return [
        (a, b)
        for a, b in itertools.combinations(bounds, 2)
        if bounds[a][0] <= bounds[b][1] and bounds[b][0] <= bounds[a][1]
    ]
