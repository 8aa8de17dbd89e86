"""One cell of a run: a task and a seed, trained, measured against its baselines and stored.

A cell's folder holds encoder.safetensors, head.safetensors, losses.jsonl and result.json. The
result is written last, so a cell with a result of the right digest is finished and is skipped.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.models.port import flatten_variables
from depara_jax.weights.readers import write_safetensors
from experiments.common.cells import Cells, write_text
from experiments.common.run import Report
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import Scores, evaluate, trivial_scores
from experiments.mini_taskonomy.tasks import Task
from experiments.mini_taskonomy.train import Fit, fit

# Standard errors of the mean paired difference over the validation patches.
Z_NEEDED = 3.0


def cell_folder(task: str, seed: int) -> str:
    """Where a cell is stored, below the run's folder."""
    return f"{task}/seed{seed}"


def trained_cell(
    cells: Cells,
    task: Task,
    seed: int,
    config: TrainConfig,
    data: Callable[[], tuple[Data, Data]],
    report: Report,
) -> dict[str, Any]:
    """Trains a network and its control, measures and stores them, unless that is done.

    The control is the same head trained for as many steps on the same network left as it was drawn.
    `data` gives training and validation patches.

    Returns:
      What result.json holds.
    """
    folder = cell_folder(task.name, seed)

    def make() -> dict[str, Any]:
        train, validation = data()
        scores = {"trivial": trivial_scores(task, train, validation)}
        seconds, fits = {}, {}
        for role, frozen in (("trained", False), ("random", True)):
            before = config.steps if frozen else 0

            def on_chunk(done: int, losses: np.ndarray, role=role, before=before) -> None:
                note = f" ({role}, loss {losses.mean():.3f})"
                report(task.name, before + done, 2 * config.steps, note)

            start = time.perf_counter()
            key = jax.random.key(seed)
            fits[role] = fit(task, train, config, key, frozen=frozen, on_chunk=on_chunk)
            seconds[role] = time.perf_counter() - start
            scores[role] = evaluate(task, fits[role], validation, config)
            if not math.isfinite(scores[role].loss):
                raise DeparaError(
                    f"task {task.name}, seed {seed}: the {role} network's validation loss is not "
                    f"finite after {config.steps} steps; lower the learning rate"
                )
        _store(cells.path(folder), fits["trained"])
        return _result(task, seed, config, scores, seconds, fits["trained"])

    return cells.get(f"{folder}/result.json", make, config=config)


def beats(task: Task, scores: Scores, other: Scores) -> float:
    """By how many standard errors `scores` is better than `other`, image by image.

    The patches of a photograph overlap, so the images are not independent and the number flatters;
    hence the threshold of 3.
    """
    sign = 1.0 if task.kind == "classes" else -1.0
    difference = sign * (scores.each.astype(np.float64) - other.each)
    error = difference.std(ddof=1) / math.sqrt(len(difference))
    return float(difference.mean() / error) if error > 0 else 0.0


def _result(
    task: Task,
    seed: int,
    config: TrainConfig,
    scores: dict[str, Scores],
    seconds: dict[str, float],
    trained: Fit,
) -> dict[str, Any]:
    z = {other: beats(task, scores["trained"], scores[other]) for other in ("trivial", "random")}
    late = max(1, len(trained.losses) // 10)
    return {
        "task": task.name,
        "family": task.family,
        "kind": task.kind,
        "seed": seed,
        "config": dataclasses.asdict(config),
        "metric": task.metric,
        "higher_is_better": task.kind == "classes",
        "validation": {role: round(score.mean, 6) for role, score in scores.items()},
        "validation_loss": {role: round(score.loss, 6) for role, score in scores.items()},
        "train_loss": {
            "first": round(float(trained.losses[:late].mean()), 6),
            "last": round(float(trained.losses[-late:].mean()), 6),
        },
        "z": {other: round(value, 2) for other, value in z.items()},
        "packaged": min(z.values()) >= Z_NEEDED,
        "images": int(len(scores["trained"].each)),
        "seconds": {role: round(value, 1) for role, value in seconds.items()},
        "backend": f"jax {jax.__version__}, {jax.devices()[0].device_kind}",
    }


def _store(folder: Path, trained: Fit) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "encoder.safetensors", flatten_variables(trained.encoder))
    statistics = {f"target_{k}": v for k, v in trained.statistics._asdict().items()}
    write_safetensors(folder / "head.safetensors", {**trained.head, **statistics})
    lines = (
        json.dumps({"step": step + 1, "loss": round(float(loss), 6)})
        for step, loss in enumerate(trained.losses)
    )
    write_text(folder / "losses.jsonl", "\n".join(lines) + "\n")
