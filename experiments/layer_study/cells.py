"""Transfers and target networks, each a cell that is stored when it is done and never run twice."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from depara_jax import training
from depara_jax.models import Model, load_model
from depara_jax.models.encoder import EncoderConfig
from experiments.common.cells import Cells
from experiments.common.domain import Domain
from experiments.layer_study.config import StudyConfig


def load_source(name: str, zoo: Path) -> Model:
    """A source network: of the packaged zoo, or a CIFAR ResNet of the folder."""
    if name.startswith("resnet"):
        return load_model(f"cifar_{name}={zoo / f'cifar10_{name}.npz'}")
    return load_model(name)


def target_network(
    target: Domain, size: str, config: StudyConfig, cells: Cells, console: Console
) -> tuple[Model, dict]:
    """A small encoder trained from scratch on a data size, or on "full"; and its record."""
    network = training.encoder_network(EncoderConfig(), len(target.examples.classes))
    weights = cells.path(f"targets/{target.name}-{size}.safetensors")
    prepare = training.Images(EncoderConfig().input)

    def train() -> dict[str, Any]:
        started = time.process_time()
        schedule = config.schedule("encoder", size, 0)
        parts = training.cut_network(network, None, None, seed=schedule.seed)
        data, test = target.part(size), target.part("test")
        trained = training.fit(network, parts, data, prepare, schedule)
        share = training.accuracy(network, trained.values, test, prepare)
        weights.parent.mkdir(parents=True, exist_ok=True)
        training.save_values(weights, network, trained.values)
        console.print(f"target network {target.name} ({size}): {share:.3f}")
        return _measured(started, accuracy=share, images=len(data))

    record = cells.get(f"targets/{target.name}-{size}.json", train)
    return network.wrap(training.load_values(weights, network), f"{target.name}-{size}"), record


def transfer_cells(
    source_name: str,
    source: Model,
    target: Domain,
    config: StudyConfig,
    cells: Cells,
    console: Console,
    *,
    finished_only: bool = False,
) -> dict[str, Any] | None:
    """Accuracy of transfer from every cut, size and seed: {size: [cuts, seeds]} and the record.

    With `finished_only` nothing is run, and None says that a transfer is missing.
    """
    network = training.network_of(source, len(target.examples.classes))
    rows: dict[str, list[list[float]]] = {size: [] for size, _ in config.fractions}
    seconds = 0.0
    for cut in network.cuts:
        run = _transfer(network, source, target, cut)
        for size in rows:
            accuracies = []
            for seed in config.seeds:
                name = f"cells/{source_name}-{target.name}/{size}-{cut}-{seed}.json"
                result = cells.read(name)
                if result is None and finished_only:
                    return None
                if result is None:
                    result = run(size, config.schedule(source_name, size, seed))
                    cells.write(name, result)
                    console.print(f"{source_name} -> {target.name}, {size}, {cut}, seed {seed}")
                accuracies.append(result["accuracy"])
                seconds += result["cpu_seconds"]
            rows[size].append(accuracies)
    return {"cuts": list(network.cuts), "accuracy": rows, "cpu_seconds": seconds}


def _measured(started: float, **content: Any) -> dict[str, Any]:
    """A cell's content with what it took."""
    seconds = time.process_time() - started
    return {**content, "cpu_seconds": seconds, "backend": jax.default_backend()}


def _transfer(
    network: training.Network, source: Model, target: Domain, cut: str
) -> Callable[[str, training.TrainConfig], dict[str, Any]]:
    """(data size, schedule) -> a transfer's record; features are computed once they are needed."""
    values = network.read(source)

    @functools.cache
    def features(part: str) -> training.CachedFeatures:
        parts = training.cut_network(network, values, cut, seed=0, name=source.name)
        return training.cached_features(
            network, parts.frozen, target.part(part), source.spec.input, stop=parts.start,
            mirrored=part != "test",
        )  # fmt: skip

    def run(size: str, config: training.TrainConfig) -> dict[str, Any]:
        started = time.process_time()
        parts = training.cut_network(network, values, cut, seed=config.seed, name=source.name)
        data, test = features(size), features("test")
        view = training.ChosenView()
        trained = training.fit(network, parts, data, view, config, from_cut=True)
        share = training.accuracy(network, trained.values, test, view, start=parts.start)
        loss = trained.metrics[-1]["loss"]
        return _measured(started, accuracy=share, loss=loss, images=len(data.labels))

    return run
