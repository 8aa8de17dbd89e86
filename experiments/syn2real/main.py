"""Table 2 of DEPARA, in one command with resumable cells; see README.md beside this file.

python -m experiments.syn2real.main --synthetic S --real R --imagenet vgg19_bn.pth --output OUT
python -m experiments.syn2real.main --dry-run --output OUT
python -m experiments.syn2real.main --golden tests/golden/papers/depara_table2.json --output OUT
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.models.port import port_model, port_spec, random_variables
from depara_jax.models.vgg import VGG
from depara_jax.recipe import recipe_named
from depara_jax.selection import rank_layers
from depara_jax.training import Examples, TrainConfig, folder_examples
from experiments.syn2real.cells import Domain, Networks, transfer
from experiments.syn2real.config import LAMBDAS, SOURCES, SynConfig
from experiments.syn2real.table import draw, lines, read_table

__all__ = ["DRY_RUN", "main", "run"]

# Six conv channels at most, 32 pixels, two epochs, random images: that everything runs, in seconds.
DRY_RUN = SynConfig(
    width=1 / 64,
    size=32,
    scratch=TrainConfig(batch_size=8, epochs=1),
    transfer=TrainConfig(batch_size=8, epochs=1),
    probe_images=12,
    sizes=(("acc_01T", 0.5), ("acc_001T", 0.25)),
)
DRY_CUTS = "1,9,17,18"  # each compiles a program of its own


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        _main(args, console)
    except DeparaError as error:
        sys.stderr.write(f"syn2real: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _main(args: argparse.Namespace, console: Console) -> None:
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    if args.golden is not None:
        table = read_table(Path(args.golden))
    elif args.dry_run:
        table = run(
            *_dry_domains(), _dry_imagenet(), DRY_RUN, output, console,
            cuts=args.cuts or DRY_CUTS,
        )  # fmt: skip
    else:
        if None in (args.synthetic, args.real, args.imagenet):
            raise DeparaError(
                "give --synthetic, --real and --imagenet, or --dry-run, or --golden FILE"
            )
        config = SynConfig(recipe=recipe_named(args.recipe).name)
        size = config.input.size
        domains = (folder_examples(args.synthetic, size), folder_examples(args.real, size))
        table = run(*domains, Path(args.imagenet), config, output, console, cuts=args.cuts)
    text = json.dumps(table, indent=1, allow_nan=False) + "\n"
    write_atomically(output / "table2.json", lambda file: file.write(text.encode()))
    written = "\n".join(lines(table)) + "\n"
    write_atomically(output / "table2.md", lambda file: file.write(written.encode()))
    console.print(written, soft_wrap=True)
    for source in SOURCES:
        for size in LAMBDAS:
            console.print(f"figure: {draw(table, source, size, output / f'{source}-{size}.png')}")


def run(
    synthetic: Examples,
    real: Examples,
    imagenet: Any,
    config: SynConfig,
    output: Path,
    console: Console,
    *,
    cuts: str | None = None,
) -> dict[str, Any]:
    """Trains what is missing and fills Table 2; its keys are those of depara_table2.json.

    Args:
      synthetic: images of the source.
      real: of the target, with the same classes.
      imagenet: DNN-ImageNet, or its weights file.
      config: sizes and schedules.
      output: the run's folder.
      console: for progress.
      cuts: numbers of the cut points, e.g. "1,9,18"; all 18 by default.

    Raises:
      DeparaError: classes that differ, or a cut point that does not exist.
    """
    if synthetic.classes != real.classes:
        raise DeparaError(
            f"the two image sets have other classes: {', '.join(synthetic.classes)} against "
            f"{', '.join(real.classes)}"
        )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        line = bar.add_task("")

        def report(name: str, done: int, total: int) -> None:
            bar.update(line, description=name, completed=done, total=total)

        source, target = (
            Domain(n, e, config) for n, e in (("synthetic", synthetic), ("real", real))
        )
        for domain in (source, target):
            domain.record(output)
        networks = Networks(source, target, imagenet, config, output, report)
        numbers = _numbers(cuts, len(networks.network.cuts))
        chosen = tuple(networks.network.cuts[n - 1] for n in numbers)
        table: dict[str, Any] = {"layers": numbers, "cuts": list(chosen)}
        recipe = recipe_named(config.recipe)
        table["scratch"] = {size: 100 * networks.scratch(size) for size in LAMBDAS}
        for name in SOURCES:
            model = networks.named(name)
            points = model.spec.layers_at(recipe.feature_point)
            ranking = rank_layers(
                networks.target,
                model,
                target.probe,
                recipe,
                layers=[points[n - 1] for n in numbers],
            )
            assert ranking.node is not None
            assert ranking.edge is not None
            table[name] = {"V": _rounded(ranking.node), "E": _rounded(ranking.edge)}
            for size in LAMBDAS:
                found = [transfer(networks, name, size, cut) for cut in chosen]
                table[name][size] = [round(accuracy, 2) for accuracy in found]
    return table


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def _numbers(cuts: str | None, count: int) -> list[int]:
    """Cut points as the paper numbers them, from 1."""
    if cuts is None:
        return list(range(1, count + 1))
    parts = [part.strip() for part in cuts.split(",") if part.strip()]
    if not parts or not all(p.isdecimal() and 1 <= int(p) <= count for p in parts):
        raise DeparaError(f"--cuts {cuts!r}: expected numbers from 1 to {count}, with commas")
    return sorted({int(part) for part in parts})


def _dry_domains() -> tuple[Examples, Examples]:
    """Two sets of random images in three classes that differ in brightness."""
    sets = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        labels = np.arange(120) % 3
        images = rng.integers(0, 120, (120, 32, 32, 3)) + 60 * labels[:, None, None, None]
        sets.append(Examples.from_arrays(images.astype(np.uint8), labels, ("a", "b", "c")))
    return sets[0], sets[1]


def _dry_imagenet() -> Any:
    config = DRY_RUN.network(1000)
    spec = port_spec(config, name="DNN-ImageNet", input=DRY_RUN.input)
    variables = random_variables(VGG, config, jax.random.key(1))
    return port_model(VGG, config, variables=variables, spec=spec)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.syn2real.main",
        description="DEPARA's layer selection (Table 2): every run is a folder that is resumed.",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument("--synthetic", metavar="FOLDER", help="VisDA-17's training images by class")
    parser.add_argument("--real", metavar="FOLDER", help="VisDA-17's COCO crops by class")
    parser.add_argument("--imagenet", metavar="FILE", help="torchvision's vgg19_bn weights")
    parser.add_argument(
        "--recipe", default="paper", help="preset that ranks (default: %(default)s)"
    )
    parser.add_argument("--cuts", metavar="1,9,18", help="some of the 18 cut points")
    parser.add_argument("--dry-run", action="store_true", help="narrow networks, random images")
    parser.add_argument("--golden", metavar="FILE", help="no runs: the paper's table from its JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
