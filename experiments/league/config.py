"""What a study is made of, as one frozen, hashable value."""

import dataclasses
from functools import partial
from typing import NamedTuple

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import EncoderConfig
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.tasks import TASKS

# A target counts if the order of its sources comes out again with other encoder seeds, and if its
# own networks serve it better than random ones. Fixed before any estimator was scored.
LEAST_AGREEMENT = 0.6
READOUT_SEED = 23  # of the target images' crops and corruptions, the same for every network
RANDOM = "random"  # the control's name where others have a task


class Encoder(NamedTuple):
    """Which network of the study: a task (or `RANDOM`), an architecture and a seed."""

    task: str
    architecture: str
    seed: int

    @property
    def name(self) -> str:
        """Unique within a study, and how every matrix is aligned: "edges/residual/0"."""
        return f"{self.task}/{self.architecture}/{self.seed}"

    @classmethod
    def parse(cls, name: str) -> "Encoder":
        """The network of that name."""
        task, architecture, seed = name.split("/")
        return cls(task, architecture, int(seed))


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Sizes of every stage.

    Attributes:
      architectures: (name, shape) of the encoders.
      tasks: sources, and targets as far as the exclusion rule admits them.
      seeds: encoders a task and architecture, each with weights and batches of its own.
      steps: optimiser steps of an encoder.
      batch_size: images a step.
      learning_rate: peak of the schedule.
      readout_images: labelled target images that a readout is trained on.
      readout_draws: readouts a (source, target), on disjoint draws of target images.
      test_images: held-out images that readouts are judged on.
      probe_images: unlabelled images for the similarities.
      most_probe_images: the largest probe set of the sweep over their number.
      path_steps: midpoints of integrated gradients and nodes of ModelGiF.
      least_agreement: the exclusion rule's bound, see `Study.targets`; None admits every
        target (the quick study, whose numbers mean nothing).
      ablations: also compute what only the ablations need.
      fine_tuned: how many (source, target) pairs are also fine-tuned.
      fine_tune_steps: optimiser steps of each.
    """

    architectures: tuple[tuple[str, EncoderConfig], ...]
    tasks: tuple[str, ...] = tuple(TASKS)
    seeds: int = 3
    steps: int = 500
    batch_size: int = 32
    learning_rate: float = 2e-3
    readout_images: int = 128
    readout_draws: int = 3
    test_images: int = 400
    probe_images: int = 200
    most_probe_images: int = 1000
    path_steps: int = 6
    least_agreement: float | None = LEAST_AGREEMENT
    ablations: bool = True
    fine_tuned: int = 27
    fine_tune_steps: int = 120

    def __post_init__(self):
        names = [name for name, _ in self.architectures]
        if not names or len(set(names)) != len(names) or len(set(self.tasks)) != len(self.tasks):
            raise DeparaError(f"study: architectures {names} and tasks must be distinct, not empty")
        if len(self.tasks) < 4 or self.seeds < 2:
            raise DeparaError(
                f"study: needs at least 4 tasks and 2 seeds, got {len(self.tasks)} and {self.seeds}"
            )
        sizes = (self.steps, self.batch_size, self.readout_draws, self.test_images, self.path_steps)
        if min(sizes) < 1 or self.readout_images < 8 or self.probe_images < 10:
            raise DeparaError(f"study: sizes must be positive (8 readout, 10 probe images): {self}")

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """Every network, the random controls last within each architecture."""
        return tuple(
            Encoder(task, architecture, seed)
            for architecture, _ in self.architectures
            for task in (*self.tasks, RANDOM)
            for seed in range(self.seeds)
        )

    @property
    def trained(self) -> tuple[Encoder, ...]:
        """The networks without the random controls."""
        return tuple(encoder for encoder in self.encoders if encoder.task != RANDOM)

    def shape(self, architecture: str) -> EncoderConfig:
        """The encoders' shape by the architecture's name."""
        return dict(self.architectures)[architecture]

    def training(self, architecture: str) -> TrainConfig:
        """How encoders of that architecture are trained."""
        return TrainConfig(
            encoder=self.shape(architecture),
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup=min(50, max(1, self.steps // 10)),
            chunk=min(50, self.steps),
        )


_plain = partial(EncoderConfig, block="plain", output_activation="linear")
FULL = StudyConfig(
    architectures=(
        # Shortcuts and a last ReLU as in the packaged zoo; and neither (so that channel signs are
        # arbitrary). Two blocks and an early stride, half the packaged encoder's cost: there are
        # a hundred of them to train.
        ("residual", EncoderConfig(widths=(16, 24), strides=(2, 1))),
        ("plain", _plain(widths=(16, 24), strides=(2, 1))),
    ),
    # Rotation stays at chance on these patches and jigsaw next to it (README.md of mini_taskonomy).
    tasks=tuple(name for name in TASKS if name not in ("rotation", "jigsaw")),
)
QUICK = StudyConfig(
    architectures=(
        ("residual", EncoderConfig(widths=(4, 6), strides=(1, 2), features=4)),
        ("plain", _plain(widths=(6,), strides=(2,), features=4)),
    ),
    tasks=("edges", "saturation", "photograph", "noise_level"),
    seeds=2,
    steps=20,
    batch_size=8,
    readout_images=24,
    readout_draws=2,
    test_images=36,
    probe_images=24,
    most_probe_images=48,
    path_steps=2,
    least_agreement=None,
    ablations=False,
    fine_tuned=2,
    fine_tune_steps=4,
)
