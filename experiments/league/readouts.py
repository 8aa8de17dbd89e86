"""Small readouts on frozen features: linear least squares with a ridge, in closed form.

Targets become rows of numbers: the 4 x 4 pixels under each place of the encoder's 8 x 8 map (read
from the place and its neighbours), a vector (read from the map pooled to 4 x 4), or a one-hot code.
All are standardised by the training targets, so that a loss of 1 is that of the best constant. The
ridge is chosen on a quarter of the little data and the readout fitted again on all of it. What is
fitted runs in BLAS and LAPACK on the host, whatever the networks run on.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from experiments.mini_taskonomy.config import SIZE
from experiments.mini_taskonomy.heads import Statistics
from experiments.mini_taskonomy.tasks import Task
from experiments.mini_taskonomy.views import Example

# Of standardised entries, whose Gram matrix over the number of rows has a unit diagonal.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class Coded(NamedTuple):
    """Targets as rows [n, p, q], p places of q numbers each, and how much every number counts."""

    values: np.ndarray
    weights: np.ndarray

    def part(self, rows: Any) -> "Coded":
        """Some of the images, or of the draws."""
        return Coded(self.values[rows], self.weights[rows])


def coded(task: Task, batch: Example, statistics: Statistics, side: int) -> Coded:
    """Standardised targets of a batch for an encoder whose map is [side, side]."""
    if task.kind == "classes":
        share = 1.0 / task.outputs
        codes = jax.nn.one_hot(batch.target, task.outputs) - share
        values = (codes / jnp.sqrt(share * (1.0 - share)))[:, None]
        weights = jnp.ones_like(values)
    else:
        values = (batch.target - statistics.mean) / statistics.scale
        if task.kind == "vector":
            values = values[:, None]
            weights = jnp.ones_like(values)
        else:
            weights = _by_place(jnp.broadcast_to(batch.weight, values.shape), side)
            values = _by_place(values, side)
    return Coded(np.asarray(values), np.asarray(weights))


def _by_place(image: Float[Array, "n h w k"], side: int) -> Float[Array, "n p q"]:
    count, r = image.shape[0], SIZE // side
    cells = image.reshape(count, side, r, side, r, -1).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(count, side * side, -1)


def design(task: Task, features: Float[Array, "n h w c"]) -> Float[np.ndarray, "n p d"]:
    """What the readout of a task sees of an encoder's output: rows as in `Coded`."""
    count, side = features.shape[:2]
    if task.kind == "dense":
        padded = jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [
            padded[:, y : y + side, x : x + side] for y in range(3) for x in range(3)
        ]  # 3 x 3 neighbours
        rows = jnp.concatenate(shifted, axis=-1).reshape(count, side * side, -1)
    else:
        pooled = features.reshape(count, side // 2, 2, side // 2, 2, -1).mean((2, 4))
        rows = pooled.reshape(count, 1, -1)
    return np.asarray(rows)


def readout_losses(
    rows: Float[np.ndarray, "n p d"],
    targets: Coded,
    test_rows: Float[np.ndarray, "m p d"],
    test: Coded,
) -> Float[np.ndarray, " m"]:
    """Trains a readout; returns each test image's loss."""
    best = int(np.argmin(_held_out_losses(rows, targets)))
    (guess,) = predictions(rows, targets, test_rows, RIDGES[best : best + 1])
    return _image_losses(guess, test)


def probe_error(rows: Float[np.ndarray, "n p d"], targets: Coded) -> float:
    """The linear probe: loss on the last quarter of a readout of the rest, at the best ridge."""
    return min(_held_out_losses(rows, targets))


def _held_out_losses(rows: np.ndarray, targets: Coded) -> list[float]:
    """For every ridge, the loss on the last quarter of a readout of the rest."""
    cut = len(rows) - len(rows) // 4
    held = targets.part(slice(cut, None))
    guesses = predictions(rows[:cut], targets.part(slice(cut)), rows[cut:], RIDGES)
    return [float(_image_losses(guess, held).mean()) for guess in guesses]


def knn_error(pooled: Float[np.ndarray, "n d"], targets: Coded, *, k: int = 5) -> float:
    """Leave-one-out loss of the mean target of the k nearest other images (Euclidean)."""
    centred = pooled - pooled.mean(axis=0)
    lengths = (centred**2).sum(axis=1)
    squared = lengths[:, None] + lengths - 2 * centred @ centred.T
    np.fill_diagonal(squared, np.inf)
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return float(_image_losses(targets.values[nearest].mean(axis=1), targets).mean())


def predictions(
    rows: Float[np.ndarray, "n p d"],
    targets: Coded,
    test_rows: Float[np.ndarray, "m p d"],
    ridges: tuple[float, ...],
) -> list[Float[np.ndarray, "m p q"]]:
    """What readouts say of the test rows, one for every ridge."""
    weight = targets.weights.mean(axis=2).reshape(-1, 1)  # a row counts as much as its numbers do
    total = weight.sum()
    flat, values = rows.reshape(-1, rows.shape[2]), targets.values.reshape(len(weight), -1)
    centre, level = ((weight * x).sum(0) / total for x in (flat, values))
    spread = np.sqrt((weight * (flat - centre) ** 2).sum(0) / total)
    # A channel that hardly ever fires would be blown up to unit variance, and with it the one test
    # image where it does.
    scale = np.maximum(spread, 0.1 * np.sqrt((spread**2).mean()) + 1e-6)
    x = (flat - centre) / scale
    weighted = (x * (weight / total)).T
    gram = (weighted @ x).astype(np.float64)
    moment = (weighted @ (values - level)).astype(np.float64)
    tests = ((test_rows - centre) / scale).reshape(-1, rows.shape[2])
    found = []
    for ridge in ridges:
        system = gram + ridge * np.eye(len(gram))
        solved = scipy.linalg.solve(system, moment, assume_a="pos").astype(np.float32)
        guess = tests @ solved + level
        found.append(guess.reshape(*test_rows.shape[:2], -1))
    return found


def _image_losses(guess: np.ndarray, test: Coded) -> np.ndarray:
    squared = test.weights * (guess - test.values) ** 2
    return squared.sum((1, 2)) / test.weights.sum((1, 2))
