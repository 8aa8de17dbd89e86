"""From a finished run to a zoo folder, and from a retrained run back to the zoo's numbers.

A folder holds zoo.toml, from which the library loads, the weights, and training.json: how the
networks were made and how well they do.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.data.photographs import NAMES
from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.models.encoder import EncoderConfig
from depara_jax.models.port import replaced
from depara_jax.models.zoo.manifest import FILE, FORMAT, read_manifest
from depara_jax.weights.readers import file_sha256, read_tensors
from experiments.common.cells import readable, write_json, write_text
from experiments.mini_taskonomy.cells import cell_folder

COMMAND = "python -m experiments.mini_taskonomy.main --output runs/mini --package"

# How far worse than the zoo's number a retrained network may be, as (absolute, relative to
# it). About twice the largest difference between seeds 0 and 1 in README.md (0.051 at an nmse of
# 0.48, 0.018 of accuracy); the same seed on the same machine gives the same number.
MARGIN = {"nmse": (0.015, 0.15), "accuracy": (0.03, 0.04)}

HEADING = "# Trained by experiments/mini_taskonomy; training.json says how, and how well they do.\n"
LICENCE = (
    "The networks are under the licence of depara_jax (Apache-2.0). They were trained on "
    "photographs that scikit-image carries, all CC0, in the public domain or without known "
    "copyright restrictions (see depara_jax/data/photographs.py): " + ", ".join(NAMES)
)


def package(results: list[dict[str, Any]], output: Path, folder: Path) -> dict[str, Any]:
    """Writes the zoo of all cells that beat both baselines; returns its training.json.

    Args:
      results: one result a task, as `trained_cell` returns them.
      output: the run that they are from.
      folder: the zoo to write; its files are replaced.

    Raises:
      DeparaError: no network is good enough, or two results are of the same task.
    """
    chosen = [result for result in results if result["packaged"]]
    names = [result["task"] for result in chosen]
    if not chosen or len(set(names)) != len(names):
        raise DeparaError(
            f"nothing to package: {len(chosen)} of {len(results)} networks beat both baselines, "
            f"tasks {', '.join(names) or 'none'}; every task needs one seed and enough steps"
        )
    folder.mkdir(parents=True, exist_ok=True)
    configuration = chosen[0]["config"]
    facts = {
        "command": COMMAND,
        "licence": LICENCE,
        "input": "RGB, 32 x 32, pixel values 0..255 mapped to -1..1",
        "training": {k: v for k, v in configuration.items() if k != "encoder"},
        "left_out": {r["task"]: _summary(r) for r in results if not r["packaged"]},
        "networks": {result["task"]: _facts(result, output, folder) for result in chosen},
    }
    write_json(folder / "training.json", facts)
    entries = [_entry(result, folder) for result in chosen]
    heading = f"{HEADING}format = {FORMAT}\nzoo = {json.dumps(folder.name)}\n"
    write_text(folder / FILE, "\n".join([heading, *entries]))
    for stale in set(folder.glob("*.safetensors")) - {_weights(folder, name) for name in names}:
        stale.unlink()
    return facts


def check(results: list[dict[str, Any]], zoo: str | Path = "mini") -> list[dict[str, Any]]:
    """Compares a retrained run with a zoo, task by task.

    Returns:
      For each task of the zoo that `results` has: its metric, the zoo's and the new value, the
      difference that is allowed, and whether the new one is no worse than that.

    Raises:
      DeparaError: no task is in both, the networks are not of the same shape, or the zoo has no
        training.json.
    """
    manifest = read_manifest(zoo)
    path = manifest.path.parent / "training.json"
    with readable(str(path), "package the zoo anew"):
        facts = json.loads(path.read_text(encoding="utf-8"))["networks"]
    rows = []
    for result in results:
        entry = manifest.entries.get(result["task"])
        if entry is None:
            continue
        shapes = (entry.configuration or {}, result["config"]["encoder"])
        if len({replaced(EncoderConfig(), shape) for shape in shapes}) > 1:
            raise DeparaError(
                f"task {result['task']}: the run's encoder differs from the zoo's, "
                "so their numbers cannot be compared"
            )
        absolute, relative = MARGIN[result["metric"]]
        old = facts[entry.name]["validation"]["trained"]
        new = result["validation"]["trained"]
        worse = old - new if result["higher_is_better"] else new - old
        allowed = absolute + relative * abs(old)
        row = {"task": result["task"], "metric": result["metric"], "zoo": old, "new": new}
        rows.append({**row, "allowed": round(allowed, 6), "ok": worse <= allowed})
    if not rows:
        raise DeparaError(f"--check: none of the run's tasks is in the zoo {str(zoo)!r}")
    return rows


def _weights(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _facts(result: dict[str, Any], output: Path, folder: Path) -> dict[str, Any]:
    """Copies a network's weights, and says what is known of it."""
    source = output / cell_folder(result["task"], result["seed"]) / "encoder.safetensors"
    target = _weights(folder, result["task"])
    write_atomically(target, lambda file: file.write(source.read_bytes()))
    return {
        "family": result["family"],
        "parameters": sum(int(np.size(value)) for value in read_tensors(target).values()),
        "seed": result["seed"],
        "steps": result["config"]["steps"],
        **_summary(result),
        "train_loss": result["train_loss"],
        "seconds": result["seconds"]["trained"],
    }


def _entry(result: dict[str, Any], folder: Path) -> str:
    """A network's table in zoo.toml; texts, numbers and lists are the same in JSON and TOML."""
    shape, weights = result["config"]["encoder"], _weights(folder, result["task"])
    texts = {
        "name": result["task"],
        "architecture": EncoderConfig(shape["block"]).architecture,
        "weights": weights.name,
        "sha256": file_sha256(weights),
        "task": result["task"],
        "licence": "Apache-2.0",
    }
    lines = ["[[model]]", *(f"{key} = {json.dumps(value)}" for key, value in texts.items())]
    lines += ["[model.configuration]", *(f"{k} = {json.dumps(v)}" for k, v in shape.items())]
    return "\n".join(lines) + "\n"


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("metric", "higher_is_better", "validation", "z")
    return {key: result[key] for key in keys}
