"""Measures what each difference between the papers and the authors' code changes.

python -m experiments.fidelity.main --json fidelity.json

The numbers are those of docs/fidelity.md.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from depara_jax.data import load_probe
from depara_jax.errors import DeparaError
from depara_jax.models import list_models, load_model
from experiments.fidelity import layer_half, random_vgg, saliency, task_half

__all__ = ["main", "run"]

MAP_IMAGES = 4  # of VGG-19, 19 gradients each
EDGE_IMAGES = 40
FEWEST = 12  # a half of them makes 15 edges
SALIENCY_IMAGES = 6  # 1,024 gradients each


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the measurements; returns the exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="probe images of the task half")
    parser.add_argument("--layer-images", type=int, default=100, help="of the layer half")
    parser.add_argument("--vgg-size", type=int, default=64, help="pixels; 0 leaves VGG-19 out")
    parser.add_argument("--json", metavar="FILE", default="-", help="by default standard output")
    args = parser.parse_args(argv)
    started = time.perf_counter()

    def progress(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - started:6.1f} s  {text}\n")

    try:
        if min(args.images, args.layer_images) < FEWEST:
            raise DeparaError(f"--images and --layer-images must be at least {FEWEST}")
        text = json.dumps(run(args.images, args.layer_images, args.vgg_size, progress))
        if args.json == "-":
            sys.stdout.write(text + "\n")
        else:
            Path(args.json).write_text(text + "\n", encoding="utf-8")
    except (DeparaError, OSError) as error:
        sys.stderr.write(f"fidelity: {' '.join(str(error).split())}\n")
        return 2
    return 0


def run(
    images: int, layer_images: int, vgg_size: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """All measurements as plain values.

    Args:
      images: probe images of the task half.
      layer_images: probe images of the layer half.
      vgg_size: pixels of VGG-19's images; 0 leaves it out.
      progress: told what comes next.
    """
    models = [load_model(spec.name) for spec in list_models("mini")]
    result: dict[str, Any] = {
        "experiment": "fidelity",
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "load average": [os.getloadavg()[0]],
    }
    seconds, clock = {}, time.perf_counter()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "task": lambda: task_half.measure(models, _photographs(images), progress),
        "saliency": lambda: saliency.measure(models, _photographs(SALIENCY_IMAGES), progress),
        "layer": lambda: layer_half.measure(models, _photographs(layer_images), progress),
    }
    if vgg_size:
        parts["random vgg19_bn"] = lambda: random_vgg.measure(
            _photographs(EDGE_IMAGES), size=vgg_size, map_images=MAP_IMAGES, progress=progress
        )
    for name, part in parts.items():
        result[name] = part()
        seconds[name], clock = round(time.perf_counter() - clock, 1), time.perf_counter()
    result["load average"].append(os.getloadavg()[0])
    return {**result, "seconds": seconds}


def _photographs(count: int) -> Any:
    return load_probe("photographs:probe", count=count)


if __name__ == "__main__":
    raise SystemExit(main())
