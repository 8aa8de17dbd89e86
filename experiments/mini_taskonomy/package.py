"""From a finished run to a zoo folder, and from a retrained run back to the zoo's manifest."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.data.photographs import NAMES
from depara_jax.errors import DeparaError
from depara_jax.models.encoder import EncoderConfig
from depara_jax.models.zoo import FORMAT, read_manifest
from depara_jax.weights.readers import file_sha256, read_tensors
from experiments.common.cells import write_json
from experiments.mini_taskonomy.cells import cell_folder

__all__ = ["COMMAND", "MARGIN", "check", "package"]

COMMAND = "python -m experiments.mini_taskonomy.main --output runs/mini --package"

# How far worse than the manifest's number a retrained network may be, as (absolute, relative to
# it). About twice the largest difference between seeds 0 and 1 in README.md (0.051 at an nmse of
# 0.48, 0.018 of accuracy); the same seed on the same machine gives the same number.
MARGIN = {"nmse": (0.015, 0.15), "accuracy": (0.03, 0.04)}

LICENCE = (
    "The networks are under the licence of depara_jax (Apache-2.0). They were trained on "
    "photographs that scikit-image carries, all CC0, in the public domain or without known "
    "copyright restrictions (see depara_jax/data/photographs.py): " + ", ".join(NAMES)
)


def package(results: list[dict[str, Any]], output: Path, folder: Path) -> dict[str, Any]:
    """Writes the zoo of all cells that beat both baselines; returns its manifest.

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
    models = [_entry(result, output, folder) for result in chosen]
    configuration = chosen[0]["config"]
    manifest = {
        "format": FORMAT,
        "zoo": folder.name,
        "command": COMMAND,
        "licence": LICENCE,
        "input": "RGB, 32 x 32, pixel values 0..255 mapped to -1..1",
        "training": {k: v for k, v in configuration.items() if k != "encoder"},
        "left_out": {r["task"]: _summary(r) for r in results if not r["packaged"]},
        "models": models,
    }
    write_json(folder / "manifest.json", manifest)
    for stale in set(folder.glob("*.safetensors")) - {folder / entry["file"] for entry in models}:
        stale.unlink()
    return manifest


def check(results: list[dict[str, Any]], zoo: str = "mini") -> list[dict[str, Any]]:
    """Compares a retrained run with a zoo's manifest, task by task.

    Returns:
      For each task of the zoo that `results` has: its metric, the manifest's and the new value, the
      difference that is allowed, and whether the new one is no worse than that.

    Raises:
      DeparaError: no task is in both, or the networks are not of the same shape.
    """
    entries = {entry["task"]: entry for entry in read_manifest(zoo)["models"]}
    rows = []
    for result in results:
        entry = entries.get(result["task"])
        if entry is None:
            continue
        if entry["encoder"] != result["config"]["encoder"]:
            raise DeparaError(
                f"task {result['task']}: the run's encoder differs from the zoo's, "
                "so their numbers cannot be compared"
            )
        absolute, relative = MARGIN[result["metric"]]
        old, new = entry["validation"]["trained"], result["validation"]["trained"]
        worse = old - new if result["higher_is_better"] else new - old
        allowed = absolute + relative * abs(old)
        row = {"task": result["task"], "metric": result["metric"], "manifest": old, "new": new}
        rows.append({**row, "allowed": round(allowed, 6), "ok": worse <= allowed})
    if not rows:
        raise DeparaError(f"--check: none of the run's tasks is in the zoo {zoo!r}")
    return rows


def _entry(result: dict[str, Any], output: Path, folder: Path) -> dict[str, Any]:
    name = result["task"]
    source = output / cell_folder(name, result["seed"]) / "encoder.safetensors"
    target = folder / f"{name}.safetensors"
    # Copied beside the target first: a zoo in use never sees half a file.
    temporary = target.with_suffix(".tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
    config = EncoderConfig.from_json(result["config"]["encoder"])
    parameters = sum(int(np.size(value)) for value in read_tensors(target).values())
    return {
        "name": name,
        "task": name,
        "family": result["family"],
        "architecture": config.architecture,
        "parameters": parameters,
        "file": target.name,
        "sha256": file_sha256(target),
        "seed": result["seed"],
        "steps": result["config"]["steps"],
        **_summary(result),
        "train_loss": result["train_loss"],
        "seconds": result["seconds"]["trained"],
        "encoder": result["config"]["encoder"],
    }


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("metric", "higher_is_better", "validation", "z")
    return {key: result[key] for key in keys}
