"""Measures what each difference between the papers and the authors' code changes.

python -m experiments.fidelity.main --json fidelity.json

The numbers are those of docs/fidelity.md.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from depara_jax.data import load_probe
from depara_jax.errors import DeparaError
from depara_jax.models import list_models, load_model
from experiments.common.cells import write_text
from experiments.common.run import command
from experiments.fidelity import layer_half, random_vgg, saliency, task_half

MAP_IMAGES = 4  # of VGG-19, 19 gradients each
EDGE_IMAGES = 40
FEWEST = 12  # a half of them makes 15 edges
SALIENCY_IMAGES = 6  # 1,024 gradients each


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
      images: probe images of the task half.
      layer_images: of the layer half.
      vgg_size: pixels; 0 leaves VGG-19 out.
      json: the file to write; - is standard output.
    """

    images: int = 200
    layer_images: int = 100
    vgg_size: int = 64
    json: str = "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the measurements; returns the exit code: 0, or 2 for bad input."""
    return command("fidelity", _main, Options, argv, about=str(__doc__))


def _main(options: Options, _: Console) -> None:
    if min(options.images, options.layer_images) < FEWEST:
        raise DeparaError(f"--images and --layer-images must be at least {FEWEST}")
    load, clock = [os.getloadavg()[0]], [time.perf_counter()]

    def progress(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - clock[0]:6.1f} s  {text}\n")

    models = [load_model(spec.name) for spec in list_models("mini")]
    parts: dict[str, tuple[Callable[..., dict[str, Any]], int]] = {
        "task": (partial(task_half.measure, models), options.images),
        "saliency": (partial(saliency.measure, models), SALIENCY_IMAGES),
        "layer": (partial(layer_half.measure, models), options.layer_images),
    }
    if options.vgg_size:
        vgg = partial(random_vgg.measure, size=options.vgg_size, map_images=MAP_IMAGES)
        parts["random vgg19_bn"] = (vgg, EDGE_IMAGES)
    found, seconds = {}, {}
    for name, (measure, count) in parts.items():
        found[name] = measure(load_probe("photographs:probe", count=count), progress)
        clock.append(time.perf_counter())
        seconds[name] = round(clock[-1] - clock[-2], 1)
    load.append(os.getloadavg()[0])
    facts = {"device": jax.devices()[0].device_kind, "cores": os.cpu_count(), "load average": load}
    result = {"experiment": "fidelity", **facts, **found, "seconds": seconds}
    text = json.dumps(result) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        write_text(Path(options.json), text)


if __name__ == "__main__":
    raise SystemExit(main())
