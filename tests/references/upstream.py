"""What the authors' two scripts compute, slow and obvious, bugs included. No line of theirs.

Written from the description of zju-vipa/DEPARA @6cf9f6e: the gradient is taken of a whole batch at
once, the batch keeps it until somebody clears it, an in-place ReLU writes into what it is given.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


class Batch:
    """Images with a gradient that only `clear` sets back to zero, like a leaf tensor."""

    def __init__(self, images: np.ndarray):
        self.images = np.asarray(images)
        self.clear()

    def clear(self) -> None:
        self.grad = np.zeros(self.images.shape)

    def backward(self, scalar: Callable[[Any], Any]) -> np.ndarray:
        """Adds the gradient of `scalar(images)` to what is there, and returns a copy of that."""
        self.grad = self.grad + np.asarray(jax.grad(scalar)(self.images), np.float64)
        return self.grad.copy()


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
    gradient = Batch(images).backward(lambda x: model.forward(model.variables, x)[layer].sum())
    features = np.asarray(model.forward(model.variables, images)[layer], np.float64)
    features = features.reshape(len(images), -1)
    distances = 1 - pair_cosines(features - features.mean(axis=0))
    return (gradient * images).mean(axis=3), distances


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


def layer_graphs(
    model: Any, layers: Sequence[str], batch: Batch, *, clear: bool, overwritten: Sequence[str] = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layer selection, one layer after the other on one batch: (|map| channel mean, cosines).

    Their loop goes through all 19 layers of every network, the target's too, of which the last
    (logits) is used and the rest stays behind in the batch's gradient.

    Args:
      layers: all of the network's layers, shallow to deep.
      clear: whether the gradient is set back to zero before every layer, which it never is.
      overwritten: layers whose stored features the next, in-place ReLU writes into.
    """
    graphs = []
    for layer in layers:
        if clear:
            batch.clear()
        gradient = batch.backward(lambda x, k=layer: model.forward(model.variables, x)[k].mean())
        stored = np.array(model.forward(model.variables, batch.images)[layer])
        if layer in overwritten:
            np.maximum(stored, 0, out=stored)
        graphs.append((np.abs(gradient * batch.images).mean(axis=3), pair_cosines(stored)))
    return graphs
