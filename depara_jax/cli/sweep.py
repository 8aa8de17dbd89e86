"""`depara sweep`: graphs of many models into a store."""

import argparse
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax.errors import DeparaError
from depara_jax.sweep.preemption import EXIT_CODE, PreemptedError, preemptible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("plan", metavar="PLAN.toml", help="models, layers, recipes, probe sets")
    parser.add_argument("--store", required=True, help="a folder, or gs://BUCKET/FOLDER")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local",
        help="local: this process (with --distributed: this job); ray: a task a model",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan, its cost and what is there already"
    )
    parser.add_argument(
        "--distributed", action="store_true",
        help="one process of a job on several hosts; on TPU slices and under Slurm the rest is "
        "found by itself, elsewhere give the next three",
    )  # fmt: skip
    parser.add_argument("--coordinator", metavar="HOST:PORT")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int, help="number of this process, from 0")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs or describes the plan."""
    from depara_jax.sweep.job import join_job

    _check_options(args)
    plan = depara_jax.sweep.read_plan(args.plan)
    if args.dry_run:
        return _dry_run(plan, args, console)
    job = None
    if args.distributed:
        job = join_job(coordinator=args.coordinator, processes=args.processes, process=args.process)
    engine = None
    if args.engine == "ray":
        from depara_jax.sweep.ray_engine import ray_engine as engine
    with preemptible(job=job) as check:
        try:
            store = depara_jax.store.Store(args.store, create=True)
            result = depara_jax.sweep.run_sweep(
                plan, store, engine=engine, check=check, show=lambda *a: _show(console, *a)
            )
        except PreemptedError:
            sys.stderr.write("depara sweep: stopped by SIGTERM; start it again to go on\n")
            sys.exit(EXIT_CODE)
    summary = result.summary()
    console.print(", ".join(f"{key} {value}" for key, value in summary.items()))
    if result.path:
        console.print(f"results: {result.path}")
    rows = [row._asdict() | {"seconds": round(row.seconds, 3)} for row in result.rows]
    return summary | {"rows": rows, "results": result.path, "provenance": plan_facts(plan)}


def plan_facts(plan: Any) -> dict[str, Any]:
    """What a plan's numbers depend on; fingerprints and weights stand in its rows."""
    return {
        "plan": plan.digest,
        "recipes": {recipe.name: recipe.to_dict() for recipe in plan.recipes},
        "dtype": "float32",
    }


def exit_code(result: dict[str, Any]) -> int:
    """3 if any model failed."""
    return 3 if result.get("failed") else 0


def _check_options(args: argparse.Namespace) -> None:
    by_hand = (args.coordinator, args.processes, args.process)
    if any(value is not None for value in by_hand) and not args.distributed:
        raise DeparaError("--coordinator, --processes and --process serve --distributed")
    if any(value is not None for value in by_hand) and None in by_hand:
        raise DeparaError("give --coordinator, --processes and --process together, or none of them")
    if args.distributed and args.engine == "ray":
        raise DeparaError("--distributed is one job on many hosts, --engine ray many jobs; choose")


def _show(console: Console, done: int, total: int, row: Any, left: float | None) -> None:
    """One line an item: a log file has use for it as much as a terminal."""
    rest = f"; about {_duration(left)} left" if left else ""
    outcome = f"failed: {row.reason}" if row.status == "failed" else row.status
    console.print(f"[{done}/{total}] {row.model} {row.recipe}: {outcome} "
                  f"({row.seconds:.1f} s{rest})")  # fmt: skip
    for note in row.notes:
        console.print(f"  {note}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _dry_run(plan: Any, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from depara_jax.sweep.estimate import check_store_exists, estimate_sweep

    result = estimate_sweep(plan, check_store_exists(args.store))
    table = Table(caption=f"{len(result['items'])} items, {result['to_compute']} to compute")
    for column in ("model", "recipe", "probe", "there", "missing"):
        table.add_column(column, overflow="fold")
    for row in result["items"]:
        missing = row["would_fail"] or str(row["missing"])
        table.add_row(row["model"], row["recipe"], row["probe"][:12], str(row["there"]), missing)
    console.print(table)
    estimate = result["estimate"]
    cost = estimate["from"]
    if estimate["seconds"] is not None:
        size = f"{estimate['bytes'] / 2**20:.1f} MiB"
        cost = f"{_duration(estimate['seconds'])} and {size} ({cost})"
    console.print(f"estimate: {cost}")
    return result
