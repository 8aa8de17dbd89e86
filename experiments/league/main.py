"""Measured transfer between small tasks, and every estimator scored on it; see README.md.

python -m experiments.league.main --output runs/league
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from depara_jax.errors import DeparaError, UnknownNameError
from experiments.league.collect import collect
from experiments.league.config import FULL, QUICK, StudyConfig
from experiments.league.data import ON_PACKAGED_ONLY, Images, load_images
from experiments.league.encoders import load_encoder, train_encoders
from experiments.league.finetune import fine_tune
from experiments.league.methods import METHODS
from experiments.league.report import write_report
from experiments.league.results import load_results, save_results
from experiments.league.scores import compute_matrices, probe_sweep
from experiments.league.truth import measure_transfer
from experiments.mini_taskonomy.tasks import TASKS, task_named

__all__ = ["main"]

STAGES = ("encoders", "transfer", "scores", "fine-tune", "report")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(argv)
    console = Console(highlight=False, width=160)
    try:
        if args.from_results:
            write_report(load_results(Path(args.from_results)), Path(args.output))
        else:
            _run(args, console)
        console.print(f"tables.md and figures/ in {args.output}")
    except DeparaError as error:
        sys.stderr.write(f"league: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _run(args: argparse.Namespace, console: Console) -> None:
    until = _stage(args.until)
    # See `truth._features`: programs in flight at once can wait for each other for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    config = configuration(args)
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeparaError(f"--output {output}: cannot be made ({error.strerror})") from error
    images = load_images(args.data, probe_images=config.most_probe_images)
    data, mark = (images.train, images.validation), images.fingerprint
    clock = _Clock(console)
    trained = train_encoders(config, data, output, clock.line, fingerprint=mark)
    clock.end("encoders")
    if until == 0:
        return
    transfer = measure_transfer(config, data, output, clock.line, fingerprint=mark)
    clock.end("transfer")
    if until == 1:
        return
    matrices = compute_matrices(
        config, images.probe, output, clock.line, domains=args.data == "photographs"
    )
    sweep = probe_sweep(config, images.probe, output, clock.line)
    clock.end("scores")
    if until == 2:
        return
    meta = _meta(args, config, images, output)
    stored = {
        "encoders, sum of wall seconds": sum(one["seconds"] for one in trained.values()),
        "transfer, sum of wall seconds": sum(one.seconds for one in transfer.values()),
    }
    tuned: dict[tuple[str, str], float] = {}
    # Once without the fine-tuned pairs, so that tables are there while these are made.
    for last in (False, True):
        if last:
            tuned = fine_tune(config, data, output, clock.line, fingerprint=mark)
            clock.end("fine-tune")
        meta["seconds"] = {k: round(v) for k, v in stored.items()} | clock.seconds
        results = collect(config, trained, transfer, matrices, sweep, tuned, meta)
        league_keys = tuple(key for method in METHODS for key, _ in method.parts)
        save_results(output / "results.npz", results, across=league_keys)
        if until > 3 and (last or not args.quick):
            # From the file, so that what is shown is what anybody gets from it.
            write_report(load_results(output / "results.npz"), output)
            clock.end("report")


class _Clock:
    """Lines with the wall and processor time, and what each stage took in this process."""

    def __init__(self, console: Console):
        self.console, self.wall, self.cpu = console, time.perf_counter(), time.process_time()
        self.start, self.seconds = self.wall, {}

    def line(self, text: str) -> None:
        now = time.perf_counter() - self.start
        self.console.print(f"{now:7.0f} s, {time.process_time():7.0f} s of processor: {text}")

    def end(self, stage: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        spent = f"{wall - self.wall:.0f} (processor {cpu - self.cpu:.0f})"
        self.seconds[f"{stage}, this process"] = spent
        self.wall, self.cpu = wall, cpu


def configuration(args: argparse.Namespace) -> StudyConfig:
    """The full or the quick study with what the command line changes."""
    config = QUICK if args.quick else FULL
    changes: dict[str, Any] = {}
    for field in ("seeds", "steps"):
        if getattr(args, field) is not None:
            changes[field] = getattr(args, field)
    if args.tasks:
        changes["tasks"] = tuple(name.strip() for name in args.tasks.split(","))
        for name in changes["tasks"]:
            task_named(name)
    elif args.data != "photographs":
        kept = [name for name in config.tasks if name not in ON_PACKAGED_ONLY]
        spare = [name for name in TASKS if name not in (*kept, *ON_PACKAGED_ONLY)]
        changes["tasks"] = tuple(kept + spare[: max(0, len(config.tasks) - len(kept))])
    for name in ON_PACKAGED_ONLY:
        if args.data != "photographs" and name in changes.get("tasks", ()):
            raise DeparaError(f"--tasks {name}: only the packaged photographs have it")
    return dataclasses.replace(config, **changes)


def _stage(name: str) -> int:
    if name not in STAGES:
        raise UnknownNameError("stage", name, STAGES)
    return STAGES.index(name)


def _meta(
    args: argparse.Namespace, config: StudyConfig, images: Images, output: Path
) -> dict[str, Any]:
    counts = {}
    for architecture, _ in config.architectures:
        first = next(e for e in config.encoders if e.architecture == architecture)
        leaves = jax.tree.leaves(load_encoder(config, output, first).variables)
        counts[architecture] = int(sum(np.size(leaf) for leaf in leaves))
    return {
        "command": "python -m experiments.league.main --output OUT"
        + (" --quick" if args.quick else "")
        + (f" --data {args.data}" if args.data != "photographs" else ""),
        "backend": f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {os.cpu_count()} cores",
        "images": f"{len(images.train.images)} training, {len(images.validation.images)} "
        f"validation and {len(images.probe)} probe patches ({images.fingerprint})",
        "parameters": counts,
        "config": config.to_json(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.league.main",
        description="Train encoders, measure transfer between all tasks, score every estimator. "
        "What is finished is skipped, so a run that was stopped goes on where it was.",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument(
        "--data", default="photographs", metavar="IMAGES",
        help="photographs (packaged), tfds:NAME:SPLIT, or a folder, list or array file",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a tiny study, to see that it runs")
    parser.add_argument("--tasks", metavar="A,B", help="tasks of mini_taskonomy, at least 4")
    parser.add_argument("--seeds", type=int, metavar="N", help="encoders a task and architecture")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps of an encoder")
    parser.add_argument(
        "--until",
        default=STAGES[-1],
        metavar="STAGE",
        help=f"stop after one of {', '.join(STAGES)}",
    )
    parser.add_argument(
        "--from-results", metavar="FILE", help="make tables and figures of a results.npz alone"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
