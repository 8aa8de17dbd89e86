"""The study's cells: what is known of each network, and of each target's own network.

Seconds in them are the process's own (user + system), the machine being shared.
"""

import functools
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax import RECIPES
from depara_jax.data import Probe
from depara_jax.errors import DeparaError
from depara_jax.graph import node_vectors
from depara_jax.models import Model, list_models, load_model
from depara_jax.walk import View, Walk, layer_features
from experiments.common.cells import Cells
from experiments.pretrained_zoo.config import GRIDS, StudyConfig
from experiments.pretrained_zoo.finetune import TEST, TRAIN, fine_tuned, train_target
from experiments.pretrained_zoo.images import (
    Labelled,
    held_back,
    probe_images,
    probe_of,
    target_images,
)
from experiments.pretrained_zoo.transfer import labelled_scores

TARGET_IMAGES = 2000  # that a target's own network learns from
Found = dict[str, Any]


class Study:
    """All cells of a run by what they are of.

    Every method gives a cell's content: made where it is missing, or None of a study that only
    reads.
    """

    def __init__(self, config: StudyConfig, *, making: bool):
        self.config, self.making = config, making
        self.cells = Cells(config.output, "pretrained_zoo")
        self.zoos = {spec.name: zoo for zoo in config.zoo for spec in list_models(zoo)}
        self.specs = {spec.name: spec for zoo in config.zoo for spec in list_models(zoo)}

    @functools.cached_property
    def probe(self) -> Probe:
        """The unlabelled photographs."""
        return probe_of(probe_images(self.config.images))

    @functools.cached_property
    def targets(self) -> dict[str, Labelled]:
        """The targets asked for; one whose files are not here is left out, with a line."""
        found = {}
        for target in self.config.targets:
            try:
                found[target] = self._images(target, self.config.target_images)
            except DeparaError as error:
                sys.stderr.write(f"{target} is left out: {error}\n")
        return found

    @functools.cached_property
    def images(self) -> dict[str, Probe]:
        """The targets' images without their labels."""
        return {name: probe_of(target.images) for name, target in self.targets.items()}

    def _images(self, target: str, count: int) -> Labelled:
        return target_images(target, count, fashion=self.config.fashion)

    def load(self, name: str) -> Model:
        """A network of the manifests."""
        return load_model(name, zoo=self.zoos[name])

    def graph(self, name: str) -> Found | None:
        """Node vectors on both grids, and features, on the probe set."""
        probe = self.probe
        return self._of_network(
            f"probe/{name}.npz", name, lambda m: graph_arrays(m, probe), images=probe.fingerprint
        )

    def features(self, target: str, name: str) -> Found | None:
        """Features of the encoder layer on a target's images, and the outputs where there are."""
        images = self.images[target]
        return self._of_network(
            f"{target}/{name}.npz", name, lambda m: _features(m, images), images=images.fingerprint
        )

    def scores(self, target: str, name: str) -> Found | None:
        """One network's truth and the scores that need labels, on images apart."""

        def make() -> Found:
            features = self.features(target, name)
            assert features is not None
            return labelled_scores(features, self.targets[target].labels, held_back(target))

        return self._cell(
            f"scores/{target}/{name}.json", make,
            network=self.specs[name], images=self.images[target].fingerprint,
        )  # fmt: skip

    def tuned(self, target: str, name: str) -> Found | None:
        """Accuracy after fine-tuning, on images that the estimators do not see."""
        first, seeds = held_back(target), self.config.seeds
        data = self._images(target, first + TRAIN + TEST).rows(first)
        return self._of_network(
            f"finetune/{target}/{name}.npz", name, lambda m: fine_tuned(m, data, seeds=seeds),
            images=probe_of(data.images).fingerprint, seeds=seeds,
        )  # fmt: skip

    def target_network(self, target: str) -> tuple[Found, Found] | None:
        """A target's own small network: "trained_on" and "accuracy"; and its graph.

        It learns from images that no network's accuracy is measured on: up to 2,000 beyond those,
        and for VisDA, which has no more, the probe set itself.
        """
        first, truth = held_back(target), self.config.target_images
        images = {"images": self.images[target], "probe": self.probe}
        depends = {name: probe.fingerprint for name, probe in images.items()}

        def make() -> Found:
            used = max(truth, first + TRAIN + TEST)
            every = self._images(target, used + TARGET_IMAGES)
            mine = every.rows(used) if len(every.labels) > used else every.rows(0, first)
            model, accuracy = train_target(mine, every.rows(first, truth))
            self.cells.write(f"target/{target}.npz", graph_arrays(model, self.probe), **depends)
            return {"trained_on": len(mine.labels), "accuracy": accuracy}

        record = self._cell(f"target/{target}.json", make, **depends)
        graph = self.cells.read(f"target/{target}.npz", **depends)
        return None if record is None or graph is None else (record, graph)

    def _of_network(
        self, path: str, name: str, make: Callable[[Model], Mapping[str, Any]], **depends: Any
    ) -> Found | None:
        def timed() -> Found:
            model, began = self.load(name), time.process_time()
            content = dict(make(model))
            return {**content, "seconds": time.process_time() - began}

        return self._cell(path, timed, network=self.specs[name], **depends)

    def _cell(self, path: str, make: Callable[[], Found], **depends: Any) -> Found | None:
        found = self.cells.read(path, **depends)
        if found is None and self.making:
            found = self.cells.get(path, make, **depends)
            print(path, flush=True)
            jax.clear_caches()
        return found


def graph_arrays(model: Model, probe: Probe) -> dict[str, np.ndarray]:
    """Node vectors on both grids, and features, of the encoder layer."""
    recipe = RECIPES["default"].replace(lam=0.0)
    grids = [grid for grid in GRIDS if grid <= min(model.spec.input.size)]
    kept: dict[str, list[np.ndarray]] = {f"nodes{grid}": [] for grid in grids}
    kept["features"] = []
    for chunk in Walk([View(model, (model.spec.encoder,))], probe, recipe, features=True):
        # Of one network alone, maps have the size of its images.
        maps = jnp.reshape(chunk.vectors[0], (-1, *model.spec.input.shape))
        for grid in grids:
            vectors = node_vectors(maps, recipe.replace(grid=grid))
            # Scaled first: half precision ends at 65,504.
            vectors = vectors / jnp.abs(vectors).max(axis=1, keepdims=True)
            kept[f"nodes{grid}"].append(np.asarray(vectors, np.float16))
        kept["features"].append(np.asarray(chunk.features[0]))
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _features(model: Model, images: Probe) -> dict[str, np.ndarray]:
    spec = model.spec
    layers = {"features": spec.encoder, **({"logits": spec.logits} if spec.logits else {})}
    found = layer_features(model, images, tuple(layers.values()))
    return {name: found[layer] for name, layer in layers.items()}
