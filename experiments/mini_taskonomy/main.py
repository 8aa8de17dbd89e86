"""Trains the networks of the zoo `mini`; see README.md beside this file.

python -m experiments.mini_taskonomy.main --output runs/mini --package
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import depara_jax
from depara_jax.errors import DeparaError
from experiments.mini_taskonomy.cells import read_result, run_cell
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import load_data
from experiments.mini_taskonomy.package import check, package
from experiments.mini_taskonomy.tasks import TASKS, task_named

__all__ = ["main", "run"]

PACKAGED = Path(depara_jax.__file__).parent / "zoo" / "mini"
QUICK_STEPS = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment; returns the exit code: 0, 1 if a check failed, 2 for bad input."""
    args = _parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        return _main(args, console)
    except DeparaError as error:
        sys.stderr.write(f"mini_taskonomy: {' '.join(str(error).split())}\n")
        return 2


def _main(args: argparse.Namespace, console: Console) -> int:
    config = configuration(QUICK_STEPS if args.quick and args.steps is None else args.steps)
    names = args.tasks.split(",") if args.tasks else list(TASKS)
    tasks = [task_named(name.strip()).name for name in names]
    results = run(tasks, seed=args.seed, config=config, output=Path(args.output), console=console)
    console.print(table(results))
    if args.package is not None:
        facts = package(results, Path(args.output), Path(args.package))
        console.print(f"{len(facts['networks'])} networks in {args.package}")
    if args.check:
        rows = check(results)
        console.print(check_table(rows))
        return 0 if all(row["ok"] for row in rows) else 1
    return 0


def configuration(steps: int | None) -> TrainConfig:
    """The zoo's configuration, with another number of steps unless that is None."""
    return TrainConfig() if steps is None else dataclasses.replace(TrainConfig(), steps=steps)


def run(
    tasks: Sequence[str], *, seed: int, config: TrainConfig, output: Path, console: Console
) -> list[dict[str, Any]]:
    """Trains what is not there yet; returns one result a task, in order."""
    data = None
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        for name in tasks:
            result = read_result(output, name, seed, config)
            if result is None:
                data = data or load_data()
                line = bar.add_task(name, total=2 * config.steps)

                def on_progress(role, done, loss, line=line, name=name):
                    first = 0 if role == "trained" else config.steps
                    text = f"{name} ({role}, loss {loss:.3f})"
                    bar.update(line, completed=first + done, description=text)

                result = run_cell(task_named(name), seed, data, config, output, on_progress)
            results.append(result)
    return results


def table(results: Sequence[dict[str, Any]]) -> Table:
    """What was learnt, against what needs no learning."""
    out = Table(title="validation patches (nmse: lower is better; accuracy: higher)")
    out.add_column("task", no_wrap=True)
    out.add_column("metric")
    for column in ("trivial", "random", "trained", "seconds"):
        out.add_column(column, justify="right")
    out.add_column("kept")
    for result in results:
        numbers = [f"{result['validation'][k]:.3f}" for k in ("trivial", "random", "trained")]
        seconds = f"{result['seconds']['trained']:.0f} + {result['seconds']['random']:.0f}"
        kept = "yes" if result["packaged"] else "no"
        out.add_row(result["task"], result["metric"], *numbers, seconds, kept)
    return out


def check_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The retrained networks beside the zoo's."""
    out = Table(title="retrained against the zoo")
    for column in ("task", "metric", "zoo", "retrained", "allowed", "result"):
        out.add_column(column, justify="left" if column in ("task", "metric") else "right")
    for row in rows:
        numbers = [f"{row[key]:.3f}" for key in ("zoo", "new", "allowed")]
        out.add_row(row["task"], row["metric"], *numbers, "ok" if row["ok"] else "WORSE")
    return out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.mini_taskonomy.main",
        description="Train one encoder a task on the packaged photographs. Finished tasks are "
        "skipped, so a run that was stopped goes on where it was.",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument(
        "--tasks", metavar="A,B", help=f"some of: {', '.join(TASKS)} (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    parser.add_argument("--steps", type=int, help=f"(default: {TrainConfig.steps})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_STEPS} steps, to see that everything runs"
    )
    parser.add_argument(
        "--package", nargs="?", const=str(PACKAGED), metavar="FOLDER",
        help="write the networks that beat both baselines as a zoo (default: the packaged one)",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="compare with the packaged zoo; exit 1 if worse"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
