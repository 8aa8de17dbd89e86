"""Table 1 and the curves of both papers, from a folder of weights and a folder of images.

python -m experiments.taskonomy.main --weights W --images I --list imlist.txt --output OUT
python -m experiments.taskonomy.main --dry-run --output OUT
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from depara_jax.data import load_probe
from depara_jax.errors import DeparaError
from depara_jax.models.taskonomy import TASKS, TaskonomyConfig
from depara_jax.recipe import RECIPES
from experiments.taskonomy import cells, pool, results
from experiments.taskonomy.config import ESTIMATORS, PROBE_SETS, ExperimentConfig

__all__ = ["DRY_RUN", "main", "run"]

# Random weights, five narrow bottlenecks instead of sixteen, 32 pixels: seconds, not hours.
DRY_RUN = ExperimentConfig(
    size=32,
    network=TaskonomyConfig(stem_width=4, widths=(2, 3, 4, 5), units=(2, 1, 1, 1)),
    chunk=4,
)
DRY_RUN_IMAGES = 10
PAPER_GPU_HOURS = 20  # both papers, 20 models and 1,000 images on a Quadro P5000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        _main(args, console)
    except DeparaError as error:
        sys.stderr.write(f"taskonomy: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _main(args: argparse.Namespace, console: Console) -> None:
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    config = configuration(args)
    started = time.perf_counter()
    if args.dry_run:
        models = pool.random_pool(config)
        probe = load_probe("photographs", count=args.count or DRY_RUN_IMAGES)
        weights = {task: f"random:{i}" for i, task in enumerate(TASKS)}
    else:
        if args.weights is None or args.images is None:
            raise DeparaError("give --weights FOLDER and --images FOLDER, or --dry-run")
        listed = None if args.list is None else Path(args.list)
        paths = pool.find_weights(Path(args.weights))
        models = pool.load_pool(paths, config)
        probe = pool.probe_of(Path(args.images), listed, args.count, output)
        weights = {name: pool.weights_digest(path) for name, path in paths.items()}
    summary = run(models, probe, config, weights, output, args.probe_set, console)
    summary["wall_seconds"] = round(time.perf_counter() - started, 1)
    text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    cells.write_atomically(output / "results.json", text.encode())
    report(summary, output, console)


def configuration(args: argparse.Namespace) -> ExperimentConfig:
    """The defaults with what the command line changes."""
    config = DRY_RUN if args.dry_run else ExperimentConfig()
    lam = args.lam
    if lam is None and args.probe_set is not None:
        lam = PROBE_SETS[args.probe_set].lam
    changes: dict[str, Any] = {"lam": lam}
    for field in ("recipes", "estimators"):
        if getattr(args, field) is not None:
            changes[field] = tuple(filter(None, getattr(args, field).split(",")))
    for field in ("chunk", "batch"):
        if getattr(args, field) is not None:
            changes[field] = getattr(args, field)
    return dataclasses.replace(config, **changes)


def run(
    models: list,
    probe: Any,
    config: ExperimentConfig,
    weights: dict[str, str],
    output: Path,
    probe_set: str | None,
    console: Console,
) -> dict[str, Any]:
    """Computes what is missing, then scores; returns what results.json holds."""
    digest = config.digest(probe=probe.fingerprint, weights=weights)
    record = {"digest": digest, "probe": probe.fingerprint, "images": len(probe)}
    cells.check_run(output, record | {"weights": weights, "config": dataclasses.asdict(config)})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        update = _updater(bar, "graphs of all networks")
        cells.compute_cells(models, probe, config, output, update)
        evidence = cells.collect(models, probe, config, output)
        matrices = results.similarities(evidence, config, output, _updater(bar, "estimators"))
    results.similarity_file(matrices, evidence.names, output / "similarity.npz")
    scored = results.evaluate_methods(matrices, evidence.names)
    rows = results.table1(matrices, evidence.names, probe_set)
    cells.write_atomically(output / "table1.md", results.markdown(rows).encode())
    title = f"{len(evidence.names)} networks, {len(probe)} images, 18 targets"
    results.write_curves(scored, output, title)
    return {
        **record,
        "table1": rows,
        "methods": {name: result.to_json() for name, result in scored.items()},
        "undecided_at_5": [list(names) for names in results.undecided(scored)],
        "seconds_a_model_and_image": {k: round(v, 5) for k, v in evidence.seconds.items()},
        "backend": f"jax {jax.__version__}, {jax.devices()[0].device_kind}",
    }


def _updater(bar: Progress, what: str):
    line = bar.add_task(what)
    return lambda done, total: bar.update(line, completed=done, total=total)


def report(summary: dict[str, Any], output: Path, console: Console) -> None:
    """Table 1 and what the whole experiment would take."""
    table = Table(title="Table 1: means over 17 targets")
    for column in ("method", "P@1", "P@5 = R@5"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in summary["table1"]:
        table.add_row(row["method"], f"{row['P@1']:.2f}", f"{row['P@5']:.2f}")
    console.print(table)
    for name, seconds in summary["seconds_a_model_and_image"].items():
        hours = seconds * 20 * 1000 / 3600
        whole = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        console.print(
            f"maps of {name!r}: {seconds:.4f} s a (model, image) on {summary['backend']}; 20 "
            f"models x 1,000 images at this size and width: {whole} (the papers: "
            f"{PAPER_GPU_HOURS} GPU hours)"
        )
    console.print(f"results.json, table1.md, curves.png and similarity.npz in {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.taskonomy.main",
        description="Both papers' task-transfer experiment. What is computed is kept: a run that "
        "was stopped goes on where it was; other lambdas or estimators cost no new maps.",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument("--weights", metavar="FOLDER", help="the twenty encoders")
    parser.add_argument("--images", metavar="FOLDER", help="the probe images, or what --list names")
    parser.add_argument("--list", metavar="FILE", help="an image a line, e.g. the authors' imlist")
    parser.add_argument("--count", type=int, metavar="N", help="take the first N images")
    parser.add_argument(
        "--probe-set", choices=sorted(PROBE_SETS), help="which one it is: the authors' lambda "
        "for it, and Table 1's printed numbers beside ours",
    )  # fmt: skip
    parser.add_argument("--lam", type=float, metavar="X", help="lambda of the two-term recipes")
    parser.add_argument("--recipes", metavar="A,B", help=f"some of {', '.join(RECIPES)}")
    parser.add_argument("--estimators", metavar="A,B", help=f"some of {', '.join(ESTIMATORS)}")
    parser.add_argument("--chunk", type=int, metavar="N", help="images a cell (default: 20)")
    parser.add_argument("--batch", type=int, metavar="N", help="images a step (default: 4)")
    parser.add_argument(
        "--dry-run", action="store_true",
        help=f"{len(TASKS)} narrow networks with random weights on {DRY_RUN_IMAGES} packaged "
        f"photographs at {DRY_RUN.size} pixels",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
