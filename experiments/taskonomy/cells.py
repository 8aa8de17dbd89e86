"""The part of a run that costs time, cut into cells that are stored one by one.

A cell holds, for a few probe images, everything about all twenty networks that the results need:
the features, and of the maps only the cosines between networks, image by image. The maps themselves
are gone when the cell is written, so neither memory nor disk grows with them. A cell is written in
one piece; a run that was stopped goes on with the first that is missing.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.attribution import attribute
from depara_jax.data import Probe
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.graph import node_vectors
from depara_jax.models import Model
from depara_jax.recipe import Recipe
from depara_jax.stats import normalize_rows
from experiments.taskonomy.config import ExperimentConfig

__all__ = ["Evidence", "check_run", "collect", "compute_cells", "write_atomically"]

Progress = Callable[[int, int], None]


class Evidence(NamedTuple):
    """All cells of a run, joined.

    Attributes:
      names: m tasks.
      cosines: node key -> [n, m, m], cosines of the maps of every two networks for each image.
      features: [m, n, d] of the encoders.
      seconds: mean seconds a (model, image) for each node key, compilation left out.
    """

    names: tuple[str, ...]
    cosines: dict[str, np.ndarray]
    features: np.ndarray
    seconds: dict[str, float]


def check_run(output: Path, record: dict[str, Any]) -> None:
    """Writes run.json, or refuses a folder that holds another run.

    Raises:
      DeparaError: the cells that are there were made of other images, weights or settings.
    """
    path = output / "run.json"
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        differ = [key for key in record if there.get(key) != record[key]]
        if there["digest"] != record["digest"]:
            raise DeparaError(
                f"{output} holds another run: {', '.join(differ)} differ; choose another --output, "
                "or the same images, weights and settings to go on with this one"
            )
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def compute_cells(
    models: Sequence[Model],
    probe: Probe,
    config: ExperimentConfig,
    output: Path,
    progress: Progress,
) -> None:
    """Computes and stores the cells that are not there yet.

    Raises:
      DegenerateError: a network gives NaN; it is named, with the image.
    """
    folder = output / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    paths = cell_paths(len(probe), config, output)
    todo = [(index, path) for index, path in enumerate(paths) if not path.is_file()]
    if todo:
        _warm_up(models, config)
    for index, path in todo:
        progress(index, len(paths))
        rows = range(index * config.chunk, min((index + 1) * config.chunk, len(probe)))
        arrays: dict[str, Any] = _cell(models, probe.subset(rows), config)
        with open(f"{path}.{os.getpid()}.tmp", "wb") as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
    progress(len(paths), len(paths))


def cell_paths(count: int, config: ExperimentConfig, output: Path) -> list[Path]:
    """Where each chunk of images is stored."""
    chunks = math.ceil(count / config.chunk)
    return [output / "cells" / f"{index:05d}.npz" for index in range(chunks)]


def collect(
    models: Sequence[Model], probe: Probe, config: ExperimentConfig, output: Path
) -> Evidence:
    """Joins the cells of a finished run."""
    cells = []
    for path in cell_paths(len(probe), config, output):
        with np.load(path, allow_pickle=False) as cell:
            cells.append(dict(cell))
    keys = list(config.node_recipes())
    cosines = {k: np.concatenate([cell[f"cosines_{k}"] for cell in cells]) for k in keys}
    pairs = len(models) * len(probe)
    seconds = {k: sum(float(cell[f"seconds_{k}"].sum()) for cell in cells) / pairs for k in keys}
    features = np.concatenate([cell["features"] for cell in cells], axis=1)
    names = tuple(str(model.spec.task) for model in models)
    return Evidence(names, cosines, features, seconds)


def _warm_up(models: Sequence[Model], config: ExperimentConfig) -> None:
    """Compiles every program on blank images, so that cells measure computing alone."""
    kinds = {model.forward: model for model in models}
    for recipe in config.node_recipes().values():
        for model in kinds.values():
            blank = np.zeros((config.batch, *model.spec.input.shape), np.float32)
            jax.block_until_ready(_step(model, blank, recipe))


def _cell(models: Sequence[Model], probe: Probe, config: ExperimentConfig) -> dict[str, np.ndarray]:
    inputs = dict.fromkeys(model.spec.input for model in models)
    images = {i: probe.array(i) for i in inputs}
    arrays: dict[str, np.ndarray] = {}
    for key, recipe in config.node_recipes().items():
        features, units, seconds = [], [], []
        for model in models:
            start = time.perf_counter()
            f, v = _all_images(model, images[model.spec.input], recipe, config.batch)
            seconds.append(time.perf_counter() - start)
            if not (np.isfinite(f).all() and bool(jnp.isfinite(v).all())):
                raise DegenerateError(
                    f"{model.name} gives NaN or infinity for one of {', '.join(probe.ids)}; check "
                    "its weights"
                )
            features.append(f)
            units.append(normalize_rows(v))
        arrays[f"cosines_{key}"] = np.asarray(_cosines(jnp.stack(units)))
        arrays[f"seconds_{key}"] = np.array(seconds)
        arrays["features"] = np.stack(features)
    return arrays


def _all_images(
    model: Model, images: np.ndarray, recipe: Recipe, batch: int
) -> tuple[np.ndarray, jax.Array]:
    """Features [n, d] and node vectors [n, p]; the last batch is filled up with its last image."""
    features, vectors = [], []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        count = len(part)
        part = np.concatenate([part, np.repeat(part[-1:], batch - count, axis=0)])
        f, v = _step(model, part, recipe)
        features.append(np.asarray(f)[:count])
        vectors.append(v[:count])
    return np.concatenate(features), jax.block_until_ready(jnp.concatenate(vectors))


def _step(model: Model, images: np.ndarray, recipe: Recipe) -> tuple[jax.Array, jax.Array]:
    layer = model.spec.encoder
    features, maps = attribute(
        model.forward, model.variables, jnp.asarray(images), (layer,), recipe
    )
    flat = jnp.reshape(features[layer], (len(images), -1))
    return flat, jnp.asarray(node_vectors(maps[layer], recipe))


@jax.jit
def _cosines(units: jax.Array) -> jax.Array:
    """[n, m, m] dot products of unit vectors [m, n, p], image by image."""
    return jnp.einsum("anp,bnp->nab", units, units, precision=jax.lax.Precision.HIGHEST)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
