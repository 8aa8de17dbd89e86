"""The targets of a study: their labelled images, as network inputs and coded answers."""

import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.league.config import StudyConfig
from experiments.league.readouts import Coded, coded
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.heads import normalized, target_statistics
from experiments.mini_taskonomy.tasks import Task, compiled_batch, task_named
from experiments.mini_taskonomy.views import Example

__all__ = ["LABELLED_IMAGES", "READOUT_SEED", "Target", "all_targets", "target_examples"]

READOUT_SEED = 23  # of the target images' crops and corruptions, the same for every network
LABELLED_IMAGES = 128  # seen by the estimators that use labels, by no readout


class Target(NamedTuple):
    """A target's images (as normalised network inputs, in `inputs[place]`) and coded answers."""

    task: Task
    place: int
    draws: Coded
    labelled: Coded
    test: Coded


def target_examples(
    task: Task, config: StudyConfig, train: Data, validation: Data
) -> tuple[Example, Example]:
    """Training examples (all draws, then the labelled ones) and test examples of a target.

    One key for all tasks: those whose input is the plain crop then share their images, so that
    features are computed once.
    """
    wanted = config.readout_images * config.readout_draws + LABELLED_IMAGES
    order = jax.random.permutation(jax.random.key(READOUT_SEED), train.images.shape[0])
    rows = order[jnp.arange(wanted) % len(order)]
    tests = jnp.arange(min(config.test_images, validation.images.shape[0]))
    batch = compiled_batch(task)
    key = jax.random.key(READOUT_SEED + 1)
    return (
        batch(key, train.images[rows], train.photograph[rows]),
        batch(key, validation.images[tests], validation.photograph[tests]),
    )


def all_targets(
    config: StudyConfig, train: Data, validation: Data
) -> tuple[list[jax.Array], list[Target]]:
    """Distinct inputs, and every task as a target."""
    side = _side(config)
    places: dict[str, int] = {}
    inputs, targets = [], []
    for name in config.tasks:
        task = task_named(name)
        examples, tests = target_examples(task, config, train, validation)
        images = normalized(jnp.concatenate([examples.image, tests.image]))
        digest = hashlib.sha256(np.asarray(images).tobytes()).hexdigest()
        if digest not in places:
            places[digest] = len(inputs)
            inputs.append(images)
        statistics = target_statistics(task, train)
        answers = coded(task, examples, statistics, side)
        used = config.readout_images * config.readout_draws
        by_draw = (x[:used].reshape(config.readout_draws, -1, *x.shape[1:]) for x in answers)
        targets.append(
            Target(
                task,
                places[digest],
                Coded(*by_draw),
                answers.part(slice(used, None)),
                coded(task, tests, statistics, side),
            )
        )
    return inputs, targets


def _side(config: StudyConfig) -> int:
    """Height of the encoders' output, which is the same for all architectures of a study."""
    sides = {
        32 // (shape.stem_stride * int(np.prod(shape.strides))) for _, shape in config.architectures
    }
    assert len(sides) == 1, "architectures of one study must have maps of one size"
    return sides.pop()
