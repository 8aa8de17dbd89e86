"""Part 1: how alike the networks are, by six measures, and whether that follows task or family."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata

from depara_jax import RECIPES, AttributionGraph, similarity_matrix
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
    marks = [signatures(cell["features"]) for cell in cells.values()]
    others = {name: np.array([m[name] for m in marks]) for name in FEATURE_MEASURES}
    others = {name: rows @ rows.T for name, rows in others.items()}
    return result | others


def signatures(features: np.ndarray) -> dict[str, np.ndarray]:
    """A unit vector for each measure on features, whose inner products are the measure.

    In numpy, since the library's `rsa`, `cka_linear` and `dds_cosine` compile a program for every
    pair of widths, which takes minutes for nineteen networks; a test holds these to those.
    """
    rows = features.reshape(len(features), -1).astype(np.float64)
    above = np.triu_indices(len(rows), 1)
    ranks = rankdata(1 - np.asarray(np.corrcoef(rows))[above])
    centred = rows - rows.mean(axis=0)
    scored = centred / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1)
    lengths = np.linalg.norm(scored, axis=1, keepdims=True)
    scored = scored / np.where(lengths > 0, lengths, 1)
    found = {
        "RSA": ranks - ranks.mean(),
        "CKA": (centred @ centred.T).ravel(),
        "DDS": _centred_without_diagonal(scored @ scored.T).ravel(),
    }
    return {name: value / np.linalg.norm(value) for name, value in found.items()}


def _centred_without_diagonal(gram: np.ndarray) -> np.ndarray:
    """Rows of the part off the diagonal add up to zero (Szekely and Rizzo's U-centring)."""
    count, off = len(gram), ~np.eye(len(gram), dtype=bool)
    gram = np.where(off, gram, 0)
    columns = gram.sum(axis=0, keepdims=True) / (count - 2)
    total = gram.sum() / ((count - 1) * (count - 2))
    return np.where(off, gram - columns - columns.T + total, 0)


def grouping(
    matrix: np.ndarray, names: Sequence[str], tasks: Mapping[str, str], *, seed: int = 0
) -> dict[str, Any]:
    """How well similarity tells pairs of a kind from pairs that share neither task nor family.

    Returns:
      {kind: {"pairs": count, "auc": probability that a pair of the kind is more similar than a pair
      that shares nothing, ties half, "interval": 95%, over networks}}, for kinds "same task", "same
      family", "both". The interval resamples networks with all their pairs; a pair of a network
      with its own copy is no pair.
    """
    twins = {second for _, second in TWINS}
    kept = [i for i, name in enumerate(names) if name not in twins]
    kinds: dict[str, list[tuple[int, int]]] = {
        "same task": [], "same family": [], "both": [], "neither": []
    }  # fmt: skip
    for i, j in itertools.combinations(kept, 2):
        one, two = names[i], names[j]
        task, kin = tasks[one] == tasks[two], family(one) == family(two)
        kinds[("neither", "same family", "same task", "both")[2 * task + kin]].append((i, j))
    pairs = {kind: np.asarray(found, int).reshape(-1, 2) for kind, found in kinds.items()}
    rng = np.random.default_rng(seed)
    draws = [np.bincount(rng.choice(kept, len(kept)), minlength=len(names)) for _ in range(1000)]
    found: dict[str, Any] = {}
    for kind in ("same task", "same family", "both"):
        above = _above(matrix[tuple(pairs[kind].T)], matrix[tuple(pairs["neither"].T)])
        counts = [(_copies(draw, pairs[kind]), _copies(draw, pairs["neither"])) for draw in draws]
        # A draw without any pair of the kind says nothing about it.
        some = [a @ above @ b / (a.sum() * b.sum()) for a, b in counts if a.sum() and b.sum()]
        found[kind] = {
            "pairs": len(pairs[kind]),
            "auc": float(above.mean()) if above.size else None,
        }
        if some:
            found[kind]["interval"] = list(interval(np.asarray(some)))
    return found | {"neither": {"pairs": len(pairs["neither"]), "auc": 0.5}}


def _above(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[a, b] whether one is more than the other, ties half."""
    return (first[:, None] > second) + 0.5 * (first[:, None] == second)


def _copies(draw: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How often each pair is among the networks drawn."""
    return draw[pairs[:, 0]] * draw[pairs[:, 1]]


def twin_ranks(matrix: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """For each twin, the rank of the other one among all other networks; 1 is the nearest."""
    found = {}
    for pair in TWINS:
        for one, two in (pair, pair[::-1]):
            if one in names and two in names:
                row = matrix[names.index(one)].copy()
                row[names.index(one)] = -np.inf
                found[one] = 1 + int((row > row[names.index(two)]).sum())
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
