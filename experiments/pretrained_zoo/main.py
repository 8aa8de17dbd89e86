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
    args = parser.parse_args()
    try:
        extract(args)
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
    for name in names:
        model = load_model(name, zoo=args.zoo)
        graph_cell(args.output / "probe" / f"{name}.npz", model, probe)
        print(f"{name}: graph", flush=True)
        for target, labelled in targets.items():
            feature_cell(args.output / target / f"{name}.npz", model, labelled.images)
            print(f"{name}: {target}", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    sys.exit(main())
