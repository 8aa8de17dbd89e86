"""Transfers and target networks, each a cell that is stored when it is done and never run twice."""

import json
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from depara_jax.data import Probe
from depara_jax.files import write_atomically
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
from experiments.layer_study.config import StudyConfig
from experiments.layer_study.data import split_target

__all__ = ["Target", "is_finished", "load_source", "target_network", "transfer_cells"]

Report = Callable[[str], None]


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


def target_network(target: Target, size: str, output: Path, report: Report) -> tuple[Model, dict]:
    """A small encoder trained from scratch on a data size, or on "full"; and its record."""
    network = encoder_network(EncoderConfig(), target.classes)
    folder = output / "targets"
    weights, record = (folder / f"{target.name}-{size}{s}" for s in (".safetensors", ".json"))
    input = EncoderConfig().input
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        started = time.process_time()
        study = target.config
        config = (
            study.schedule("encoder", size, 0)
            if size != "full"
            else study.lasting(study.target_epochs, 0)
        )
        parts = cut_network(network, None, None, seed=config.seed)
        data, test = target.part(size), target.part("test")
        trained = fit(network, parts, data, Images(input), config)
        result = {
            "accuracy": accuracy(network, trained.values, test, Images(input)),
            "images": len(data),
            "cpu_seconds": time.process_time() - started,
        }
        save_values(weights, network, trained.values)
        _write(record, result)
        report(f"target network {target.name} ({size}): {result['accuracy']:.3f}")
    values = load_values(weights, network)
    return network.wrap(values, f"{target.name}-{size}"), json.loads(record.read_text())


def transfer_cells(
    source_name: str,
    source: Model,
    target: Target,
    config: StudyConfig,
    output: Path,
    report: Report,
) -> dict[str, Any]:
    """Accuracy of transfer from every cut, size and seed: {size: [cuts, seeds]} and the record."""
    network = network_of(source, target.classes)
    folder = output / "cells" / f"{source_name}-{target.name}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[list[float]]] = {size: [] for size, _ in config.fractions}
    seconds = 0.0
    for cut in network.cuts:
        store = _Store(network, source, target, cut)
        for size, _ in config.fractions:
            accuracies = []
            for seed in config.seeds:
                path = folder / f"{size}-{cut}-{seed}.json"
                if not path.is_file():
                    _write(path, store.run(size, config.schedule(source_name, size, seed)))
                    report(f"{source_name} -> {target.name}, {size}, {cut}, seed {seed}")
                result = json.loads(path.read_text())
                accuracies.append(result["accuracy"])
                seconds += result["cpu_seconds"]
            rows[size].append(accuracies)
    return {"cuts": list(network.cuts), "accuracy": rows, "cpu_seconds": seconds}


def is_finished(
    source_name: str, source: Model, target: Target, config: StudyConfig, output: Path
) -> bool:
    """Whether every transfer of a pair has been run."""
    folder = output / "cells" / f"{source_name}-{target.name}"
    cuts = network_of(source, target.classes).cuts
    return all(
        (folder / f"{size}-{cut}-{seed}.json").is_file()
        for size, _ in config.fractions
        for cut in cuts
        for seed in config.seeds
    )


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

    def run(self, size: str, config: TrainConfig) -> dict[str, float]:
        started = time.process_time()
        values = self.network.read(self.source)
        parts = cut_network(self.network, values, self.cut, seed=config.seed, name=self.source.name)
        data = self.features(size, parts.frozen, parts.start)
        test = self.features("test", parts.frozen, parts.start)
        trained = fit(self.network, parts, data, ChosenView(), config, from_cut=True)
        share = accuracy(self.network, trained.values, test, ChosenView(), start=parts.start)
        return {
            "accuracy": share,
            "loss": trained.metrics[-1]["loss"],
            "images": len(data.labels),
            "cpu_seconds": time.process_time() - started,
        }


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps({**content, "backend": jax.default_backend()}) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
