"""How to train: one frozen, hashable value, and the paper's two schedules."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import optax

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = ["PAPER_SCRATCH", "PAPER_TRANSFER", "TrainConfig"]

Optimizer = Literal["sgd", "adamw"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimiser, schedule, augmentation and seed; the defaults are the paper's transfer.

    Attributes:
      optimizer: "sgd" with Nesterov momentum, or "adamw".
      learning_rate: at the start.
      momentum: of SGD.
      nesterov: of SGD.
      weight_decay: SGD adds it to the gradients of all parameters, as PyTorch does; AdamW decouples
        it (Loshchilov and Hutter, ICLR 2019).
      batch_size: images a step; all of them where there are fewer. What does not fill a last batch
        waits for another epoch's order.
      epochs: passes over the data.
      milestones: epochs after which the learning rate is multiplied by `decay`.
      decay: see `milestones`.
      flip: mirror each image with probability 1/2.
      shift: move each image by up to so many pixels in each direction, edges reflected.
      seed: of fresh weights, order, augmentation and dropout.
    """

    optimizer: Optimizer | str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    batch_size: int = 128
    epochs: int = 50
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    flip: bool = True
    shift: int = 0
    seed: int = 0

    def __post_init__(self):
        if self.optimizer not in get_args(Optimizer):
            raise UnknownNameError("optimizer", str(self.optimizer), get_args(Optimizer))
        numbers = (self.learning_rate, self.momentum, self.weight_decay, self.decay)
        if not all(math.isfinite(x) and x >= 0 for x in numbers) or self.learning_rate == 0:
            raise DeparaError(
                "TrainConfig: learning_rate must be above 0, momentum, weight_decay and decay at "
                f"least 0 and all finite, got {self}"
            )
        if (
            min(self.batch_size, self.epochs) < 1
            or min(self.shift, self.seed, *self.milestones) < 0
        ):
            raise DeparaError(
                "TrainConfig: batch_size and epochs must be at least 1, shift, seed and milestones "
                f"at least 0, got {self}"
            )

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return self.learning_rate * self.decay ** sum(epoch >= m for m in self.milestones)

    def rule(self) -> "TrainConfig":
        """What a compiled step depends on; the rest at its default, so that it compiles once."""
        fixed = {"learning_rate": 1.0, "batch_size": 1, "epochs": 1, "milestones": (), "decay": 0.1}
        return dataclasses.replace(self, **fixed, flip=True, shift=0, seed=0)

    def transformation(self) -> optax.GradientTransformation:
        """The optimiser at learning rate 1: a step is its update times the rate of the epoch."""
        decay = optax.add_decayed_weights(self.weight_decay)
        if self.optimizer == "adamw":
            return optax.chain(optax.scale_by_adam(), decay, optax.scale(-1.0))
        momentum = optax.trace(decay=self.momentum, nesterov=self.nesterov)
        return optax.chain(decay, momentum, optax.scale(-1.0))

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}


# Section 4.2 of the paper: from scratch 80 epochs, .01 -> .001 after 50; transfer 50 epochs. The
# batch sizes are the code's; its schedules never decay (facts: its StepLR(200) exceeds its epochs).
PAPER_SCRATCH = TrainConfig(batch_size=32, epochs=80, milestones=(50,))
PAPER_TRANSFER = TrainConfig()


def digest(fields: Mapping[str, Any]) -> str:
    """sha256 of plain values, whatever the order of their names."""
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
