"""Networks that are trained: an encoder a task, architecture and seed, and fine-tuned pairs.

A network's folder holds encoder.safetensors and its cell, result.json, which is written last.
Random encoders are a control.
"""

import dataclasses
import functools
import hashlib
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from depara_jax.errors import DeparaError
from depara_jax.models import port
from depara_jax.models.encoder import Encoder as Network
from depara_jax.models.model import Model
from depara_jax.weights.readers import read_tensors, write_safetensors
from experiments.common.cells import Cells
from experiments.league.config import RANDOM, READOUT_SEED, Encoder, StudyConfig
from experiments.league.data import Images
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import Scores, evaluate, trivial_scores
from experiments.mini_taskonomy.tasks import task_named
from experiments.mini_taskonomy.train import fit

FINE_TUNED = ("edges", "saturation", "motion_direction")  # targets of different families


class Run(NamedTuple):
    """What every stage needs.

    Attributes:
      config: the study.
      images: of the run.
      cells: its folder.
      line: called with what has been done, a line for each network or matrix.
    """

    config: StudyConfig
    images: Images
    cells: Cells
    line: Callable[[str], None]

    def depends(self, encoder: Encoder) -> dict[str, Any]:
        """What a network's cells depend on."""
        training = self.config.training(encoder.architecture)
        return {"training": training, "images": self.images.fingerprint}


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


def train_encoders(run: Run) -> dict[str, dict[str, Any]]:
    """Trains what is not there yet.

    Returns:
      {encoder's name: what its result.json holds}, in the order of `config.encoders`.
    """
    # What learns nothing is the same for every network of a task.
    trivial = functools.cache(lambda name: trivial_scores(task_named(name), *run.images.data))
    results = {}
    for encoder in run.config.encoders:

        def make(encoder: Encoder = encoder) -> dict[str, Any]:
            if encoder.task == RANDOM:
                shape = run.config.shape(encoder.architecture)
                variables = port.random_variables(Network, shape, key_of(encoder))
                result = {"seconds": 0.0}
            else:
                variables, result = _train(run, encoder, trivial(encoder.task))
            path = run.cells.path(encoder_file(encoder, "encoder.safetensors"))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_safetensors(path, port.flatten_variables(variables))
            return result

        results[encoder.name] = run.cells.get(
            encoder_file(encoder, "result.json"), make, **run.depends(encoder)
        )
        run.line(f"encoder {encoder.name}")
    return results


def load_encoder(run: Run, encoder: Encoder) -> Model:
    """A trained network as the library's `Model`."""
    path = run.cells.path(encoder_file(encoder, "encoder.safetensors"))
    shape = run.config.shape(encoder.architecture)
    variables = port.convert(Network, shape, (), read_tensors(path), source=f"weights file {path}")
    spec = port.port_spec(shape, name=encoder.name, task=encoder.task)
    return port.port_model(Network, shape, variables=variables, spec=spec)


def _train(run: Run, encoder: Encoder, trivial: Scores) -> tuple[Any, dict[str, Any]]:
    """The network's variables, and what is said of it."""
    task, training = task_named(encoder.task), run.config.training(encoder.architecture)
    started = time.perf_counter()
    one = fit(task, run.images.data[0], training, key_of(encoder))
    seconds = time.perf_counter() - started
    scores = evaluate(task, one, run.images.data[1], training)
    if not math.isfinite(scores.loss):
        raise DeparaError(f"{encoder.name}: the validation loss is not finite; lower the rate")
    said = {
        "validation": scores.mean,
        "validation_loss": scores.loss,
        "trivial": trivial.mean,
        "trivial_loss": trivial.loss,
        "train_loss": float(one.losses[-50:].mean()),
    }
    rounded = {name: round(value, 6) for name, value in said.items()}
    facts = {"task": encoder.task, "metric": task.metric}
    return one.encoder, {**facts, **rounded, "seconds": round(seconds, 2)}


def sampled_pairs(config: StudyConfig) -> tuple[tuple[Encoder, str], ...]:
    """Sources of the first architecture and seed for a few targets of different families.

    A target's share of the sample is the same sources: every second task and the control.
    """
    architecture = config.architectures[0][0]
    sources = [Encoder(task, architecture, 0) for task in (*config.tasks[::2], RANDOM)]
    targets = [name for name in FINE_TUNED if name in config.tasks]
    pairs = [(source, target) for target in targets for source in sources if source.task != target]
    return tuple(pairs[: config.fine_tuned])


def fine_tune(run: Run) -> dict[tuple[str, str], float]:
    """Held-out loss of a sample of pairs after fine-tuning on one draw's images.

    A head of two layers (that of mini_taskonomy) and the encoder are trained by AdamW with random
    crops of `config.readout_images` patches.

    Returns:
      {(source's name, target): loss}.
    """
    losses = {}
    for source, target in sampled_pairs(run.config):
        cell = run.cells.get(
            f"fine-tuned/{source.name.replace('/', '-')}--{target}.json",
            lambda s=source, t=target: {"loss": _fine_tuned(run, s, t)},
            config=run.config,
            images=run.images.fingerprint,
        )
        losses[source.name, target] = cell["loss"]
        run.line(f"fine-tuned {source.name}->{target}: {cell['loss']:.3f}")
    return losses


def _fine_tuned(run: Run, source: Encoder, target: str) -> float:
    config, (train, validation), task = run.config, run.images.data, task_named(target)
    order = jax.random.permutation(jax.random.key(READOUT_SEED), len(train.images))
    little = Data(*(values[order[: config.readout_images]] for values in train))
    training = dataclasses.replace(
        config.training(source.architecture),
        steps=config.fine_tune_steps,
        warmup=min(20, config.fine_tune_steps - 1),
        learning_rate=config.learning_rate / 2,
        chunk=min(50, config.fine_tune_steps),
    )
    model = load_encoder(run, source)
    fitted = fit(task, little, training, jax.random.key(1), encoder=model.variables)
    loss = evaluate(task, fitted, validation, training).loss
    if not math.isfinite(loss):
        raise DeparaError(f"fine-tuning {source.name} for {target} diverged; lower the rate")
    return round(loss, 6)
