"""Runs the study; see README.md.

DEPARA_SHARED=FOLDER python -m experiments.pretrained_zoo.main --output runs/pretrained_zoo
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from depara_jax.errors import DeparaError
from depara_jax.models import list_models, load_model
from experiments.pretrained_zoo.cells import feature_cell, graph_cell
from experiments.pretrained_zoo.finetune import finetune_cell, tuning_images
from experiments.pretrained_zoo.images import (
    PROBE,
    TARGETS,
    Labelled,
    held_back,
    probe_images,
    target_images,
)
from experiments.pretrained_zoo.report import report
from experiments.pretrained_zoo.similarity import TWINS
from experiments.pretrained_zoo.transfer import score_cell

HERE = Path(__file__).parent


def main() -> int:
    """Parses, extracts what is missing, and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/pretrained_zoo"))
    parser.add_argument("--zoo", default=_zoos(), help="TOML manifests, with commas")
    parser.add_argument("--images", type=int, default=PROBE, help="probe images")
    parser.add_argument("--target-images", type=int, default=500, help="of each target, at most")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--fashion", type=Path, default=None, help="folder of Fashion-MNIST")
    parser.add_argument("--finetune", default="clothing,fashion", help="targets to fine-tune for")
    parser.add_argument("--seeds", type=int, default=2, help="of fine-tuning")
    parser.add_argument("--only", default=None, help="names of networks, with commas")
    parser.add_argument("--report", action="store_true", help="from the cells that are there")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--figures", type=Path, default=HERE)
    args = parser.parse_args()
    try:
        if not args.report:
            extract(args)
        report(args)
    except DeparaError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def extract(args: argparse.Namespace) -> None:
    """Every cell that is not there yet: graphs, features, scores, fine-tuning, in that order."""
    shared = Path(os.environ.get("DEPARA_SHARED", "shared"))
    homes = {spec.name: zoo for zoo in args.zoo.split(",") for spec in list_models(zoo)}
    names = [name for name in homes if not args.only or name in args.only.split(",")]
    # All graphs first: the first half of the study needs nothing else.
    probe = probe_images(shared, args.images)
    _each(args.output / "probe", {n: homes[n] for n in names}, graph_cell, images=probe)
    twins = {second for _, second in TWINS}
    counted = {n: homes[n] for n in names if n not in twins}
    targets = _targets(args, shared)
    for target, labelled in targets.items():
        folder = args.output / target
        _each(folder, counted, feature_cell, images=labelled.images)
        for name in counted:
            path = args.output / "scores" / target / f"{name}.json"
            score_cell(path, folder / f"{name}.npz", labelled.labels, held_back(target))
    for target in args.finetune.split(","):
        if target in targets:
            data = tuning_images(shared, target, fashion=args.fashion)
            folder = args.output / "finetune" / target
            _each(folder, counted, finetune_cell, data=data, seeds=args.seeds)


def _each(folder: Path, homes: Mapping[str, str], cell: Callable[..., None], **rest: Any) -> None:
    """A cell of each network that has none yet."""
    for name, zoo in homes.items():
        path = folder / f"{name}.npz"
        if not path.is_file():
            cell(path, load_model(name, zoo=zoo), **rest)
            print(f"{folder.name}: {name}", flush=True)
            jax.clear_caches()


def _targets(args: argparse.Namespace, shared: Path) -> dict[str, Labelled]:
    """The targets asked for; one whose files are not here is left out, with a line saying so."""
    found = {}
    for target in filter(None, args.targets.split(",")):
        try:
            found[target] = target_images(shared, target, args.target_images, fashion=args.fashion)
        except DeparaError as error:
            sys.stderr.write(f"{target} is left out: {error}\n")
    return found


def _zoos() -> str:
    """The study's own manifest, and that of the wheels where they are unpacked."""
    names = ("zoo.toml", *(["wheels.toml"] if "DEPARA_WHEELS" in os.environ else []))
    return ",".join(str(HERE / name) for name in names)


if __name__ == "__main__":
    sys.exit(main())
