"""Does graph similarity predict transfer from a layer? See README.md beside this file.

python -m experiments.layer_study.main --shared ../shared/data --fashion F --output runs/layer_study
python -m experiments.layer_study.main --report          # tables and figure from results.json alone
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from depara_jax.errors import DeparaError
from depara_jax.files import check_writable, write_atomically
from depara_jax.training import RunFolder
from experiments.layer_study.analysis import certain
from experiments.layer_study.cells import (
    Target,
    is_finished,
    load_source,
    target_network,
    transfer_cells,
)
from experiments.layer_study.config import StudyConfig
from experiments.layer_study.data import load_target
from experiments.layer_study.evidence import layer_evidence

__all__ = ["main", "run"]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the study; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        _main(args, console)
    except DeparaError as error:
        sys.stderr.write(f"layer_study: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _main(args: argparse.Namespace, console: Console) -> None:
    from experiments.layer_study.report import write_report

    results = Path(args.results)
    if not args.report:
        if args.shared is None or args.output is None:
            raise DeparaError("give --shared FOLDER and --output FOLDER, or --report")
        check_writable(results, "--results", (".json",))
        config = _configuration(args)
        found = run(
            config,
            shared=Path(args.shared),
            fashion=None if args.fashion is None else Path(args.fashion),
            output=Path(args.output),
            console=console,
            finished_only=args.finished,
        )
        text = json.dumps(found, indent=None, allow_nan=False, separators=(",", ":")) + "\n"
        write_atomically(results, lambda file: file.write(text.encode()))
    for line in write_report(results, Path(args.figures)):
        console.print(line, soft_wrap=True)


def _configuration(args: argparse.Namespace) -> StudyConfig:
    config = StudyConfig()
    for field in ("sources", "targets"):
        value = getattr(args, field)
        if value is not None:
            names = tuple(filter(None, value.split(",")))
            if not names:
                raise DeparaError(f"--{field} names nothing; name at least one")
            config = dataclasses.replace(config, **{field: names})
    return config


def run(
    config: StudyConfig,
    *,
    shared: Path,
    fashion: Path | None,
    output: Path,
    console: Console,
    finished_only: bool = False,
) -> dict[str, Any]:
    """Computes what is missing; returns what results.json holds.

    With `finished_only` no transfer is run, and pairs that lack one are left out.

    Raises:
      DeparaError: data or weights are missing, or the folder holds another study.
    """
    RunFolder(output, {"study": config.fixed()})
    targets = {
        name: Target(name, load_target(name, shared=shared, fashion=fashion), config)
        for name in config.targets
    }
    sizes = ("full", *(size for size, _ in config.fractions))
    records: dict[str, Any] = {name: {} for name in targets}
    settings = []
    for source_name, target_name in config.pairs():
        target, source = targets[target_name], load_source(source_name, shared / "zoo")
        if finished_only and not is_finished(source_name, source, target, config, output):
            console.print(f"left out: {source_name} to {target_name} is not finished")
            continue
        networks = {}
        for size in sizes:
            networks[size], records[target_name][size] = target_network(
                target, size, output, console.print
            )
        transfer = transfer_cells(source_name, source, target, config, output, console.print)
        evidence = layer_evidence(source_name, source, target, networks, config, output)
        setting = {"source": source_name, "target": target_name, **transfer, **evidence}
        settings.append({**setting, "certain": certain(setting, output)})
    if not settings:
        raise DeparaError(f"{output} holds no finished pair; run the study without --finished")
    return {
        "config": config.fixed(),
        "targets": {name: found for name, found in records.items() if found},
        "settings": settings,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.layer_study.main",
        description="Transfer from every block of a few networks to real targets, and what "
        "predicts which block was best. Finished cells are kept.",
    )
    parser.add_argument("--shared", metavar="FOLDER", help="the data folder with images/ and zoo/")
    parser.add_argument("--fashion", metavar="FOLDER", help="Fashion-MNIST's .gz files (Debian)")
    parser.add_argument("--output", metavar="FOLDER", help="where the cells are kept")
    parser.add_argument("--sources", metavar="A,B", help="(default: all of the study)")
    parser.add_argument("--targets", metavar="A,B", help="(default: all of the study)")
    parser.add_argument(
        "--results", default=str(RESULTS), metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--figures", default=str(HERE), metavar="FOLDER", help="where figures go (default: here)"
    )
    parser.add_argument(
        "--finished", action="store_true", help="run no transfer: collect the finished pairs"
    )
    parser.add_argument("--report", action="store_true", help="only tables and figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
