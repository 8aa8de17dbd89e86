"""One network's part of the study: maps and features on the probe set, features on the targets.

A cell is a file in the output folder, written when it is complete, so that a run can be taken up
again. Seconds are the process's own (user + system), the machine being shared.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES, attribute
from depara_jax.data.preprocess import preprocess
from depara_jax.files import write_atomically
from depara_jax.graph import node_vectors
from depara_jax.models import Model

__all__ = ["GRIDS", "feature_cell", "graph_cell"]

# The smallest input of all networks, and the smallest of those for photographs.
GRIDS = (32, 96)
_PIXELS = 2**19  # in a batch


def graph_cell(path: Path, model: Model, images: Sequence[np.ndarray]) -> None:
    """Node vectors on both grids, and features, of the encoder layer."""
    if path.is_file():
        return
    began = time.process_time()
    layer, recipe = model.spec.encoder, RECIPES["default"]
    kept: dict[str, list[np.ndarray]] = {f"nodes{grid}": [] for grid in _grids(model)}
    kept["features"] = []
    for batch, count in _batches(model, images):
        features, maps = attribute(model.forward, model.variables, batch, (layer,), recipe)
        kept["features"].append(np.asarray(features[layer], np.float32)[:count])
        for grid in _grids(model):
            vectors = node_vectors(maps[layer], recipe.replace(grid=grid))
            # Scaled first: half precision ends at 65,504.
            vectors = vectors / jnp.abs(vectors).max(axis=1, keepdims=True)
            kept[f"nodes{grid}"].append(np.asarray(vectors, np.float16)[:count])
    arrays = {name: np.concatenate(parts) for name, parts in kept.items()}
    _save(path, arrays, began)


def feature_cell(path: Path, model: Model, images: Sequence[np.ndarray]) -> None:
    """Features of the encoder layer, and the outputs where the network has some."""
    if path.is_file():
        return
    began = time.process_time()
    layers = (model.spec.encoder, *([model.spec.logits] if model.spec.logits else []))
    forward = model.forward

    @jax.jit
    def run(variables: Any, batch: Any) -> list[Any]:
        out = forward(variables, batch)
        return [out[layer] for layer in layers]

    parts: list[list[np.ndarray]] = [[] for _ in layers]
    for batch, count in _batches(model, images):
        for kept, value in zip(parts, run(model.variables, batch), strict=True):
            kept.append(np.asarray(value, np.float32)[:count])
    names = ("features", "logits")
    arrays = {n: np.concatenate(p) for n, p in zip(names, parts, strict=False)}
    _save(path, arrays, began)


def _grids(model: Model) -> tuple[int, ...]:
    return tuple(grid for grid in GRIDS if grid <= min(model.spec.input.size))


def _batches(model: Model, images: Sequence[np.ndarray]) -> Any:
    """Preprocessed batches of one size, and how many of their images count."""
    height, width = model.spec.input.size
    size = max(4, min(64, _PIXELS // (height * width)))
    for start in range(0, len(images), size):
        part = [preprocess(image, model.spec.input) for image in images[start : start + size]]
        part += [part[-1]] * (size - len(part))
        yield jnp.asarray(np.stack(part)), min(size, len(images) - start)


def _save(path: Path, arrays: dict[str, np.ndarray], began: float) -> None:
    arrays["seconds"] = np.asarray(time.process_time() - began)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
