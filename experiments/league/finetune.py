"""A sample of pairs, fine-tuned: the encoder's weights move too, on the same little data."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from depara_jax.errors import DeparaError
from experiments.common.cells import Cells
from experiments.league.config import RANDOM, Encoder, StudyConfig
from experiments.league.encoders import load_encoder
from experiments.league.targets import READOUT_SEED
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import evaluate
from experiments.mini_taskonomy.tasks import Task, task_named
from experiments.mini_taskonomy.train import fit

__all__ = ["fine_tune", "sampled_pairs"]

TARGETS = ("edges", "saturation", "motion_direction")


def sampled_pairs(config: StudyConfig) -> tuple[tuple[Encoder, str], ...]:
    """Sources of the first architecture and seed for a few targets of different families.

    A target's share of the sample is the same sources: every second task and the control.
    """
    architecture = config.architectures[0][0]
    sources = [Encoder(task, architecture, 0) for task in (*config.tasks[::2], RANDOM)]
    targets = [name for name in TARGETS if name in config.tasks]
    pairs = [(source, target) for target in targets for source in sources if source.task != target]
    return tuple(pairs[: config.fine_tuned])


def fine_tune(
    config: StudyConfig,
    data: tuple[Data, Data],
    cells: Cells,
    progress: Callable[[str], None],
    *,
    fingerprint: str,
) -> dict[tuple[str, str], float]:
    """Held-out loss of each sampled pair after fine-tuning on one draw's images.

    A head of two layers (that of mini_taskonomy) and the encoder are trained by AdamW with random
    crops of `config.readout_images` patches.

    Returns:
      {(source's name, target): loss}.
    """
    order = jax.random.permutation(jax.random.key(READOUT_SEED), len(data[0].images))
    rows = order[: config.readout_images]
    little = Data(data[0].images[rows], data[0].photograph[rows])
    losses = {}
    for source, target in sampled_pairs(config):
        task = task_named(target)
        cell = cells.get(
            f"fine-tuned/{source.name.replace('/', '-')}--{target}.json",
            lambda s=source, t=task: {"loss": _one(config, s, t, (little, data[1]), cells)},
            config=config,
            images=fingerprint,
        )
        losses[source.name, target] = cell["loss"]
        progress(f"fine-tuned {source.name}->{target}: {cell['loss']:.3f}")
    return losses


def _one(
    config: StudyConfig, source: Encoder, task: Task, data: tuple[Data, Data], cells: Cells
) -> float:
    training: TrainConfig = dataclasses.replace(
        config.training(source.architecture),
        steps=config.fine_tune_steps,
        warmup=min(20, config.fine_tune_steps - 1),
        learning_rate=config.learning_rate / 2,
        chunk=min(50, config.fine_tune_steps),
    )
    model = load_encoder(config, cells, source)
    fitted = fit(task, data[0], training, jax.random.key(1), encoder=model.variables)
    loss = evaluate(task, fitted, data[1], training).loss
    if not np.isfinite(loss):
        raise DeparaError(f"fine-tuning {source.name} for {task.name} diverged; lower the rate")
    return round(float(loss), 6)
