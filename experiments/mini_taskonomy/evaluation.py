"""Held-out scores of trained networks and of predictors that learn nothing."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.models.encoder import Encoder
from depara_jax.models.port import PureForward
from experiments.mini_taskonomy import heads
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.heads import Statistics
from experiments.mini_taskonomy.tasks import Task, compiled_batch
from experiments.mini_taskonomy.train import Fit
from experiments.mini_taskonomy.views import Example

EVALUATION_SEED = 7  # of the validation images' crops and corruptions, the same for every network


class Scores(NamedTuple):
    """One number an image: squared error over variance, or 1.0 where the class is right."""

    each: np.ndarray
    loss: float

    @property
    def mean(self) -> float:
        """The metric: nmse (lower is better) or accuracy."""
        return float(self.each.mean())


def evaluate(task: Task, trained: Fit, data: Data, config: TrainConfig) -> Scores:
    """Scores on held-out patches, with the crops and corruptions that every network gets."""
    batch = evaluation_batch(task, data)
    network = PureForward(Encoder, config.encoder)

    @jax.jit
    def predict(encoder, head, images):
        return heads.apply_head(head, task, network(encoder, heads.normalized(images))["encoder"])

    return scores_of(
        task, predict(trained.encoder, trained.head, batch.image), batch, trained.statistics
    )


def evaluation_batch(task: Task, data: Data) -> Example:
    """All of `data` as examples, always the same."""
    key = jax.random.key(EVALUATION_SEED)
    return compiled_batch(task)(key, data.images, data.photograph)


def scores_of(task: Task, prediction: jax.Array, batch: Example, statistics: Statistics) -> Scores:
    """Scores of standardised predictions (logits for classes)."""
    each = heads.errors(task, prediction, batch, statistics)
    loss = float(each.mean())
    if task.kind == "classes":
        each = (prediction.argmax(-1) == batch.target).astype(jnp.float32)
    return Scores(np.asarray(each), loss)


def trivial_scores(task: Task, train: Data, data: Data) -> Scores:
    """The better of the predictors that learn nothing: the training mean, and the task's own guess.

    For classes it is the class most frequent in `data` itself, the best that a constant can do.
    """
    batch = evaluation_batch(task, data)
    if task.kind == "classes":
        counts = jnp.bincount(batch.target, length=task.outputs)
        shares = counts / counts.sum()
        logits = jnp.tile(jnp.log(jnp.maximum(shares, 1e-6)), (len(batch.target), 1))
        return scores_of(task, logits, batch, Statistics(jnp.zeros(()), jnp.ones(())))
    statistics = heads.target_statistics(task, train)
    constant = scores_of(task, jnp.zeros(batch.target.shape), batch, statistics)
    if bool(jnp.isnan(batch.guess).any()):
        return constant
    guess = scores_of(task, (batch.guess - statistics.mean) / statistics.scale, batch, statistics)
    return min(constant, guess, key=lambda scores: scores.mean)
