"""What a training run is made of, as one frozen, hashable value."""

import dataclasses

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import EncoderConfig

PATCH = 48  # side of the patches that are cut from the photographs
SIZE = 32  # side of the images that the encoders see, cropped at random out of a patch


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Training of one encoder (or of a readout on a frozen one) for one task.

    Attributes:
      encoder: the network's shape.
      steps: optimiser steps.
      batch_size: images a step, drawn with replacement.
      learning_rate: peak of a linear warm-up followed by a cosine to zero.
      warmup: steps of the warm-up.
      weight_decay: of AdamW, on encoder and head.
      clip: bound on the gradient's global norm.
      head_width: hidden channels of the task head.
      chunk: steps between two readings of the loss.
    """

    encoder: EncoderConfig = EncoderConfig()
    steps: int = 1600
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    warmup: int = 50
    weight_decay: float = 1e-4
    clip: float = 1.0
    head_width: int = 32
    chunk: int = 50

    def __post_init__(self):
        counts = (self.steps, self.batch_size, self.head_width, self.chunk)
        rates, more = (self.learning_rate, self.clip), (self.weight_decay, self.warmup)
        if min(counts) < 1 or min(rates) <= 0 or min(more) < 0:
            raise DeparaError(
                "TrainConfig: steps, batch_size, head_width and chunk must be at least 1, "
                "learning_rate and clip positive, weight_decay and warmup not negative, got "
                f"{self}"
            )
        if self.encoder.image_size != SIZE or self.encoder.channels_in != 3:
            raise DeparaError(
                f"TrainConfig: the tasks give RGB images of {SIZE} pixels, the encoder takes "
                f"{self.encoder.input.shape}"
            )
