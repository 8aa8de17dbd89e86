"""Trains the networks of the zoo `mini`; see README.md beside this file.

python -m experiments.mini_taskonomy.main --output runs/mini --package
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import depara_jax
from experiments.common.cells import Cells
from experiments.common.run import command, progress
from experiments.common.tables import markdown
from experiments.mini_taskonomy.cells import trained_cell
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import load_data
from experiments.mini_taskonomy.package import check, package
from experiments.mini_taskonomy.tasks import TASKS, task_named

PACKAGED = Path(depara_jax.__file__).parent / "zoo" / "mini"
ZOO = TrainConfig()
QUICK = dataclasses.replace(ZOO, steps=60)


@dataclasses.dataclass(frozen=True)
class Options:
    """The command.

    Attributes:
      output: where the run is kept.
      tasks: what to train for.
      seed: of weights and batches.
      quick: 60 steps, to see that everything runs.
      package: write the networks that beat both baselines as a zoo, by default the packaged one.
      check: compare with the packaged zoo; exit 1 if worse.
    """

    output: Path
    tasks: tuple[str, ...] = tuple(TASKS)
    seed: int = 0
    quick: bool = False
    package: Path | None = dataclasses.field(
        default=None, metadata={"nargs": "?", "const": PACKAGED}
    )
    check: bool = False


def _main(options: Options, console: Console, **changes: Any) -> int:
    config = dataclasses.replace(QUICK if options.quick else ZOO, **changes)
    results = run(options.tasks, options.seed, config, options.output, console)
    console.print("validation patches (nmse: lower is better; accuracy: higher)\n")
    console.print("\n".join(table(results)), soft_wrap=True)
    if options.package is not None:
        facts = package(results, options.output, options.package)
        console.print(f"{len(facts['networks'])} networks in {options.package}")
    if not options.check:
        return 0
    rows = check(results)
    console.print("retrained against the zoo\n")
    console.print("\n".join(check_table(rows)), soft_wrap=True)
    return 0 if all(row["ok"] for row in rows) else 1


def run(
    tasks: Sequence[str], seed: int, config: TrainConfig, output: Path, console: Console
) -> list[dict[str, Any]]:
    """Trains what is not there yet; returns one result a task, in order."""
    wanted = [task_named(name) for name in tasks]
    cells, data = Cells(output, "mini_taskonomy"), functools.cache(load_data)
    with progress(console) as report:
        return [trained_cell(cells, task, seed, config, data, report) for task in wanted]


def table(results: Sequence[dict[str, Any]]) -> list[str]:
    """What was learnt, against what needs no learning."""
    rows = []
    for result in results:
        numbers = [f"{result['validation'][k]:.3f}" for k in ("trivial", "random", "trained")]
        seconds = f"{result['seconds']['trained']:.0f} + {result['seconds']['random']:.0f}"
        kept = "yes" if result["packaged"] else "no"
        rows.append([result["task"], result["metric"], *numbers, seconds, kept])
    head = ["task", "metric", "trivial", "random encoder", "trained", "seconds", "kept"]
    return markdown(head, rows)


def check_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """The retrained networks beside the zoo's."""
    rows = [
        [row["task"], row["metric"], *(f"{row[k]:.3f}" for k in ("zoo", "new", "allowed")),
         "ok" if row["ok"] else "WORSE"]
        for row in results
    ]  # fmt: skip
    return markdown(["task", "metric", "zoo", "retrained", "allowed", "result"], rows)


main = functools.partial(
    command, "mini_taskonomy", _main, Options, config=TrainConfig, fields=("steps",),
    about="Train one encoder a task on the packaged photographs. Finished tasks are skipped, "
    "so a run that was stopped goes on where it was.",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
