"""The runs: DNN-Source, DNN-Target, and 18 cuts x 2 sources x 2 data sizes, each resumable."""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax import training
from depara_jax.models import Model, build_model
from depara_jax.training.checkpoints import tree_digest
from experiments.common.domain import Domain
from experiments.common.run import Report
from experiments.syn2real.config import SynConfig


def domain_of(name: str, examples: training.Examples, config: SynConfig) -> Domain:
    """One of the two image sets, split 70% / 10% / 20% by class, seed and file name."""
    ids, labels, classes = examples.ids, examples.labels, examples.classes
    split = training.make_split(ids, labels, classes, seed=config.seed)  # the paper's fractions
    return Domain(name, examples, split, dict(config.sizes), "validation", config.probe_images)


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
        self.network = training.vgg_network(config.network(len(target.examples.classes)))
        if isinstance(imagenet, Path):
            loaded = build_model(
                f"vgg{config.depth}_bn", weights=imagenet, input=config.input,
                configuration={"width": config.width, "num_classes": 1000},
            )  # fmt: skip
            spec = dataclasses.replace(loaded.spec, name="DNN-ImageNet")
            imagenet = dataclasses.replace(loaded, spec=spec)
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
        self._run(name, domain, "train", self.config.scratch, {})
        weights = training.load_values(self.output / name / "weights.safetensors", self.network)
        model = self.network.wrap(weights, name)
        # With this experiment's image size.
        spec = dataclasses.replace(model.spec, input=self.config.input)
        return dataclasses.replace(model, spec=spec)

    def scratch(self, size: str) -> float:
        """Accuracy, in percent, of a network trained from scratch on one data size."""
        path, schedule = f"scratch-{size}", self.config.scratch
        return self._run(path, self.target_domain, size, schedule, {"size": size})

    def transfer(self, source: str, size: str, cut: str) -> float:
        """Accuracy, in percent, of one cell of Table 2."""
        values = training.flat_values(self.named(source).variables)
        more = {
            "source": tree_digest(values), "cut": cut, "share": dict(self.config.sizes)[size],
            "network": self.network.name,
        }  # fmt: skip
        path, schedule = f"cells/{source}/{size}/{cut}", self.config.transfer
        return self._run(path, self.target_domain, size, schedule, more, values=values, cut=cut)

    def _run(
        self,
        path: str,
        domain: Domain,
        part: str,
        schedule: training.TrainConfig,
        more: dict[str, Any],
        *,
        values: Any = None,
        cut: str | None = None,
    ) -> float:
        """A run's accuracy in percent; trained where its folder has no result.

        Tested on the 20% after the last epoch, as the paper does.
        """
        schedule = dataclasses.replace(schedule, seed=self.config.seed)
        name = path.removeprefix("cells/").replace("/", ", ")
        # Of names and labels.
        digest = tree_digest([np.asarray(domain.examples.ids), domain.examples.labels])[:16]
        about = {"data": digest, "train": schedule.to_dict(), **more}
        folder = training.RunFolder(self.output / path, about)
        if folder.result is None:
            prepare = training.Images(self.config.input, flip=schedule.flip, shift=schedule.shift)
            parts = training.cut_network(self.network, values, cut, seed=schedule.seed, name=name)
            data, test = domain.part(part), domain.part("test")

            def progress(done: int, total: int, loss: float) -> None:
                self.report(name, done, total, f", loss {loss:.3f}")

            trained = training.fit(
                self.network, parts, data, prepare, schedule, folder=folder, progress=progress
            )
            share = training.accuracy(self.network, trained.values, test, prepare)
            result = {"accuracy": share, "images": len(data), "test_images": len(test)}
            # A transfer's weights (0.6 GB) are not needed again; those of the networks are.
            network = self.network if cut is None else None
            folder.finish(result, network=network, values=trained.values)
        assert folder.result is not None
        return 100 * folder.result["accuracy"]
