"""Stage 1: one encoder a task, architecture and seed, and random ones as a control.

A network's folder holds encoder.safetensors and result.json. The result is
written last, in one piece, so that a network with a result of the right digest is finished.
"""

import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import Encoder as Network
from depara_jax.models.model import Model
from depara_jax.models.port import (
    PureForward,
    convert,
    flatten_variables,
    port_model,
    port_spec,
    random_variables,
)
from depara_jax.weights.readers import read_tensors, write_safetensors
from experiments.common.cells import write_text
from experiments.league.config import RANDOM, Encoder, StudyConfig
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import evaluation_batch, scores_of, trivial_scores
from experiments.mini_taskonomy.heads import apply_head, normalized
from experiments.mini_taskonomy.tasks import Task, task_named
from experiments.mini_taskonomy.train import Fit, fit

__all__ = ["encoder_folder", "key_of", "load_encoder", "train_encoders"]

Progress = Callable[[str], None]


def encoder_folder(output: Path, encoder: Encoder) -> Path:
    """Where a network is stored."""
    return output / "encoders" / encoder.architecture / encoder.task / f"seed{encoder.seed}"


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
    output: Path,
    progress: Progress,
    *,
    fingerprint: str,
    batched: bool | None = None,
) -> dict[str, dict[str, Any]]:
    """Trains what is not there yet.

    Args:
      config: the study.
      data: training and validation patches.
      output: the run's folder.
      progress: called with a line for each (task, architecture).
      fingerprint: of the images, which the stored networks depend on.
      batched: train all seeds at once under `vmap`; by default on accelerators only, since batched
        kernels become grouped convolutions, which are slow on a CPU.

    Returns:
      {encoder's name: what its result.json holds}, in the order of `config.encoders`.
    """
    batched = jax.default_backend() != "cpu" if batched is None else batched
    groups: dict[tuple[str, str], list[Encoder]] = {}
    for encoder in config.encoders:
        groups.setdefault((encoder.task, encoder.architecture), []).append(encoder)
    results = {}
    for (task, architecture), group in groups.items():
        digests = {e: _digest(config, e, fingerprint) for e in group}
        missing = [e for e in group if _read(output, e, digests[e]) is None]
        if missing and task == RANDOM:
            _draw(config, missing, output, digests)
        elif missing:
            training = config.training(architecture)
            for some in [missing] if batched else [[one] for one in missing]:
                _train(task_named(task), some, training, data, output, digests)
        results |= {e.name: _read(output, e, digests[e]) for e in group}
        progress(f"encoders {architecture}: {task}")
    return {encoder.name: results[encoder.name] for encoder in config.encoders}


def load_encoder(config: StudyConfig, output: Path, encoder: Encoder) -> Model:
    """A trained network as the library's `Model`."""
    path = encoder_folder(output, encoder) / "encoder.safetensors"
    shape = config.shape(encoder.architecture)
    variables = convert(Network, shape, (), read_tensors(path), source=f"weights file {path}")
    spec = port_spec(shape, name=encoder.name, task=encoder.task)
    return port_model(Network, shape, variables=variables, spec=spec)


def _digest(config: StudyConfig, encoder: Encoder, fingerprint: str) -> str:
    return config.digest(encoder, config.training(encoder.architecture).to_json(), fingerprint)


def _read(output: Path, encoder: Encoder, digest: str) -> dict[str, Any] | None:
    path = encoder_folder(output, encoder) / "result.json"
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeparaError(f"{path} is not JSON ({error}); delete it to train anew") from error
    return result if result.get("digest") == digest else None


def _draw(
    config: StudyConfig, group: Sequence[Encoder], output: Path, digests: dict[Encoder, str]
) -> None:
    for encoder in group:
        shape = config.shape(encoder.architecture)
        variables = random_variables(Network, shape, key_of(encoder))
        _store(output, encoder, variables, {"digest": digests[encoder], "seconds": 0.0})


def _train(
    task: Task,
    group: Sequence[Encoder],
    training: TrainConfig,
    data: tuple[Data, Data],
    output: Path,
    digests: dict[Encoder, str],
) -> None:
    """Trains networks that differ in their seeds alone, and stores them."""
    started = time.perf_counter()
    keys = [key_of(encoder) for encoder in group]
    if len(keys) == 1:
        fits = [fit(task, data[0], training, keys[0])]
    else:
        fits = _unstacked(fit(task, data[0], training, jnp.stack(keys)), len(keys))
    seconds = (time.perf_counter() - started) / len(keys)
    trivial = _trivial(task, data)
    for encoder, one in zip(group, fits, strict=True):
        batch = evaluation_batch(task, data[1])
        prediction = _predict(task, training)(one.encoder, one.head, batch.image)
        scores = scores_of(task, prediction, batch, one.statistics)
        if not math.isfinite(scores.loss):
            raise DeparaError(f"{encoder.name}: the validation loss is not finite; lower the rate")
        result = {
            "digest": digests[encoder],
            "task": encoder.task,
            "metric": task.metric,
            "validation": round(scores.mean, 6),
            "validation_loss": round(scores.loss, 6),
            "trivial": round(trivial[0], 6),
            "trivial_loss": round(trivial[1], 6),
            "train_loss": round(float(one.losses[-50:].mean()), 6),
            "seconds": round(seconds, 2),
        }
        _store(output, encoder, one.encoder, result)


@functools.lru_cache(maxsize=4)
def _predict(task: Task, training: TrainConfig) -> Callable[..., jax.Array]:
    network = PureForward(Network, training.encoder)

    def predict(encoder, head, images):
        return apply_head(head, task, network(encoder, normalized(images))["encoder"])

    return jax.jit(predict)


_KNOWN: dict[tuple[str, int], tuple[float, float]] = {}


def _trivial(task: Task, data: tuple[Data, Data]) -> tuple[float, float]:
    """Metric and loss of what learns nothing; the same for every seed."""
    key = (task.name, id(data[0].images))
    if key not in _KNOWN:
        scores = trivial_scores(task, *data)
        _KNOWN[key] = (scores.mean, scores.loss)
    return _KNOWN[key]


def _unstacked(fits: Fit, count: int) -> list[Fit]:
    """The networks of a batched fit one by one; the statistics are common to them."""
    out = []
    for i in range(count):
        encoder, head = (
            jax.tree.map(lambda leaf, i=i: leaf[i], part) for part in (fits.encoder, fits.head)
        )
        out.append(Fit(encoder, head, fits.statistics, fits.losses[:, i]))
    return out


def _store(output: Path, encoder: Encoder, variables: Any, result: dict[str, Any]) -> None:
    folder = encoder_folder(output, encoder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "encoder.safetensors", flatten_variables(variables))
    write_text(folder / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
