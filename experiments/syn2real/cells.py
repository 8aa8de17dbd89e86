"""The runs: DNN-Source, DNN-Target, and 18 cuts x 2 sources x 2 data sizes, each resumable."""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.data import Probe
from depara_jax.models import Model, build_model
from depara_jax.training import (
    PAPER_SPLIT,
    Examples,
    Images,
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
from experiments.common.run import Report
from experiments.syn2real.config import SynConfig


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
        folder, _ = self._run(name, domain, "train", name, self._scratch, {})
        model = self.network.wrap(
            load_values(folder.path / "weights.safetensors", self.network), name
        )
        # With this experiment's image size.
        spec = dataclasses.replace(model.spec, input=self.config.input)
        return Model(spec, model.forward, model.variables)

    def scratch(self, size: str) -> float:
        """Accuracy, in percent, of a network trained from scratch on one data size."""
        name, more = f"scratch-{size}", {"size": size}
        _, result = self._run(name, self.target_domain, size, name, self._scratch, more)
        return 100 * result["accuracy"]

    def transfer(self, source: str, size: str, cut: str) -> float:
        """Accuracy, in percent, of one cell of Table 2."""
        values = flat_values(self.named(source).variables)
        schedule = dataclasses.replace(self.config.transfer, seed=self.config.seed)
        more = {
            "source": tree_digest(values), "cut": cut, "share": dict(self.config.sizes)[size],
            "network": self.network.name,
        }  # fmt: skip
        path, name = f"cells/{source}/{size}/{cut}", f"{source}, {size}, {cut}"
        _, result = self._run(
            path, self.target_domain, size, name, schedule, more, values=values, cut=cut
        )
        return 100 * result["accuracy"]

    @property
    def _scratch(self) -> TrainConfig:
        return dataclasses.replace(self.config.scratch, seed=self.config.seed)

    def _run(
        self,
        path: str,
        domain: Domain,
        part: str,
        name: str,
        schedule: TrainConfig,
        more: dict[str, Any],
        *,
        values: Any = None,
        cut: str | None = None,
    ) -> tuple[RunFolder, dict[str, Any]]:
        """A run's folder and result; trained where it has none.

        Tested on the 20% after the last epoch, as the paper does.
        """
        about = {"data": domain.digest, "train": schedule.to_dict(), **more}
        folder = RunFolder(self.output / path, about)
        if folder.result is None:
            prepare = Images(self.config.input, flip=schedule.flip, shift=schedule.shift)
            parts = cut_network(self.network, values, cut, seed=schedule.seed, name=name)
            data, test = domain.part(part), domain.part("test")

            def progress(done: int, total: int, loss: float) -> None:
                self.report(name, done, total, f", loss {loss:.3f}")

            trained = fit(
                self.network, parts, data, prepare, schedule, folder=folder, progress=progress
            )
            share = accuracy(self.network, trained.values, test, prepare)
            result = {"accuracy": share, "images": len(data), "test_images": len(test)}
            # A transfer's weights (0.6 GB) are not needed again; those of the networks are.
            network = self.network if cut is None else None
            folder.finish(result, network=network, values=trained.values)
        assert folder.result is not None
        return folder, folder.result
