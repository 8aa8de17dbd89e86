"""The part of a run that costs time: one walk of all networks over a few probe images a cell.

A cell holds everything about all twenty networks that the results need: the features, and of the
maps only the cosines between networks, image by image. The maps themselves are gone when the cell
is written, so neither memory nor disk grows with them.
"""

import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from depara_jax.data import Probe
from depara_jax.graph.similarity import node_cosines
from depara_jax.models import Model
from depara_jax.recipe import Recipe
from depara_jax.walk import View, Walk
from experiments.common.cells import Cells
from experiments.common.run import Report
from experiments.taskonomy.config import ExperimentConfig


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


def collect(
    models: Sequence[Model], probe: Probe, config: ExperimentConfig, cells: Cells, report: Report
) -> Evidence:
    """Computes the cells that are not there yet, and joins all.

    Raises:
      DegenerateError: a network gives NaN; it is named, with the image.
    """
    views = [View(model, (model.spec.encoder,)) for model in models]
    recipes, starts = config.node_recipes(), range(0, len(probe), config.chunk)
    total, done, warm = len(recipes) * len(starts), 0, set()
    joined = {}
    for recipe, key in recipes.items():
        parts = []
        for start in starts:
            report("graphs of all networks", done, total)
            rows = range(start, min(start + config.chunk, len(probe)))
            make = functools.partial(_cell, views, probe.subset(rows), recipe, config.batch, warm)
            parts.append(cells.get(f"cells/{key}-{start:05d}.npz", make, maps=recipe))
            done += 1
        joined[key] = {name: [part[name] for part in parts] for name in parts[0]}
    report("graphs of all networks", done, total)
    pairs = len(models) * len(probe)
    return Evidence(
        tuple(str(model.spec.task) for model in models),
        {key: np.concatenate(found["cosines"]) for key, found in joined.items()},
        np.concatenate(next(iter(joined.values()))["features"], axis=1),
        {key: float(np.sum(found["seconds"])) / pairs for key, found in joined.items()},
    )


def _cell(
    views: list[View], probe: Probe, recipe: Recipe, batch: int, warm: set[Recipe]
) -> dict[str, Any]:
    """One walk over the cell's images."""
    if recipe not in warm:  # compiled apart, so that cells time computing alone
        warm.add(recipe)
        _cell(views, probe, recipe, batch, warm)
    started = time.perf_counter()
    features, cosines = [], []
    for chunk in Walk(views, probe, recipe, features=True, batch_size=batch):
        features.append(np.stack(chunk.features))
        cosines.append(node_cosines(chunk.vectors))
    return {
        "features": np.concatenate(features, axis=1),
        "cosines": np.concatenate(cosines),
        "seconds": time.perf_counter() - started,
    }
