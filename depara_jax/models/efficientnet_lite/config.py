"""The shape of an EfficientNet-Lite as one frozen, hashable value."""

import dataclasses
import math

from depara_jax.errors import DeparaError
from depara_jax.models.layers.convolution import Padding
from depara_jax.models.layers.inverted import BlockShape, InvertedConfig, block_shapes, divisible
from depara_jax.spec import InputSpec

__all__ = ["EfficientNetLiteConfig"]

# Expansion, channels, blocks, kernel, stride of the first: table 1 of Tan and Le, "EfficientNet",
# ICML 2019 (without squeeze-and-excitation, and with ReLU6).
_STAGES = (
    (1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2), (6, 320, 1, 3, 1),
)  # fmt: skip
_STEM, _HEAD = 32, 1280  # the same in all sizes
# Width, depth, pixels: tensorflow/tpu, models/official/efficientnet/lite.
_SIZES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))


@dataclasses.dataclass(frozen=True)
class EfficientNetLiteConfig(InvertedConfig):
    """Shape of an EfficientNet-Lite; hashable.

    Attributes:
      size: 0 to 4.
      num_classes: outputs.
      narrow: a further factor on all channel counts, for narrow networks.
      padding: TensorFlow's.
      epsilon: of batch normalisation.
    """

    size: int = 0
    num_classes: int = 1000
    narrow: float = 1.0
    padding: Padding = "same"
    epsilon: float = 1e-3

    def __post_init__(self):
        if self.size not in range(5):
            raise DeparaError(f"EfficientNetLiteConfig: size must be 0 to 4, got {self.size}")
        if self.num_classes < 1 or not self.narrow > 0:
            raise DeparaError(
                "EfficientNetLiteConfig: num_classes must be at least 1 and narrow positive, got "
                f"{self.num_classes} and {self.narrow}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "efficientnet_lite0", with "-x0.25" where narrower."""
        name = f"efficientnet_lite{self.size}"
        return name if self.narrow == 1 else f"{name}-x{self.narrow:g}"

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        return divisible(_STEM * self.narrow)

    @property
    def head_width(self) -> int:
        """Channels of the last convolution."""
        return divisible(_HEAD * self.narrow)

    @property
    def blocks(self) -> tuple[tuple[BlockShape, ...], ...]:
        """The blocks, group by group; the first and the last group are never repeated more."""
        width, depth, _ = _SIZES[self.size]
        inner = range(1, len(_STAGES) - 1)
        rows = [
            (expansion, divisible(channels * width * self.narrow),
             math.ceil(count * depth) if s in inner else count, size, stride)
            for s, (expansion, channels, count, size, stride) in enumerate(_STAGES)
        ]  # fmt: skip
        return block_shapes(self.stem_width, rows)

    @property
    def input(self) -> InputSpec:
        """(x - 127) / 128 of the pixel values, at the size's own resolution."""
        side = _SIZES[self.size][2]
        return InputSpec(
            size=(side, side),
            resize=side + 32,
            scale=(0.0, 255.0),
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
        )
