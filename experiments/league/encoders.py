"""Stage 1: one encoder a task, architecture and seed, and random ones as a control.

A network's folder holds encoder.safetensors and its cell, result.json, which is written last.
"""

import functools
import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import jax

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import Encoder as Network
from depara_jax.models.model import Model
from depara_jax.models.port import (
    convert,
    flatten_variables,
    port_model,
    port_spec,
    random_variables,
)
from depara_jax.weights.readers import read_tensors, write_safetensors
from experiments.common.cells import Cells
from experiments.league.config import RANDOM, Encoder, StudyConfig
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import Scores, evaluate, trivial_scores
from experiments.mini_taskonomy.tasks import Task, task_named
from experiments.mini_taskonomy.train import fit

__all__ = ["encoder_file", "key_of", "load_encoder", "train_encoders"]


def encoder_file(encoder: Encoder, name: str) -> str:
    """Where something of a network is stored, below the run's folder."""
    return f"encoders/{encoder.architecture}/{encoder.task}/seed{encoder.seed}/{name}"


def key_of(encoder: Encoder) -> jax.Array:
    """The key of a network's weights and batches.

    Tasks do not share initial weights: networks that grew from one draw are alike for that reason
    alone, and pretrained networks of different origin never have that in common.
    """
    digest = hashlib.sha256(f"{encoder.task}/{encoder.architecture}".encode()).digest()
    number = int.from_bytes(digest[:4], "big") >> 1
    return jax.random.fold_in(jax.random.key(encoder.seed), number)


def train_encoders(
    config: StudyConfig,
    data: tuple[Data, Data],
    cells: Cells,
    progress: Callable[[str], None],
    *,
    fingerprint: str,
) -> dict[str, dict[str, Any]]:
    """Trains what is not there yet.

    Args:
      config: the study.
      data: training and validation patches.
      cells: of the run.
      progress: called with a line for each network.
      fingerprint: of the images, which the stored networks depend on.

    Returns:
      {encoder's name: what its result.json holds}, in the order of `config.encoders`.
    """
    # What learns nothing is the same for every network of a task.
    trivial = functools.cache(lambda name: trivial_scores(task_named(name), *data))
    results = {}
    for encoder in config.encoders:
        training = config.training(encoder.architecture)

        def make(encoder: Encoder = encoder, training: TrainConfig = training) -> dict[str, Any]:
            if encoder.task == RANDOM:
                variables = random_variables(Network, training.encoder, key_of(encoder))
                result = {"seconds": 0.0}
            else:
                task = task_named(encoder.task)
                variables, result = _train(task, encoder, training, data, trivial(task.name))
            path = cells.path(encoder_file(encoder, "encoder.safetensors"))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_safetensors(path, flatten_variables(variables))
            return result

        results[encoder.name] = cells.get(
            encoder_file(encoder, "result.json"), make, training=training, images=fingerprint
        )
        progress(f"encoder {encoder.name}")
    return results


def load_encoder(config: StudyConfig, cells: Cells, encoder: Encoder) -> Model:
    """A trained network as the library's `Model`."""
    path = cells.path(encoder_file(encoder, "encoder.safetensors"))
    shape = config.shape(encoder.architecture)
    variables = convert(Network, shape, (), read_tensors(path), source=f"weights file {path}")
    spec = port_spec(shape, name=encoder.name, task=encoder.task)
    return port_model(Network, shape, variables=variables, spec=spec)


def _train(
    task: Task,
    encoder: Encoder,
    training: TrainConfig,
    data: tuple[Data, Data],
    trivial: Scores,
) -> tuple[Any, dict[str, Any]]:
    """The network's variables, and what is said of it."""
    started = time.perf_counter()
    one = fit(task, data[0], training, key_of(encoder))
    seconds = time.perf_counter() - started
    scores = evaluate(task, one, data[1], training)
    if not math.isfinite(scores.loss):
        raise DeparaError(f"{encoder.name}: the validation loss is not finite; lower the rate")
    return one.encoder, {
        "task": encoder.task,
        "metric": task.metric,
        "validation": round(scores.mean, 6),
        "validation_loss": round(scores.loss, 6),
        "trivial": round(trivial.mean, 6),
        "trivial_loss": round(trivial.loss, 6),
        "train_loss": round(float(one.losses[-50:].mean()), 6),
        "seconds": round(seconds, 2),
    }
