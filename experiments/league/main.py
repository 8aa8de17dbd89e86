"""Measured transfer between small tasks, and every estimator scored on it; see README.md.

python -m experiments.league.main --output runs/league
"""

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

from depara_jax.errors import DeparaError
from experiments.common.cells import Cells
from experiments.common.run import command
from experiments.league.collect import collect
from experiments.league.config import FULL, QUICK, Encoder, StudyConfig
from experiments.league.data import ON_PACKAGED_ONLY, load_images
from experiments.league.encoders import Run, fine_tune, load_encoder, train_encoders
from experiments.league.methods import MATRICES
from experiments.league.report import write_report
from experiments.league.results import load_results, save_results
from experiments.league.scores import compute_matrices, probe_sweep
from experiments.league.truth import measure_transfer
from experiments.mini_taskonomy.tasks import TASKS, task_named

STAGES = ("encoders", "transfer", "scores", "fine-tune", "report")
PHOTOGRAPHS = "photographs"


@dataclasses.dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
      output: where the run is kept.
      data: photographs (packaged), tfds:NAME:SPLIT, or a folder, list or array file.
      quick: a tiny study, to see that it runs.
      until: the stage to stop after.
      from_results: make tables and figures of this results.npz alone.
    """

    output: Path
    data: str = PHOTOGRAPHS
    quick: bool = False
    until: str = dataclasses.field(default=STAGES[-1], metadata={"choices": STAGES})
    from_results: Path | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment; returns the exit code: 0, or 2 for bad input."""
    about = (
        "Train encoders, measure transfer between all tasks, score every estimator. What is "
        "finished is skipped, so a run that was stopped goes on where it was."
    )
    fields = ("tasks", "seeds", "steps")
    return command("league", _work, Options, argv, about=about, config=StudyConfig, fields=fields)


def _work(options: Options, console: Console, **changes: Any) -> None:
    console.width = 160
    if options.from_results:
        write_report(load_results(options.from_results), options.output)
    else:
        _run(options, configuration(options, changes), console)
    console.print(f"tables.md and figures/ in {options.output}")


def _run(options: Options, config: StudyConfig, console: Console) -> None:
    # See `truth._features`: programs in flight at once can wait for each other for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    clock = _Clock(console, options.until)
    images = load_images(options.data, probe_images=config.most_probe_images)
    cells = Cells(options.output, "league")  # after the images: it may be in their folder
    run = Run(config, images, cells, clock.line)
    trained = train_encoders(run)
    if clock.ends("encoders"):
        return
    transfer = measure_transfer(run)
    if clock.ends("transfer"):
        return
    matrices = compute_matrices(run, domains=options.data == PHOTOGRAPHS)
    sweep = probe_sweep(run)
    if clock.ends("scores"):
        return
    meta = _meta(options, run)
    stored = {
        "encoders, sum of wall seconds": sum(one["seconds"] for one in trained.values()),
        "transfer, sum of wall seconds": sum(one.seconds for one in transfer.values()),
    }
    tuned: dict[tuple[str, str], float] = {}
    # Once without the fine-tuned pairs, so that tables are there while these are made.
    for last in (False, True):
        if last:
            tuned = fine_tune(run)
            clock.ends("fine-tune")
        meta["seconds"] = {k: round(v) for k, v in stored.items()} | clock.seconds
        results = collect(config, trained, transfer, matrices, sweep, tuned, meta)
        save_results(cells.path("results.npz"), results, across=MATRICES)
        if options.until == STAGES[-1] and (last or not options.quick):
            # From the file, so that what is shown is what anybody gets from it.
            write_report(load_results(cells.path("results.npz")), options.output)
            clock.ends("report")


class _Clock:
    """Lines with the wall and processor time, and what each stage took in this process."""

    def __init__(self, console: Console, until: str):
        self.console, self.until, self.seconds = console, until, {}
        self.start, *self.last = time.perf_counter(), time.perf_counter(), time.process_time()

    def line(self, text: str) -> None:
        now = time.perf_counter() - self.start
        self.console.print(f"{now:7.0f} s, {time.process_time():7.0f} s of processor: {text}")

    def ends(self, stage: str) -> bool:
        """Notes what the stage took; whether it is the last one that is wanted."""
        now = time.perf_counter(), time.process_time()
        wall, cpu = np.subtract(now, self.last)
        self.seconds[f"{stage}, this process"] = f"{wall:.0f} (processor {cpu:.0f})"
        self.last = list(now)
        return stage == self.until


def configuration(options: Options, changes: dict[str, Any]) -> StudyConfig:
    """The full or the quick study with what the command line changes."""
    config = QUICK if options.quick else FULL
    other = options.data != PHOTOGRAPHS
    if other and "tasks" not in changes:
        kept = [name for name in config.tasks if name not in ON_PACKAGED_ONLY]
        spare = [name for name in TASKS if name not in (*kept, *ON_PACKAGED_ONLY)]
        changes["tasks"] = tuple(kept + spare[: max(0, len(config.tasks) - len(kept))])
    for name in changes.get("tasks", ()):
        task_named(name)
        if other and name in ON_PACKAGED_ONLY:
            raise DeparaError(f"--tasks {name}: only the packaged photographs have it")
    return dataclasses.replace(config, **changes)


def _meta(options: Options, run: Run) -> dict[str, Any]:
    config, images = run.config, run.images
    train, validation = images.data
    counts = {}
    for architecture, _ in config.architectures:
        model = load_encoder(run, Encoder(config.tasks[0], architecture, 0))
        counts[architecture] = int(sum(map(np.size, jax.tree.leaves(model.variables))))
    return {
        "command": "python -m experiments.league.main --output OUT"
        + (" --quick" if options.quick else "")
        + (f" --data {options.data}" if options.data != PHOTOGRAPHS else ""),
        "backend": f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {os.cpu_count()} cores",
        "images": f"{len(train.images)} training, {len(validation.images)} "
        f"validation and {len(images.probe)} probe patches ({images.fingerprint})",
        "parameters": counts,
        "config": dataclasses.asdict(config),
    }


if __name__ == "__main__":
    sys.exit(main())
