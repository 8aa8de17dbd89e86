"""Stage 2: how well every frozen encoder serves every target, on little target data.

A target's labelled images become network inputs and coded answers. A network's cell holds its
losses on the held-out images for every target and draw, and what the two estimators that use target
labels say of it.
"""

import functools
import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.models.model import Model
from experiments.league.config import READOUT_SEED, StudyConfig
from experiments.league.encoders import Run, load_encoder
from experiments.league.readouts import Coded, coded, design, knn_error, probe_error, readout_losses
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.heads import normalized, target_statistics
from experiments.mini_taskonomy.tasks import Task, compiled_batch, task_named
from experiments.mini_taskonomy.views import Example

LABELLED_IMAGES = 128  # seen by the estimators that use labels, by no readout
FORWARD_BATCH = 256


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


def _all_targets(
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


class Transfer(NamedTuple):
    """One network's measured transfer.

    Attributes:
      losses: [targets, draws, test images], squared error over the training targets' variance.
      knn: [targets] leave-one-out loss of 5 nearest neighbours on labelled target images.
      probe: [targets] loss of a linear probe on a quarter of them.
      seconds: for all of it.
    """

    losses: np.ndarray
    knn: np.ndarray
    probe: np.ndarray
    seconds: float


def measure_transfer(run: Run) -> dict[str, Transfer]:
    """Measures what is not there yet.

    Returns:
      {encoder's name: Transfer} in the order of `config.encoders`.
    """
    config = run.config
    targets = functools.cache(lambda: _all_targets(config, *run.images.data))
    sizes = (config.readout_images, config.readout_draws, config.test_images, config.tasks)
    found = {}
    for encoder in config.encoders:
        content = run.cells.get(
            f"transfer/{encoder.name.replace('/', '-')}.npz",
            lambda e=encoder: _measure(load_encoder(run, e), *targets())._asdict(),
            **run.depends(encoder),
            sizes=sizes,
        )
        content["seconds"] = float(content["seconds"])
        found[encoder.name] = Transfer(**content)
        run.line(f"transfer from {encoder.name}")
    return found


def _measure(model: Model, inputs: list[jax.Array], targets: list[Target]) -> Transfer:
    """All targets for one network."""
    started = time.perf_counter()
    features = [_features(model.forward, model.variables, images) for images in inputs]
    rows = [_on_target(features[t.place], t) for t in targets]
    seconds = time.perf_counter() - started
    losses = np.stack([row[0] for row in rows])
    knn, probe = np.array([row[1:] for row in rows]).T
    return Transfer(losses, knn, probe, seconds)


def _on_target(features: jax.Array, target: Target) -> tuple[np.ndarray, float, float]:
    """Losses [draws, images], and what the two labelled estimators say."""
    draws, tests = len(target.draws.values), len(target.test.values)
    rows = design(target.task, features)
    cuts = [len(rows) - tests - LABELLED_IMAGES, len(rows) - tests]
    train, labelled, held = np.split(rows, cuts)
    losses = [
        readout_losses(some, target.draws.part(i), held, target.test)
        for i, some in enumerate(np.split(train, draws))
    ]
    near = np.asarray(features)[cuts[0] : cuts[1]]
    pooled = near.reshape(len(near), 4, near.shape[1] // 4, 4, near.shape[2] // 4, -1)
    knn = knn_error(pooled.mean((2, 4)).reshape(len(near), -1), target.labelled)
    return np.stack(losses), knn, probe_error(labelled, target.labelled)


@functools.partial(jax.jit, static_argnums=0)
def _encoded(forward: Callable[..., Any], variables: Any, images: jax.Array) -> jax.Array:
    return forward(variables, images)["encoder"]


def _features(forward: Callable[..., Any], variables: Any, images: jax.Array) -> jax.Array:
    """The encoder's output on many images, in pieces."""
    pad = -len(images) % FORWARD_BATCH
    padded = jnp.pad(images, ((0, pad), (0, 0), (0, 0), (0, 0)))
    # One program at a time: with many in flight a run hung (jax 0.10.2, two busy cores), every
    # thread of the pool waiting for another.
    pieces = [
        jax.block_until_ready(_encoded(forward, variables, padded[start : start + FORWARD_BATCH]))
        for start in range(0, len(padded), FORWARD_BATCH)
    ]
    return jnp.concatenate(pieces)[: len(images)]
