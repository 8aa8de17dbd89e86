"""One cell of a run: a task and a seed, trained, measured against its baselines and stored.

A cell's folder holds encoder.safetensors, head.safetensors, losses.jsonl and result.json. The
result is written last, in one piece, so a cell with a result of the right digest is finished and is
skipped.
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.models.port import flatten_variables
from depara_jax.weights.readers import write_safetensors
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.evaluation import Scores, evaluate, trivial_scores
from experiments.mini_taskonomy.tasks import Task
from experiments.mini_taskonomy.train import Fit, fit

__all__ = ["beats", "cell_folder", "read_result", "run_cell", "write_text"]

# Standard errors of the mean paired difference over the validation patches.
Z_NEEDED = 3.0

Progress = Callable[[str, int, float], None]


def cell_folder(output: Path, task: str, seed: int) -> Path:
    """Where a cell is stored."""
    return output / task / f"seed{seed}"


def read_result(output: Path, task: str, seed: int, config: TrainConfig) -> dict[str, Any] | None:
    """The result of a finished cell, or None if it has to be (re)computed."""
    path = cell_folder(output, task, seed) / "result.json"
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeparaError(
            f"{path} is not JSON ({error}); delete it to train the cell anew"
        ) from error
    return result if result.get("digest") == config.digest(task, seed) else None


def run_cell(
    task: Task,
    seed: int,
    data: tuple[Data, Data],
    config: TrainConfig,
    output: Path,
    on_progress: Progress,
) -> dict[str, Any]:
    """Trains the cell's network and its control, measures and stores them.

    The control is the same head trained for as many steps on the same network left as it was drawn.

    Args:
      task: what to learn.
      seed: of the weights and batches.
      data: training and validation patches.
      config: sizes and optimiser.
      output: the run's folder.
      on_progress: called with "trained" or "random", the steps done and the mean loss of late.

    Returns:
      What result.json holds.
    """
    train, validation = data
    folder = cell_folder(output, task.name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"trivial": trivial_scores(task, train, validation)}
    seconds, fits = {}, {}
    for role, frozen in (("trained", False), ("random", True)):
        start = time.perf_counter()
        fits[role] = fit(
            task,
            train,
            config,
            jax.random.key(seed),
            frozen=frozen,
            on_chunk=lambda done, losses, role=role: on_progress(role, done, float(losses.mean())),
        )
        seconds[role] = time.perf_counter() - start
        scores[role] = evaluate(task, fits[role], validation, config)
        if not math.isfinite(scores[role].loss):
            raise DeparaError(
                f"task {task.name}, seed {seed}: the {role} network's validation loss is not "
                f"finite after {config.steps} steps; lower the learning rate"
            )
    result = _result(task, seed, config, scores, seconds, fits["trained"])
    _store(folder, fits["trained"], result)
    return result


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
        "digest": config.digest(task.name, seed),
        "task": task.name,
        "family": task.family,
        "kind": task.kind,
        "seed": seed,
        "config": config.to_json(),
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


def _store(folder: Path, trained: Fit, result: dict[str, Any]) -> None:
    write_safetensors(folder / "encoder.safetensors", flatten_variables(trained.encoder))
    statistics = {f"target_{k}": v for k, v in trained.statistics._asdict().items()}
    write_safetensors(folder / "head.safetensors", {**trained.head, **statistics})
    lines = (
        json.dumps({"step": step + 1, "loss": round(float(loss), 6)})
        for step, loss in enumerate(trained.losses)
    )
    write_text(folder / "losses.jsonl", "\n".join(lines) + "\n")
    write_text(folder / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DeparaError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
