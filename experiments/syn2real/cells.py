"""The runs: DNN-Source, DNN-Target, and 18 cuts x 2 sources x 2 data sizes, each resumable."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.data import Probe
from depara_jax.errors import DeparaError
from depara_jax.models import Model, ModelSpec, build_model
from depara_jax.training import (
    PAPER_SPLIT,
    Examples,
    Images,
    Network,
    RunFolder,
    TrainConfig,
    accuracy,
    cut_network,
    fit,
    flat_values,
    load_values,
    make_split,
    subset,
    vgg_network,
    write_manifest,
)
from depara_jax.training.checkpoints import tree_digest
from experiments.syn2real.config import SynConfig

__all__ = ["Domain", "Networks", "transfer"]

Report = Callable[[str, int, int], None]


class Domain:
    """One of the two image sets, split 70% / 10% / 20% by class, seed and file name."""

    def __init__(self, name: str, examples: Examples, config: SynConfig):
        self.name, self.examples, self.config = name, examples, config
        self.split = make_split(
            examples.ids, examples.labels, examples.classes, fractions=PAPER_SPLIT, seed=config.seed
        )

    def part(self, name: str) -> Examples:
        """A part by name: train, validation, test, or a data size of the training part."""
        sizes = dict(self.config.sizes)
        rows = subset(self.split, "train", sizes[name]) if name in sizes else self.split.parts[name]
        return self.examples.subset(rows)

    def record(self, output: Path) -> None:
        """Writes which image is where."""
        sizes = {name: subset(self.split, "train", share) for name, share in self.config.sizes}
        output.mkdir(parents=True, exist_ok=True)
        write_manifest(output / f"split-{self.name}.json", self.split, **sizes)

    @cached_property
    def probe(self) -> Probe:
        """Images of the validation part, stratified; their labels are not used."""
        count = len(self.split.parts["validation"])
        rows = subset(self.split, "validation", min(1.0, self.config.probe_images / count))
        return Probe.from_arrays(self.examples.take(rows), [self.examples.ids[r] for r in rows])

    @property
    def digest(self) -> str:
        """Of names and labels."""
        return tree_digest([np.asarray(self.examples.ids), self.examples.labels])[:16]


class Networks:
    """DNN-Source, DNN-ImageNet and DNN-Target; what is trained is trained once."""

    def __init__(
        self,
        source: Domain,
        target: Domain,
        imagenet: Model | Path,
        config: SynConfig,
        output: Path,
        report: Report,
    ):
        self.config, self.output, self.report = config, output, report
        self.source_domain, self.target_domain = source, target
        self.network = vgg_network(config.network(len(target.examples.classes)))
        if isinstance(imagenet, Path):
            loaded = build_model(
                f"vgg{config.depth}_bn", weights=imagenet, input=config.input,
                configuration={"width": config.width, "num_classes": 1000},
            )  # fmt: skip
            imagenet = dataclasses.replace(
                loaded, spec=dataclasses.replace(loaded.spec, name="DNN-ImageNet")
            )
        self.imagenet = imagenet

    @cached_property
    def source(self) -> Model:
        """Trained from scratch on the synthetic images."""
        return self._trained("DNN-Source", self.source_domain)

    @cached_property
    def target(self) -> Model:
        """Trained from scratch on the target's whole training part."""
        return self._trained("DNN-Target", self.target_domain)

    def named(self, name: str) -> Model:
        """One of `SOURCES`."""
        return self.imagenet if name == "imagenet" else self.source

    def _trained(self, name: str, domain: Domain) -> Model:
        classes = len(domain.examples.classes)
        network = vgg_network(self.config.network(classes))
        schedule = dataclasses.replace(self.config.scratch, seed=self.config.seed)
        folder = RunFolder(self.output / name, {"data": domain.digest, "train": schedule.to_dict()})
        if folder.result is None:
            values = run_cell(
                network, None, None, domain, "train", schedule, folder, self.config, name,
                self.report,
            )  # fmt: skip
        else:
            values = load_values(folder.path / "weights.safetensors", network)
        return with_input(network.wrap(values, name), self.config)

    def scratch(self, size: str) -> float:
        """Accuracy of a network trained from scratch on one data size."""
        schedule = dataclasses.replace(self.config.scratch, seed=self.config.seed)
        folder = RunFolder(
            self.output / f"scratch-{size}",
            {"data": self.target_domain.digest, "size": size, "train": schedule.to_dict()},
        )
        if folder.result is None:
            run_cell(
                self.network, None, None, self.target_domain, size, schedule, folder, self.config,
                f"scratch {size}", self.report,
            )  # fmt: skip
        assert folder.result is not None
        return folder.result["accuracy"]


def transfer(networks: Networks, source: str, size: str, cut: str) -> float:
    """Accuracy, in percent, of one cell of Table 2; run where it has not been."""
    config, domain = networks.config, networks.target_domain
    schedule = dataclasses.replace(config.transfer, seed=config.seed)
    model = networks.named(source)
    values = flat_values(model.variables)
    folder = RunFolder(
        networks.output / "cells" / source / size / cut,
        {
            "data": domain.digest, "source": tree_digest(values), "cut": cut,
            "share": dict(config.sizes)[size], "train": schedule.to_dict(),
            "network": networks.network.name,
        },
    )  # fmt: skip
    if folder.result is None:
        name = f"{source}, {size}, {cut}"
        run_cell(
            networks.network, values, cut, domain, size, schedule, folder, config, name,
            networks.report,
        )  # fmt: skip
    assert folder.result is not None
    return 100 * folder.result["accuracy"]


def run_cell(
    network: Network,
    values: Any,
    cut: str | None,
    domain: Domain,
    part: str,
    schedule: TrainConfig,
    folder: RunFolder,
    config: SynConfig,
    name: str,
    report: Report,
) -> dict[str, Any]:
    """Trains, tests on the 20% after the last epoch as the paper does, and writes the result."""
    if values is None and cut is not None:
        raise DeparaError(f"{name}: a cut needs a source network")
    prepare = Images(config.input, flip=schedule.flip, shift=schedule.shift)
    parts = cut_network(network, values, cut, seed=schedule.seed, name=name)
    data, test = domain.part(part), domain.part("test")
    trained = fit(
        network, parts, data, prepare, schedule, folder=folder,
        progress=lambda done, total, loss: report(f"{name}, loss {loss:.3f}", done, total),
    )  # fmt: skip
    share = accuracy(network, trained.values, test, prepare)
    result = {"accuracy": share, "images": len(data), "test_images": len(test)}
    # A transfer's weights (0.6 GB) are not needed again; those of the networks are.
    folder.finish(result, network=network if cut is None else None, values=trained.values)
    return trained.values


def with_input(model: Model, config: SynConfig) -> Model:
    """The same network with this experiment's image size."""
    spec: ModelSpec = dataclasses.replace(model.spec, input=config.input)
    return Model(spec, model.forward, model.variables)
