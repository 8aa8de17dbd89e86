"""Does graph similarity predict transfer from a layer? See README.md beside this file.

python -m experiments.layer_study.main --shared ../shared/data --fashion F --output runs/layer_study
python -m experiments.layer_study.main --report          # tables and figure from results.json alone
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from depara_jax.errors import DeparaError
from depara_jax.files import check_writable
from experiments.common.cells import Cells, write_json
from experiments.common.domain import Domain
from experiments.common.run import command
from experiments.layer_study.analysis import certain
from experiments.layer_study.cells import load_source, target_network, transfer_cells
from experiments.layer_study.config import StudyConfig
from experiments.layer_study.data import load_target, split_target
from experiments.layer_study.evidence import layer_evidence

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"


@dataclasses.dataclass(frozen=True)
class Options:
    """The command.

    Attributes:
      shared: the data folder with images/ and zoo/.
      fashion: folder of Fashion-MNIST's .gz files (Debian).
      output: folder where the cells are kept.
      results: the file that tables and figures are made of.
      figures: where figures go.
      finished: run no transfer: collect the finished pairs.
      report: only tables and figures.
    """

    shared: Path | None = None
    fashion: Path | None = None
    output: Path | None = None
    results: Path = RESULTS
    figures: Path = HERE
    finished: bool = False
    report: bool = False


def _main(options: Options, console: Console, **changes: Any) -> None:
    from experiments.layer_study.report import write_report

    if not options.report:
        if options.shared is None or options.output is None:
            raise DeparaError("give --shared FOLDER and --output FOLDER, or --report")
        check_writable(options.results, "--results", (".json",))
        found = run(
            StudyConfig(**changes), shared=options.shared, fashion=options.fashion,
            output=options.output, console=console, finished_only=options.finished,
        )  # fmt: skip
        write_json(options.results, found, compact=True)
    for line in write_report(options.results, options.figures):
        console.print(line, soft_wrap=True)


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
    cells = Cells(output, "layer_study", config.fixed())
    targets = {}
    for name in config.targets:
        examples = load_target(name, shared=shared, fashion=fashion)
        sizes = {**dict(config.fractions), "full": 1.0}
        split = split_target(examples)
        targets[name] = Domain(name, examples, split, sizes, "probe", config.probe_images)
    records: dict[str, Any] = {name: {} for name in targets}
    settings = []
    for source_name, target_name in config.pairs():
        target, source = targets[target_name], load_source(source_name, shared / "zoo")
        transfer = transfer_cells(
            source_name, source, target, config, cells, console, finished_only=finished_only
        )
        if transfer is None:
            console.print(f"left out: {source_name} to {target_name} is not finished")
            continue
        networks = {}
        for size in ("full", *dict(config.fractions)):
            networks[size], records[target_name][size] = target_network(
                target, size, config, cells, console
            )
        evidence, drawn = layer_evidence(source_name, source, target, networks, config, cells)
        setting = {"source": source_name, "target": target_name, **transfer, **evidence}
        settings.append({**setting, "certain": certain(setting, drawn)})
    if not settings:
        raise DeparaError(f"{output} holds no finished pair; run the study without --finished")
    return {
        "config": config.fixed(),
        "targets": {name: found for name, found in records.items() if found},
        "settings": settings,
    }


main = functools.partial(
    command, "layer_study", _main, Options, config=StudyConfig, fields=("sources", "targets"),
    about="Transfer from every block of a few networks to real targets, and what predicts "
    "which block was best. Finished cells are kept.",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
