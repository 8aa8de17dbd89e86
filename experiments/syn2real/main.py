"""Table 2 of DEPARA, in one command with resumable cells; see README.md beside this file.

python -m experiments.syn2real.main --synthetic S --real R --imagenet vgg19_bn.pth --output OUT
python -m experiments.syn2real.main --dry-run --output OUT
python -m experiments.syn2real.main --golden tests/golden/papers/depara_table2.json --output OUT
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from depara_jax.errors import DeparaError
from depara_jax.models.port import port_model, port_spec, random_variables
from depara_jax.models.vgg import VGG
from depara_jax.recipe import recipe_named
from depara_jax.selection import rank_layers
from depara_jax.training import Examples, TrainConfig, folder_examples, write_manifest
from experiments.common.cells import write_json, write_text
from experiments.common.run import command, progress
from experiments.syn2real.cells import Networks, domain_of
from experiments.syn2real.config import LAMBDAS, SOURCES, SynConfig
from experiments.syn2real.table import draw, lines, read_table

# Six conv channels at most, 32 pixels, two epochs, random images: that everything runs, in seconds.
DRY_RUN = SynConfig(
    width=1 / 64,
    size=32,
    scratch=TrainConfig(batch_size=8, epochs=1),
    transfer=TrainConfig(batch_size=8, epochs=1),
    probe_images=12,
    sizes=(("acc_01T", 0.5), ("acc_001T", 0.25)),
)
DRY_CUTS = (1, 9, 17, 18)  # each compiles a program of its own


@dataclasses.dataclass(frozen=True)
class Options:
    """The command.

    Attributes:
      output: folder where the run is kept.
      synthetic: VisDA-17's training images, a folder a class.
      real: VisDA-17's COCO crops, a folder a class.
      imagenet: torchvision's vgg19_bn weights.
      cuts: some of the 18 cut points, as 1,9,18.
      dry_run: narrow networks, random images.
      golden: no runs: the paper's table from its JSON.
    """

    output: Path
    synthetic: Path | None = None
    real: Path | None = None
    imagenet: Path | None = None
    cuts: tuple[int, ...] | None = None
    dry_run: bool = False
    golden: Path | None = None


def _main(options: Options, console: Console, **changes: Any) -> None:
    output = options.output
    if options.golden is not None:
        table = read_table(options.golden)
    elif options.dry_run:
        config = dataclasses.replace(DRY_RUN, **changes)
        cuts = options.cuts or DRY_CUTS
        table = run(*_dry_domains(), _dry_imagenet(), config, output, console, cuts=cuts)
    else:
        if options.synthetic is None or options.real is None or options.imagenet is None:
            raise DeparaError(
                "give --synthetic, --real and --imagenet, or --dry-run, or --golden FILE"
            )
        config = SynConfig(**changes)
        recipe_named(config.recipe)  # before the images are read
        size = config.input.size
        domains = (folder_examples(options.synthetic, size), folder_examples(options.real, size))
        table = run(*domains, options.imagenet, config, output, console, cuts=options.cuts)
    write_json(output / "table2.json", table)
    written = "\n".join(lines(table)) + "\n"
    write_text(output / "table2.md", written)
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
    cuts: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Trains what is missing and fills Table 2; its keys are those of depara_table2.json.

    `imagenet` is DNN-ImageNet or its weights file; `cuts` are numbers of the cut points, as the
    paper has them from 1, all 18 by default.

    Raises:
      DeparaError: classes that differ, or a cut point that does not exist.
    """
    if synthetic.classes != real.classes:
        raise DeparaError(
            f"the two image sets have other classes: {', '.join(synthetic.classes)} against "
            f"{', '.join(real.classes)}"
        )
    output.mkdir(parents=True, exist_ok=True)
    with progress(console, keep=False) as report:
        source, target = (
            domain_of(n, e, config) for n, e in (("synthetic", synthetic), ("real", real))
        )
        for domain in (source, target):  # which image is where
            sizes = {name: domain.rows(name) for name in domain.sizes}
            write_manifest(output / f"split-{domain.name}.json", domain.split, sizes)
        networks = Networks(source, target, imagenet, config, output, report)
        numbers = _numbers(cuts, len(networks.network.cuts))
        chosen = tuple(networks.network.cuts[n - 1] for n in numbers)
        table: dict[str, Any] = {"layers": numbers, "cuts": list(chosen)}
        recipe = recipe_named(config.recipe)
        table["scratch"] = {size: networks.scratch(size) for size in LAMBDAS}
        for name in SOURCES:
            model = networks.named(name)
            points = model.spec.layers_at(recipe.feature_point)
            layers = [points[n - 1] for n in numbers]
            ranking = rank_layers(networks.target, model, target.probe, recipe, layers=layers)
            table[name] = {"V": _rounded(ranking.node), "E": _rounded(ranking.edge)}
            for size in LAMBDAS:
                found = [networks.transfer(name, size, cut) for cut in chosen]
                table[name][size] = [round(accuracy, 2) for accuracy in found]
    return table


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def _numbers(cuts: Sequence[int] | None, count: int) -> list[int]:
    """Cut points as the paper numbers them, from 1."""
    numbers = sorted(set(range(1, count + 1) if cuts is None else cuts))
    if not numbers or not 1 <= numbers[0] <= numbers[-1] <= count:
        shown = ",".join(map(str, numbers))
        raise DeparaError(f"--cuts {shown!r}: expected numbers from 1 to {count}, with commas")
    return numbers


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


main = functools.partial(
    command, "syn2real", _main, Options, config=SynConfig, fields=("recipe",),
    about="DEPARA's layer selection (Table 2): every run is a folder that is resumed.",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
