"""The shape of a MobileNetV1 as one frozen, hashable value."""

import dataclasses
from typing import Literal

from depara_jax.errors import DeparaError
from depara_jax.models.config import StagedConfig
from depara_jax.models.layers.convolution import Padding
from depara_jax.spec import InputSpec

__all__ = ["MobileNetV1Config"]

# Channels and stride of each depthwise separable block: table 1 of Howard et al., "MobileNets:
# Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
_STEM = 32


@dataclasses.dataclass(frozen=True)
class MobileNetV1Config(StagedConfig):
    """Shape of a MobileNetV1; hashable.

    Attributes:
      width: factor on the channel counts.
      num_classes: outputs; None leaves the last linear layer out.
      output_stride: 32, or 16 as PoseNet and BodyPix have it: the last two blocks keep the
        resolution and the width (512) of those before.
      activation: "relu6", or "relu" as in MLPerf Tiny's person detector.
      padding: "same" (TensorFlow's and Keras's) or "torch" (timm's).
      epsilon: of batch normalisation.
      folded: whether normalisation is part of the convolutions.
      padded_stem: whether a row and a column of zeros come below and on the right of the image.
    """

    width: float = 1.0
    num_classes: int | None = 1000
    output_stride: int = 32
    activation: Literal["relu6", "relu"] = "relu6"
    padding: Padding = "same"
    epsilon: float = 1e-3
    folded: bool = False
    padded_stem: bool = False

    encoder = "avgpool"

    def __post_init__(self):
        if self.num_classes is not None and self.num_classes < 1 or not _STEM * self.width >= 1:
            raise DeparaError(
                "MobileNetV1Config: num_classes must be at least 1 and width large enough for one "
                f"channel, got {self.num_classes} and {self.width}"
            )
        if self.output_stride not in (16, 32):
            raise DeparaError(
                f"MobileNetV1Config: output_stride must be 16 or 32, got {self.output_stride}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "mobilenet_v1_0.25", with what is different after it."""
        name = f"mobilenet_v1_{float(self.width)}"
        return name + ("-stride16" if self.output_stride == 16 else "")

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        return int(_STEM * self.width)

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """Channels in, channels out and stride of each block."""
        table = _BLOCKS if self.output_stride == 32 else (*_BLOCKS[:11], (512, 1), (512, 1))
        widths = [self.stem_width, *(int(width * self.width) for width, _ in table)]
        return tuple(
            (n_in, n_out, stride)
            for n_in, n_out, (_, stride) in zip(widths, widths[1:], table, strict=False)
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of stem and blocks, shallow to deep."""
        return ("stem", *(f"blocks.{k}" for k in range(len(self.blocks))))

    @property
    def layers(self) -> tuple[str, ...]:
        """As in `StagedConfig`; BLOCK.depthwise is the activation between the convolutions."""
        between = {f"{block}.conv": (f"{block}.depthwise",) for block in self.stages[1:]}
        return tuple(a for layer in super().layers for a in (*between.get(layer, ()), layer))

    @property
    def logits(self) -> str | None:
        """The classes."""
        return None if self.num_classes is None else "classifier"

    @property
    def input(self) -> InputSpec:
        """TensorFlow's range of -1..1."""
        return InputSpec(size=(224, 224), resize=256, scale=(-1.0, 1.0))
