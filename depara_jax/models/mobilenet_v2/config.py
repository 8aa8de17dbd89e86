"""The shape of a MobileNetV2 as one frozen, hashable value."""

import dataclasses

from depara_jax.errors import DeparaError
from depara_jax.models.layers.convolution import Padding
from depara_jax.models.layers.inverted import BlockShape, InvertedConfig, block_shapes, divisible
from depara_jax.spec import InputSpec

__all__ = ["MobileNetV2Config"]

# Expansion, channels, blocks, stride of the first: table 2 of Sandler et al., CVPR 2018.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
_STEM, _HEAD = 32, 1280


@dataclasses.dataclass(frozen=True)
class MobileNetV2Config(InvertedConfig):
    """Shape of a MobileNetV2; hashable.

    Attributes:
      width: factor on the channel counts; the last convolution is never narrower than 1280.
      num_classes: outputs; None leaves the last linear layer out.
      head: whether the last 1x1 convolution is there; segmentation networks end before it.
      output_stride: 32, or 16 with dilated convolutions in place of the last stride.
      divisor: channel counts are rounded to multiples of it.
      padding: "torch" (torchvision's) or "same" (TensorFlow's, and timm's tf_ networks).
      epsilon: of batch normalisation.
      folded: whether normalisation is part of the convolutions.
    """

    width: float = 1.0
    num_classes: int | None = 1000
    head: bool = True
    output_stride: int = 32
    divisor: int = 8
    padding: Padding = "torch"
    epsilon: float = 1e-5
    folded: bool = False

    def __post_init__(self):
        if self.num_classes is not None and self.num_classes < 1 or not self.width > 0:
            raise DeparaError(
                "MobileNetV2Config: num_classes must be at least 1 and width positive, got "
                f"{self.num_classes} and {self.width}"
            )
        if self.output_stride not in (16, 32):
            raise DeparaError(
                f"MobileNetV2Config: output_stride must be 16 or 32, got {self.output_stride}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "mobilenet_v2_1.0", with what is different after it."""
        name = f"mobilenet_v2_{float(self.width)}"
        return name + ("-stride16" if self.output_stride == 16 else "")

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        return divisible(_STEM * self.width, self.divisor)

    @property
    def blocks(self) -> tuple[tuple[BlockShape, ...], ...]:
        """The blocks, group by group."""
        rows = [
            (expansion, divisible(channels * self.width, self.divisor), count, 3, stride)
            for expansion, channels, count, stride in _STAGES
        ]
        return block_shapes(self.stem_width, rows, self.output_stride)

    @property
    def head_width(self) -> int | None:
        """Channels of the last convolution."""
        return divisible(_HEAD * max(1.0, self.width), self.divisor) if self.head else None

    @property
    def input(self) -> InputSpec:
        """ImageNet's mean and spread, or TensorFlow's range of -1..1."""
        if self.padding == "torch":
            return InputSpec.imagenet()
        return InputSpec(size=(224, 224), resize=256, scale=(-1.0, 1.0))
