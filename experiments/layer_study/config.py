"""What the study runs over."""

import dataclasses
from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.training import TrainConfig

RECIPES = ("paper", "default")
# Estimators of each layer's features with the training images' labels ...
LABELLED = ("logme", "knn")
# ... and with the target network's features of the probe images.
PAIRED = ("cka_linear", "rsa")


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """A run; hashable.

    Attributes:
      sources: names of networks: of the packaged zoo, or "resnet20" and "resnet56" (CIFAR-10).
      targets: data sets of `experiments.layer_study.data`.
      fractions: name of a data size -> share of the target's training part.
      seeds: of the fresh layers, the order and the augmentation.
      epochs: passes over the data: (family, data size) -> number. The residual networks have batch
        norm and learn in fewer, each of which costs more.
      train: optimiser and the rest of the schedule; the rate falls to a tenth after two thirds.
      target_epochs: of the target network that is trained on the whole training part.
      probe_images: from the target's probe part.
      resamples: of the bootstrap over probe images.
    """

    sources: tuple[str, ...] = ("corners", "resnet20", "photograph", "denoising")
    targets: tuple[str, ...] = ("clothing", "fashion", "cifar10")
    fractions: tuple[tuple[str, float], ...] = (("large", 0.25), ("small", 0.05))
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: tuple[tuple[str, str, int], ...] = (
        ("encoder", "large", 20),
        ("encoder", "small", 60),
        ("resnet", "large", 8),
        ("resnet", "small", 24),
    )
    train: TrainConfig = TrainConfig(learning_rate=0.02, batch_size=32)
    target_epochs: int = 20
    probe_images: int = 200
    resamples: int = 400

    def __post_init__(self):
        for kind in ("sources", "targets"):
            if not getattr(self, kind):
                raise DeparaError(f"--{kind} names nothing; name at least one")

    def schedule(self, source: str, size: str, seed: int) -> TrainConfig:
        """How a network of that source's family is trained at that data size, or on "full"."""
        family = "resnet" if source.startswith("resnet") else "encoder"
        lasting = {(f, s): count for f, s, count in self.epochs}
        epochs = self.target_epochs if size == "full" else lasting[family, size]
        milestones = (2 * epochs // 3,)
        return dataclasses.replace(self.train, epochs=epochs, milestones=milestones, seed=seed)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(source, target), but CIFAR-10 to itself."""
        return tuple(
            (source, target)
            for source in self.sources
            for target in self.targets
            if not (source.startswith("resnet") and target == "cifar10")
        )

    def fixed(self) -> dict[str, Any]:
        """What every cell depends on, as plain values; sources, targets and seeds may be added."""
        fields = dataclasses.asdict(self)
        fields["fractions"] = dict(self.fractions)
        for name in ("sources", "targets", "seeds", "resamples"):
            del fields[name]
        return fields
