"""Runs the study; see README.md.

DEPARA_SHARED=FOLDER python -m experiments.pretrained_zoo.main --output runs/pretrained_zoo
"""

import argparse
import os
import sys
from pathlib import Path

import jax

from depara_jax.errors import DeparaError
from depara_jax.models import list_models, load_model
from experiments.pretrained_zoo.cells import feature_cell, graph_cell
from experiments.pretrained_zoo.images import TARGETS, probe_images, target_images
from experiments.pretrained_zoo.report import report

HERE = Path(__file__).parent


def main() -> int:
    """Parses, extracts what is missing, and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/pretrained_zoo"))
    parser.add_argument("--zoo", default=str(HERE / "zoo.toml"), help="a TOML manifest")
    parser.add_argument("--images", type=int, default=80, help="probe images")
    parser.add_argument("--target-images", type=int, default=300, help="of each target")
    parser.add_argument("--targets", default=",".join(TARGETS))
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
    """Every network's cells that are not there yet."""
    shared = Path(os.environ.get("DEPARA_SHARED", "shared"))
    names = [spec.name for spec in list_models(args.zoo)]
    if args.only:
        names = [name for name in names if name in args.only.split(",")]
    probe = probe_images(shared, args.images)
    targets = {
        t: target_images(shared, t, args.target_images) for t in args.targets.split(",") if t
    }
    # All graphs first: the first half of the study needs nothing else.
    jobs = [("probe", probe), *((t, labelled.images) for t, labelled in targets.items())]
    for folder, images in jobs:
        cell = graph_cell if folder == "probe" else feature_cell
        for name in names:
            path = args.output / folder / f"{name}.npz"
            if path.is_file():
                continue
            cell(path, load_model(name, zoo=args.zoo), images)
            print(f"{folder}: {name}", flush=True)
            jax.clear_caches()


if __name__ == "__main__":
    sys.exit(main())
