"""Transfers and target networks, each a cell that is stored when it is done and never run twice."""

import itertools
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from depara_jax.data import Probe
from depara_jax.models import Model, load_model
from depara_jax.models.encoder import EncoderConfig
from depara_jax.training import (
    CachedFeatures,
    ChosenView,
    Examples,
    Images,
    TrainConfig,
    accuracy,
    cached_features,
    cut_network,
    encoder_network,
    fit,
    load_values,
    network_of,
    save_values,
    subset,
)
from experiments.common.cells import Cells
from experiments.layer_study.config import StudyConfig
from experiments.layer_study.data import split_target


class Target:
    """A target's images: training subsets by data size, probe images, test images."""

    def __init__(self, name: str, examples: Examples, config: StudyConfig):
        self.name, self.examples, self.config = name, examples, config
        self.split = split_target(examples)
        self.classes = len(examples.classes)

    def part(self, name: str) -> Examples:
        """The whole training part ("full"), a data size's subset, or "test"."""
        if name in ("full", "test"):
            return self.examples.subset(self.split.parts["train" if name == "full" else "test"])
        fraction = dict(self.config.fractions)[name]
        return self.examples.subset(subset(self.split, "train", fraction))

    @cached_property
    def probe(self) -> Probe:
        """The probe images, of all classes; their labels are not used."""
        fraction = self.config.probe_images / len(self.split.parts["probe"])
        rows = subset(self.split, "probe", min(1.0, fraction))
        return Probe.from_arrays(self.examples.take(rows), [self.examples.ids[r] for r in rows])


def load_source(name: str, zoo: Path) -> Model:
    """A source network: of the packaged zoo, or a CIFAR ResNet of the folder."""
    if name.startswith("resnet"):
        return load_model(f"cifar_{name}={zoo / f'cifar10_{name}.npz'}")
    return load_model(name)


def target_network(target: Target, size: str, cells: Cells, console: Console) -> tuple[Model, dict]:
    """A small encoder trained from scratch on a data size, or on "full"; and its record."""
    network = encoder_network(EncoderConfig(), target.classes)
    weights = cells.path(f"targets/{target.name}-{size}.safetensors")
    prepare = Images(EncoderConfig().input)

    def train() -> dict[str, Any]:
        started = time.process_time()
        study = target.config
        config = (
            study.schedule("encoder", size, 0)
            if size != "full"
            else study.lasting(study.target_epochs, 0)
        )
        parts = cut_network(network, None, None, seed=config.seed)
        data, test = target.part(size), target.part("test")
        trained = fit(network, parts, data, prepare, config)
        share = accuracy(network, trained.values, test, prepare)
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_values(weights, network, trained.values)
        console.print(f"target network {target.name} ({size}): {share:.3f}")
        return _measured(started, accuracy=share, images=len(data))

    record = cells.get(f"targets/{target.name}-{size}.json", train)
    return network.wrap(load_values(weights, network), f"{target.name}-{size}"), record


def transfer_cells(
    source_name: str, source: Model, target: Target, cells: Cells, console: Console
) -> dict[str, Any]:
    """Accuracy of transfer from every cut, size and seed: {size: [cuts, seeds]} and the record."""
    network, config = network_of(source, target.classes), target.config
    rows: dict[str, list[list[float]]] = {size: [] for size, _ in config.fractions}
    seconds = 0.0
    for cut in network.cuts:
        store = _Store(network, source, target, cut)
        for size, _ in config.fractions:
            accuracies = []
            for seed in config.seeds:
                name = _name(source_name, target, size, cut, seed)
                result = cells.read(name)
                if result is None:
                    result = store.run(size, config.schedule(source_name, size, seed))
                    cells.write(name, result)
                    console.print(f"{source_name} -> {target.name}, {size}, {cut}, seed {seed}")
                accuracies.append(result["accuracy"])
                seconds += result["cpu_seconds"]
            rows[size].append(accuracies)
    return {"cuts": list(network.cuts), "accuracy": rows, "cpu_seconds": seconds}


def is_finished(source_name: str, source: Model, target: Target, cells: Cells) -> bool:
    """Whether every transfer of a pair has been run."""
    sizes, cuts = dict(target.config.fractions), network_of(source, target.classes).cuts
    return all(
        cells.read(_name(source_name, target, size, cut, seed)) is not None
        for size, cut, seed in itertools.product(sizes, cuts, target.config.seeds)
    )


def _name(source: str, target: Target, size: str, cut: str, seed: int) -> str:
    return f"cells/{source}-{target.name}/{size}-{cut}-{seed}.json"


def _measured(started: float, **content: Any) -> dict[str, Any]:
    """A cell's content with what it took."""
    seconds = time.process_time() - started
    return {**content, "cpu_seconds": seconds, "backend": jax.default_backend()}


class _Store:
    """Features at one cut, computed when they are first needed."""

    def __init__(self, network: Any, source: Model, target: Target, cut: str):
        self.network, self.source, self.target, self.cut = network, source, target, cut
        self.kept: dict[str, CachedFeatures] = {}

    def features(self, part: str, frozen: Any, stop: int) -> CachedFeatures:
        if part not in self.kept:
            self.kept[part] = cached_features(
                self.network, frozen, self.target.part(part), self.source.spec.input, stop=stop,
                mirrored=part != "test",
            )  # fmt: skip
        return self.kept[part]

    def run(self, size: str, config: TrainConfig) -> dict[str, Any]:
        started = time.process_time()
        values = self.network.read(self.source)
        parts = cut_network(self.network, values, self.cut, seed=config.seed, name=self.source.name)
        data = self.features(size, parts.frozen, parts.start)
        test = self.features("test", parts.frozen, parts.start)
        trained = fit(self.network, parts, data, ChosenView(), config, from_cut=True)
        share = accuracy(self.network, trained.values, test, ChosenView(), start=parts.start)
        return _measured(
            started, accuracy=share, loss=trained.metrics[-1]["loss"], images=len(data.labels)
        )
