"""Small readouts on frozen features: linear least squares with a ridge, in closed form.

One program serves every task. Targets become rows of numbers: the 4 x 4 pixels under each place of
the encoder's 8 x 8 map (read from the place and its neighbours), a vector (read from the map pooled
to 4 x 4), or a one-hot code. All are standardised by the training targets, so that a loss of 1 is
that of the best constant. The ridge is chosen on a quarter of the little data and the readout
fitted again on all of it. Everything is traceable and is mapped over draws and encoders.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.mini_taskonomy.config import SIZE
from experiments.mini_taskonomy.heads import Statistics
from experiments.mini_taskonomy.tasks import Task
from experiments.mini_taskonomy.views import Example

__all__ = ["RIDGES", "Coded", "coded", "design", "knn_errors", "probe_error", "readout_errors"]

# Of standardised entries, whose Gram matrix over the number of rows has a unit diagonal.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
HIGHEST = jax.lax.Precision.HIGHEST


class Coded(NamedTuple):
    """Targets as rows [n, p, q], p places of q numbers each, and how much every number counts.

    JAX arrays in the mapped program, numpy's on the host.
    """

    values: Any
    weights: Any


def coded(task: Task, batch: Example, statistics: Statistics, side: int) -> Coded:
    """Standardised targets of a batch for an encoder whose map is [side, side]."""
    if task.kind == "classes":
        share = 1.0 / task.outputs
        codes = jax.nn.one_hot(batch.target, task.outputs) - share
        values = (codes / jnp.sqrt(share * (1.0 - share)))[:, None]
        return Coded(values, jnp.ones_like(values))
    values = (batch.target - statistics.mean) / statistics.scale
    if task.kind == "vector":
        return Coded(values[:, None], jnp.ones_like(values)[:, None])
    weights = jnp.broadcast_to(batch.weight, values.shape)
    return Coded(_by_place(values, side), _by_place(weights, side))


def _by_place(image: Float[Array, "n h w k"], side: int) -> Float[Array, "n p q"]:
    count, r = image.shape[0], SIZE // side
    cells = image.reshape(count, side, r, side, r, -1).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(count, side * side, -1)


def design(task: Task, features: Float[Array, "n h w c"]) -> Float[Array, "n p d"]:
    """What the readout of a task sees of an encoder's output: rows as in `Coded`."""
    count, side = features.shape[:2]
    if task.kind == "dense":
        padded = jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [
            padded[:, y : y + side, x : x + side] for y in range(3) for x in range(3)
        ]  # 3 x 3 neighbours
        return jnp.concatenate(shifted, axis=-1).reshape(count, side * side, -1)
    pooled = features.reshape(count, side // 2, 2, side // 2, 2, -1).mean((2, 4))
    return pooled.reshape(count, 1, -1)


def readout_errors(
    rows: Float[Array, "n p d"], targets: Coded, test_rows: Float[Array, "m p d"], test: Coded
) -> tuple[Float[Array, " m"], Float[Array, "m q"]]:
    """Trains a readout; returns each test image's loss, and its mean prediction over places."""
    cut = rows.shape[0] - rows.shape[0] // 4
    quarter = _errors_by_ridge(rows[:cut], _first(targets, cut), rows[cut:], _last(targets, cut))
    best = quarter[0].mean(axis=1).argmin()
    losses, predictions = _errors_by_ridge(rows, targets, test_rows, test, best)
    return losses[0], predictions[0].mean(axis=1)


def probe_error(rows: Float[Array, "n p d"], targets: Coded) -> Float[Array, ""]:
    """The linear probe: loss on the last quarter of a readout of the rest, at the best ridge."""
    cut = rows.shape[0] - rows.shape[0] // 4
    losses, _ = _errors_by_ridge(rows[:cut], _first(targets, cut), rows[cut:], _last(targets, cut))
    return losses.mean(axis=1).min()


def knn_errors(pooled: Float[Array, "n d"], targets: Coded, *, k: int = 5) -> Float[Array, ""]:
    """Leave-one-out loss of the mean target of the k nearest other images (Euclidean)."""
    centred = pooled - pooled.mean(axis=0, keepdims=True)
    lengths = (centred**2).sum(axis=1)
    squared = lengths[:, None] + lengths - 2 * jnp.matmul(centred, centred.T, precision=HIGHEST)
    squared = jnp.where(jnp.eye(len(pooled), dtype=bool), jnp.inf, squared)
    _, nearest = jax.lax.top_k(-squared, k)
    guess = targets.values[nearest].mean(axis=1)
    return _image_losses(guess, targets).mean()


def _errors_by_ridge(
    rows: Float[Array, "n p d"],
    targets: Coded,
    test_rows: Float[Array, "m p d"],
    test: Coded,
    only: Array | None = None,
) -> tuple[Float[Array, "r m"], Float[Array, "r m p q"]]:
    """Losses and predictions for every ridge, or for the one at `only`."""
    weight = targets.weights.mean(axis=2).reshape(-1, 1)  # a row counts as much as its numbers do
    total = weight.sum()
    flat, values = rows.reshape(-1, rows.shape[2]), targets.values.reshape(len(weight), -1)
    centre, level = ((weight * x).sum(0) / total for x in (flat, values))
    spread = jnp.sqrt((weight * (flat - centre) ** 2).sum(0) / total)
    # A channel that hardly ever fires would be blown up to unit variance, and with it the one test
    # image where it does.
    floor = 0.1 * jnp.sqrt((spread**2).mean()) + 1e-6
    scale = jnp.maximum(spread, floor)
    x, y = (flat - centre) / scale, values - level
    weighted = (x * weight / total).T
    gram, moment = jnp.matmul(weighted, x), jnp.matmul(weighted, y)
    ridges = jnp.asarray(RIDGES, x.dtype)
    ridges = ridges if only is None else ridges[only][None]
    solve = functools.partial(jax.scipy.linalg.solve, assume_a="pos")
    coefficients = jax.vmap(lambda r: solve(gram + r * jnp.eye(len(gram)), moment))(ridges)
    predictions = jnp.einsum("mpd,rdq->rmpq", (test_rows - centre) / scale, coefficients) + level
    return jax.vmap(lambda guess: _image_losses(guess, test))(predictions), predictions


def _image_losses(guess: Float[Array, "m p q"], test: Coded) -> Float[Array, " m"]:
    squared = test.weights * (guess - test.values) ** 2
    return squared.sum((1, 2)) / test.weights.sum((1, 2))


def _first(targets: Coded, cut: int) -> Coded:
    return Coded(targets.values[:cut], targets.weights[:cut])


def _last(targets: Coded, cut: int) -> Coded:
    return Coded(targets.values[cut:], targets.weights[cut:])
