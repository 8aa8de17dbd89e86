"""Every formula of the method, slow and obvious, in float64 numpy: one pair at a time."""

import math

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return 0.0 if lengths == 0 else float(a @ b) / lengths


def ranks(values: list[float], ties: str) -> list[float]:
    result = []
    for i, value in enumerate(values):
        below = sum(v < value for v in values)
        equal = sum(v == value for v in values)
        before = sum(v == value for v in values[:i])
        result.append(below + ((equal + 1) / 2 if ties == "average" else before + 1))
    return result


def spearman(a: list[float], b: list[float], ties: str = "average") -> float:
    return float(np.corrcoef(ranks(list(a), ties), ranks(list(b), ties))[0, 1])


def spearman_without_ties(a: list[float], b: list[float]) -> float:
    """1 - 6 sum d^2 / (n^3 - n), as the paper prints it."""
    n = len(a)
    d = np.array(ranks(list(a), "average")) - np.array(ranks(list(b), "average"))
    return 1 - 6 * float(d @ d) / (n**3 - n)


def node_vector(attribution: np.ndarray, absolute: bool, channel_mean: bool) -> np.ndarray:
    """attribution: one map [h, w, c]."""
    values = np.abs(attribution) if absolute else attribution
    return (values.mean(axis=2) if channel_mean else values).ravel()


def edges(features: np.ndarray, normalization: str) -> list[float]:
    """features: [n, ...]."""
    flat = features.reshape(len(features), -1).astype(np.float64).copy()
    for column in range(flat.shape[1]):
        if normalization == "none":
            continue
        values = flat[:, column]
        constant = bool(np.all(values == values[0]))
        flat[:, column] = 0 if constant else values - values.mean()
        if normalization == "zscore" and not constant:
            flat[:, column] /= values.std()
    n = len(flat)
    return [cosine(flat[i], flat[j]) for i in range(n) for j in range(i + 1, n)]


def node_similarity(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return sum(cosine(x, y) for x, y in zip(a, b, strict=True)) / len(a)


def similarity(
    nodes: tuple[list[np.ndarray], list[np.ndarray]],
    edges: tuple[list[float], list[float]],
    lam: float,
    node_weight: float = 1.0,
    ties: str = "average",
) -> float:
    return node_weight * node_similarity(*nodes) + lam * spearman(*edges, ties=ties)
