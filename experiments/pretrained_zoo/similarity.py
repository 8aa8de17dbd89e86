"""Part 1: how alike the networks are, by six measures, and whether that follows task or family."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES, AttributionGraph, similarity_matrix
from depara_jax.estimators import estimate_pairs
from depara_jax.evaluation.correlation import spearman
from depara_jax.graph import edges_of
from experiments.common.judge import interval
from experiments.pretrained_zoo.config import GRIDS

# Nearly the same checkpoint; the same trunk. The second of each is left out of all counts.
TWINS = (("mnv2", "mnv2_tf2"), ("posenet", "bodypix"))
FEATURE_MEASURES = {"RSA": "rsa", "CKA": "cka_linear", "DDS": "dds_cosine"}  # rows of ESTIMATORS


def family(name: str) -> str:
    """MobileNetV1, MobileNetV2, EfficientNet-Lite or CIFAR ResNet."""
    if name.startswith("cifar"):
        return "CIFAR ResNet"
    if name.startswith("lite"):
        return "EfficientNet-Lite"
    return "MobileNetV2" if name.startswith(("mnv2", "deeplab")) else "MobileNetV1"


def graph_of(
    cell: Mapping[str, np.ndarray], grid: int = GRIDS[0], *, edges: bool = True
) -> AttributionGraph:
    """A network's attribution graph under the default recipe, with edges or without."""
    found = edges_of(jnp.asarray(cell["features"]), edge_normalization="zscore") if edges else ()
    nodes = jnp.asarray(cell[f"nodes{grid}"], jnp.float32)
    return AttributionGraph(nodes, jnp.asarray(found))


def matrices(cells: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """{measure: [m, m]} of all networks: DEPARA with its two terms, RSA, CKA, DDS."""
    found = similarity_matrix([graph_of(cell) for cell in cells.values()], RECIPES["default"])
    parts = {"DEPARA": found.score, "nodes": found.node, "edges": found.edge}
    result = {name: np.asarray(value, np.float64) for name, value in parts.items()}
    features = [cell["features"] for cell in cells.values()]
    return result | {k: estimate_pairs(row, features) for k, row in FEATURE_MEASURES.items()}


def grouping(matrix: np.ndarray, names: Sequence[str], tasks: Mapping[str, str]) -> dict[str, Any]:
    """How well similarity tells pairs of a kind from pairs that share neither task nor family.

    Returns:
      {kind: {"pairs": count, "auc": probability that a pair of the kind is more similar than a pair
      that shares nothing, ties half, "interval": 95%, over networks}}, for kinds "same task", "same
      family", "both". The interval resamples networks with all their pairs; a pair of a network
      with its own copy is no pair.
    """
    twins = {second for _, second in TWINS}
    kept = [i for i, name in enumerate(names) if name not in twins]
    pairs = np.asarray(list(itertools.combinations(kept, 2))).reshape(-1, 2)
    task, kin = (
        np.asarray([of[i] == of[j] for i, j in pairs], int)
        for of in ([tasks[name] for name in names], [family(name) for name in names])
    )
    neither = pairs[task + kin == 0]
    rng = np.random.default_rng(0)
    draws = [np.bincount(rng.choice(kept, len(kept)), minlength=len(names)) for _ in range(1000)]
    found: dict[str, Any] = {}
    for kind, number in {"same task": 2, "same family": 1, "both": 3}.items():
        mine = pairs[2 * task + kin == number]
        more, less = matrix[tuple(mine.T)][:, None], matrix[tuple(neither.T)]
        above = (more > less) + 0.5 * (more == less)
        # How often each pair is among the networks drawn.
        counts = [(draw[mine].prod(axis=1), draw[neither].prod(axis=1)) for draw in draws]
        # A draw without any pair of the kind says nothing about it.
        some = [a @ above @ b / (a.sum() * b.sum()) for a, b in counts if a.sum() and b.sum()]
        found[kind] = {"pairs": len(mine), "auc": float(above.mean()) if above.size else None}
        if some:
            found[kind]["interval"] = list(interval(np.asarray(some)))
    return found | {"neither": {"pairs": len(neither), "auc": 0.5}}


def twin_ranks(matrix: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """For each twin, the rank of the other one among all other networks; 1 is the nearest."""
    found = {}
    for pair in TWINS:
        for one, two in (pair, pair[::-1]):
            if one in names and two in names:
                row, other = matrix[names.index(one)], matrix[names.index(one), names.index(two)]
                found[one] = 1 + int((np.delete(row, names.index(one)) > other).sum())
    return found


def grid_effect(cells: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, float]:
    """What the common grid does to the node term of the networks that have both grids."""
    both = {name: cell for name, cell in cells.items() if f"nodes{GRIDS[1]}" in cell}
    if len(both) < 3:  # one pair has no order
        return {"networks": len(both)}
    recipe = RECIPES["default"].replace(lam=0.0)
    above = np.triu_indices(len(both), 1)
    graphs = [[graph_of(cell, grid, edges=False) for cell in both.values()] for grid in GRIDS]
    coarse, fine = (np.asarray(similarity_matrix(some, recipe).node)[above] for some in graphs)
    return {
        "networks": len(both),
        "mean_coarse": float(coarse.mean()),
        "mean_fine": float(fine.mean()),
        "rank_correlation": float(spearman(coarse, fine)),
    }
