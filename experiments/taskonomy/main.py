"""Table 1 and the curves of both papers, from a folder of weights and a folder of images.

python -m experiments.taskonomy.main --weights W --images I --list imlist.txt --output OUT
python -m experiments.taskonomy.main --dry-run --output OUT
"""

import dataclasses
import functools
import sys
import time
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from depara_jax.data import Probe, load_probe
from depara_jax.errors import DeparaError
from depara_jax.evaluation import evaluate
from depara_jax.models import Model
from depara_jax.models.taskonomy import TASKS, TaskonomyConfig
from experiments.common.cells import Cells, write_json, write_text
from experiments.common.run import command, progress
from experiments.taskonomy import pool, results
from experiments.taskonomy.cells import collect
from experiments.taskonomy.config import PROBE_SETS, ExperimentConfig

# Random weights, five narrow bottlenecks instead of sixteen, 32 pixels: seconds, not hours.
DRY_RUN = ExperimentConfig(
    size=32, network=TaskonomyConfig(stem_width=4, widths=(2, 3, 4, 5), units=(2, 1, 1, 1)), chunk=5
)
DRY_RUN_IMAGES = 10
PAPER_GPU_HOURS = 20  # both papers, 20 models and 1,000 images on a Quadro P5000


@dataclasses.dataclass(frozen=True)
class Options:
    """The command.

    Attributes:
      output: folder where the run is kept.
      weights: folder with the twenty encoders.
      images: folder with the probe images, or what --list names.
      list: file with an image a line, e.g. the authors' imlist.
      count: take the first N images.
      probe_set: which one it is: the authors' lambda for it, and Table 1's printed numbers beside
        ours.
      dry_run: narrow networks with random weights on ten packaged photographs at 32 pixels.
    """

    output: Path
    weights: Path | None = None
    images: Path | None = None
    list: Path | None = None
    count: int | None = None
    probe_set: str | None = dataclasses.field(
        default=None, metadata={"choices": sorted(PROBE_SETS)}
    )
    dry_run: bool = False


def _main(options: Options, console: Console, **changes: Any) -> None:
    if options.probe_set is not None:
        changes = {"lam": PROBE_SETS[options.probe_set].lam, **changes}
    config = dataclasses.replace(DRY_RUN if options.dry_run else ExperimentConfig(), **changes)
    started = time.perf_counter()
    if options.dry_run:
        models = pool.random_pool(config)
        probe = load_probe("photographs", count=options.count or DRY_RUN_IMAGES)
        weights = {task: f"random:{i}" for i, task in enumerate(TASKS)}
    else:
        if options.weights is None or options.images is None:
            raise DeparaError("give --weights FOLDER and --images FOLDER, or --dry-run")
        paths = pool.find_weights(options.weights)
        models = pool.load_pool(paths, config)
        probe = pool.probe_of(options.images, options.list, options.count)
        weights = {name: pool.weights_digest(path) for name, path in paths.items()}
    summary = run(models, probe, config, weights, options.output, options.probe_set, console)
    summary["wall_seconds"] = round(time.perf_counter() - started, 1)
    write_json(options.output / "results.json", summary)
    _print(summary, options.output, console)


def run(
    models: list[Model],
    probe: Probe,
    config: ExperimentConfig,
    weights: dict[str, str],
    output: Path,
    probe_set: str | None,
    console: Console,
) -> dict[str, Any]:
    """Computes what is missing, then scores; returns what results.json holds."""
    record = {
        "probe": probe.fingerprint, "images": len(probe), "weights": weights,
        "size": config.size, "network": dataclasses.asdict(config.network), "chunk": config.chunk,
    }  # fmt: skip
    cells = Cells(output, "taskonomy", record)
    write_text(output / "images.txt", "".join(f"{id}\n" for id in probe.ids))
    with progress(console) as report:
        evidence = collect(models, probe, config, cells, report)
    matrices = results.similarities(evidence, config)
    results.similarity_file(matrices, evidence.names, output / "similarity.npz")
    known = results.truth(evidence.names)
    scored = {method: evaluate(matrix, known) for method, matrix in matrices.items()}
    rows = results.table1(matrices, evidence.names, probe_set)
    write_text(output / "table1.md", "\n".join(results.lines(rows)) + "\n")
    title = f"{len(evidence.names)} networks, {len(probe)} images, 18 targets"
    results.write_curves(scored, output, title)
    return {
        **record,
        "config": dataclasses.asdict(config),
        "table1": rows,
        "methods": {name: result.to_dict() for name, result in scored.items()},
        "undecided_at_5": results.undecided(scored),
        "seconds_a_model_and_image": {k: round(v, 5) for k, v in evidence.seconds.items()},
        "backend": f"jax {jax.__version__}, {jax.devices()[0].device_kind}",
    }


def _print(summary: dict[str, Any], output: Path, console: Console) -> None:
    """Table 1 and what the whole experiment would take."""
    console.print("Table 1: means over 17 targets\n")
    console.print("\n".join(results.lines(summary["table1"])) + "\n")
    for name, seconds in summary["seconds_a_model_and_image"].items():
        hours = seconds * 20 * 1000 / 3600
        whole = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        console.print(
            f"maps of {name!r}: {seconds:.4f} s a (model, image) on {summary['backend']}; 20 "
            f"models x 1,000 images at this size and width: {whole} (the papers: "
            f"{PAPER_GPU_HOURS} GPU hours)"
        )
    console.print(f"results.json, table1.md, curves.png and similarity.npz in {output}")


main = functools.partial(
    command, "taskonomy", _main, Options, config=ExperimentConfig,
    fields=("lam", "recipes", "estimators", "chunk", "batch"),
    about="Both papers' task-transfer experiment. What is computed is kept: a run that was "
    "stopped goes on where it was; other lambdas or estimators cost no new maps.",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
