"""Stage 2: how well every frozen encoder serves every target, on little target data.

A network's file holds its losses on the held-out images for every target and draw, and what the
two estimators that use target labels say of it. A network with a file of the right digest is done.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.files import load_arrays, write_atomically
from depara_jax.models.encoder import Encoder as Network
from depara_jax.models.encoder import EncoderConfig
from depara_jax.models.port import PureForward
from experiments.league import host_readouts
from experiments.league.config import Encoder, StudyConfig
from experiments.league.encoders import load_encoder
from experiments.league.readouts import (
    Coded,
    design,
    knn_errors,
    probe_error,
    readout_errors,
)
from experiments.league.targets import LABELLED_IMAGES, Target, all_targets
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.tasks import Task

__all__ = ["Transfer", "measure_transfer"]

FORWARD_BATCH = 256


class Transfer(NamedTuple):
    """One network's measured transfer.

    Attributes:
      losses: [targets, draws, test images], squared error over the training targets' variance.
      accuracy: [targets, draws], NaN where the target is not a class.
      knn: [targets] leave-one-out loss of 5 nearest neighbours on labelled target images.
      probe: [targets] loss of a linear probe on a quarter of them.
      seconds: for all of it.
    """

    losses: np.ndarray
    accuracy: np.ndarray
    knn: np.ndarray
    probe: np.ndarray
    seconds: float


def measure_transfer(
    config: StudyConfig,
    data: tuple[Data, Data],
    output: Path,
    progress: Callable[[str], None],
    *,
    fingerprint: str,
    group: int | None = None,
) -> dict[str, Transfer]:
    """Measures what is not there yet.

    Args:
      config: the study, whose encoders are trained.
      data: training and validation patches.
      output: the run's folder.
      progress: called with a line for each group of networks.
      fingerprint: of the images.
      group: networks whose readouts are fitted at once; by default 1 on a CPU, else all of an
        architecture.

    Returns:
      {encoder's name: Transfer} in the order of `config.encoders`.
    """
    (output / "transfer").mkdir(parents=True, exist_ok=True)
    digests = {e: _digest(config, e, fingerprint) for e in config.encoders}
    found = {e: _read(_path(output, e), digests[e]) for e in config.encoders}
    missing = [e for e in config.encoders if found[e] is None]
    if missing:
        inputs, targets = all_targets(config, *data)
    for architecture, _ in config.architectures:
        these = [e for e in missing if e.architecture == architecture]
        size = group or (1 if jax.default_backend() == "cpu" else max(1, len(these)))
        for start in range(0, len(these), size):
            some = these[start : start + size]
            for encoder, result in zip(
                some, _measure(config, some, inputs, targets, output), strict=True
            ):
                _write(_path(output, encoder), digests[encoder], result)
                found[encoder] = result
            progress(f"transfer from {some[-1].name}")
    return {encoder.name: found[encoder] for encoder in config.encoders}  # pyright: ignore


def _measure(
    config: StudyConfig,
    group: list[Encoder],
    inputs: list[jax.Array],
    targets: list[Target],
    output: Path,
) -> list[Transfer]:
    """All targets for some networks of one architecture."""
    started = time.perf_counter()
    shape = config.shape(group[0].architecture)
    models = [load_encoder(config, output, encoder) for encoder in group]
    features = [
        jnp.stack([_features(shape, model.variables, images) for model in models])
        for images in inputs
    ]
    losses, accuracy, knn, probe = [], [], [], []
    for target in targets:
        run = _run_readouts(target.task, config.readout_draws)
        answers = (target.draws, target.labelled, target.test)
        got = (
            _on_host(features[target.place], answers, target.task, config.readout_draws)
            if jax.default_backend() == "cpu"
            else run(features[target.place], answers)
        )
        losses.append(np.asarray(got[0]))
        guesses = got[1]
        if target.classes is None:
            accuracy.append(np.full(losses[-1].shape[:2], np.nan))
        else:
            accuracy.append(np.asarray((guesses.argmax(-1) == target.classes).mean(-1)))
        knn.append(np.asarray(got[2]))
        probe.append(np.asarray(got[3]))
    seconds = (time.perf_counter() - started) / len(group)
    results = []
    for i in range(len(group)):
        parts = [np.stack([x[i] for x in kind]) for kind in (losses, accuracy, knn, probe)]
        results.append(Transfer(parts[0], parts[1], parts[2], parts[3], seconds))
    return results


def _on_host(features: jax.Array, answers: tuple, task: Task, draws: int) -> tuple:
    """What `_run_readouts` gives, one encoder and draw after the other."""
    by_draw, known, test = (Coded(*map(np.asarray, one)) for one in answers)
    tests, results = len(test.values), []
    for one in features:
        rows = np.asarray(design(task, one))
        cuts = [len(rows) - tests - LABELLED_IMAGES, len(rows) - tests]
        train, labelled, held = np.split(rows, cuts)
        per_draw = train.reshape(draws, -1, *train.shape[1:])
        fitted = [
            host_readouts.readout_errors(
                per_draw[i], Coded(by_draw.values[i], by_draw.weights[i]), held, test
            )
            for i in range(draws)
        ]
        near = np.asarray(one)[cuts[0] : cuts[1]]
        pooled = near.reshape(len(near), 4, near.shape[1] // 4, 4, near.shape[2] // 4, -1)
        knn = host_readouts.knn_errors(pooled.mean((2, 4)).reshape(len(near), -1), known)
        losses, guesses = (np.stack(parts) for parts in zip(*fitted, strict=True))
        results.append((losses, guesses, knn, host_readouts.probe_error(labelled, known)))
    return tuple(np.stack(parts) for parts in zip(*results, strict=True))


@functools.lru_cache(maxsize=64)
def _run_readouts(task: Task, draws: int) -> Callable:
    """(features [e, n + m, h, w, c], answers) -> losses [e, r, m], guesses, knn [e], probe [e]."""

    def one(features, answers):
        by_draw, known, test_answers = answers
        tests = len(test_answers.values)
        rows = design(task, features)
        train, labelled, test = jnp.split(
            rows, [len(rows) - tests - LABELLED_IMAGES, len(rows) - tests]
        )
        per_draw = train.reshape(draws, -1, *train.shape[1:])
        errors = jax.vmap(readout_errors, in_axes=(0, 0, None, None))
        losses, guesses = errors(per_draw, by_draw, test, test_answers)
        near = features[len(rows) - tests - LABELLED_IMAGES : len(rows) - tests]
        pooled = near.reshape(len(near), 4, near.shape[1] // 4, 4, near.shape[2] // 4, -1)
        pooled = pooled.mean((2, 4)).reshape(len(near), -1)
        knn = knn_errors(pooled, known)
        return losses, guesses, knn, probe_error(labelled, known)

    return jax.jit(lambda features, answers: jax.vmap(lambda f: one(f, answers))(features))


@functools.lru_cache(maxsize=8)
def _forward(shape: EncoderConfig) -> Callable[..., jax.Array]:
    network = PureForward(Network, shape)
    return jax.jit(lambda variables, images: network(variables, images)["encoder"])


def _features(shape: EncoderConfig, variables, images: jax.Array) -> jax.Array:
    """The encoder's output on many images, in pieces."""
    forward = _forward(shape)
    pad = -len(images) % FORWARD_BATCH
    padded = jnp.pad(images, ((0, pad), (0, 0), (0, 0), (0, 0)))
    # One program at a time: with many in flight a run hung (jax 0.10.2, two busy cores), every
    # thread of the pool waiting for another.
    pieces = [
        jax.block_until_ready(forward(variables, padded[start : start + FORWARD_BATCH]))
        for start in range(0, len(padded), FORWARD_BATCH)
    ]
    return jnp.concatenate(pieces)[: len(images)]


def _digest(config: StudyConfig, encoder: Encoder, fingerprint: str) -> str:
    sizes = (config.readout_images, config.readout_draws, config.test_images, config.tasks)
    training = config.training(encoder.architecture).to_json()
    return config.digest(encoder, training, fingerprint, sizes)


def _path(output: Path, encoder: Encoder) -> Path:
    return output / "transfer" / f"{encoder.name.replace('/', '-')}.npz"


def _read(path: Path, digest: str) -> Transfer | None:
    if not path.is_file():
        return None
    arrays = load_arrays(path)
    assert isinstance(arrays, dict)
    if str(arrays.pop("digest")) != digest:
        return None
    return Transfer(
        **{k: v for k, v in arrays.items() if k != "seconds"}, seconds=float(arrays["seconds"])
    )


def _write(path: Path, digest: str, result: Transfer) -> None:
    def write(file):
        np.savez(file, digest=np.array(digest), **result._asdict())

    write_atomically(path, write)
