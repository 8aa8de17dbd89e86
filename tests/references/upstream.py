"""What the authors' two scripts compute without their bugs, slow and obvious. No line of theirs.

Written from the description of zju-vipa/DEPARA @6cf9f6e. What the scripts really give, bugs
included, is in tests/golden/authors_walks.json.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


def gradient(scalar: Callable[[Any], Any], images: np.ndarray) -> np.ndarray:
    """Of the whole batch's scalar, as one backward pass gives it."""
    return np.asarray(jax.grad(scalar)(images), np.float64)


def ordinal_ranks(values: np.ndarray) -> np.ndarray:
    result = np.empty(len(values))
    result[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return result


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """1 - 6 sum d^2 / (n^3 - n) on ordinal ranks."""
    n = float(len(a))
    return 1 - 6 * float(((ordinal_ranks(a) - ordinal_ranks(b)) ** 2).sum()) / (n**3 - n)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Image by image, of maps [n, h, w]."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def pair_cosines(features: np.ndarray) -> np.ndarray:
    """Of every pair of images p < q, in double precision."""
    flat = np.asarray(features, np.float64).reshape(len(features), -1)
    n = len(flat)
    return np.array(
        [
            flat[p] @ flat[q] / (np.linalg.norm(flat[p]) * np.linalg.norm(flat[q]))
            for p in range(n)
            for q in range(p + 1, n)
        ]
    )


def task_graph(model: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Task transfer: map of the summed encoder output, and distances of centred features."""
    layer = model.spec.encoder
    summed = gradient(lambda x: model.forward(model.variables, x)[layer].sum(), images)
    features = np.asarray(model.forward(model.variables, images)[layer], np.float64)
    features = features.reshape(len(images), -1)
    distances = 1 - pair_cosines(features - features.mean(axis=0))
    return (summed * images).mean(axis=3), distances


def task_scores(
    target: Any, sources: Sequence[Any], images: np.ndarray, *, lam: float, divisor: float = 1.0
) -> np.ndarray:
    """Mean cosine over images / divisor + lam * Spearman of the distances."""
    maps, distances = task_graph(target, images)
    scores = []
    for source in sources:
        other, others = task_graph(source, images)
        node = cosines(maps, other).mean() / divisor
        scores.append(node + lam * spearman(distances, others))
    return np.array(scores)


def layer_graph(model: Any, layer: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Layer selection: (channel mean of |map| of the mean output, raw cosines)."""
    mean = gradient(lambda x: model.forward(model.variables, x)[layer].mean(), images)
    features = np.asarray(model.forward(model.variables, images)[layer])
    return np.abs(mean * images).mean(axis=3), pair_cosines(features)
