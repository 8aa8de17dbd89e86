"""Stage 2: how well every frozen encoder serves every target, on little target data.

A network's cell holds its losses on the held-out images for every target and draw, and what the
two estimators that use target labels say of it.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.models.model import Model
from experiments.league.encoders import Run, load_encoder
from experiments.league.readouts import design, knn_error, probe_error, readout_losses
from experiments.league.targets import LABELLED_IMAGES, Target, all_targets

__all__ = ["Transfer", "measure_transfer"]

FORWARD_BATCH = 256


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
    targets = functools.cache(lambda: all_targets(config, *run.images.data))
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
