"""The shape of an encoder as one frozen, hashable value."""

import dataclasses
from typing import Literal

from depara_jax.errors import DeparaError
from depara_jax.models.config import PortConfig
from depara_jax.spec import InputSpec

__all__ = ["EncoderConfig"]


@dataclasses.dataclass(frozen=True)
class EncoderConfig(PortConfig):
    """Shape of an encoder; hashable.

    Attributes:
      block: "residual" (two 3x3 convolutions and a shortcut), "plain" (two 3x3 convolutions) or
        "separable" (two depthwise 3x3 + pointwise 1x1 pairs and a shortcut).
      widths: channels of each block; the stem has `widths[0]`.
      strides: stride of each block's first convolution, as many as `widths`.
      stem_stride: stride of the stem.
      features: channels of the encoder's output.
      channels_in: channels of the images.
      output_activation: "relu" or "linear"; with "linear" the signs of the output's channels are
        arbitrary, and a `sum` target over them means little.
      image_size: height and width of the images; the network itself takes any size.
    """

    block: Literal["residual", "plain", "separable"] = "residual"
    widths: tuple[int, ...] = (16, 16, 24, 32)
    strides: tuple[int, ...] = (1, 1, 2, 1)
    stem_stride: int = 2
    features: int = 16
    channels_in: int = 3
    output_activation: Literal["relu", "linear"] = "relu"
    image_size: int = 32

    encoder = "encoder"  # what the task's head reads

    def __post_init__(self):
        if self.block not in ("residual", "plain", "separable"):
            raise DeparaError(
                f"EncoderConfig: block must be residual, plain or separable, got {self.block!r}"
            )
        if self.output_activation not in ("relu", "linear"):
            raise DeparaError(
                "EncoderConfig: output_activation must be relu or linear, "
                f"got {self.output_activation!r}"
            )
        if not self.widths or len(self.widths) != len(self.strides):
            raise DeparaError(
                "EncoderConfig: widths and strides must be as long as each other and not empty, "
                f"got {self.widths} and {self.strides}"
            )
        sizes = (*self.widths, *self.strides, self.stem_stride, self.features, self.image_size)
        whole = all(type(size) is int for size in (*sizes, self.channels_in))
        if not whole or min(sizes) < 1 or self.channels_in not in (1, 3):
            raise DeparaError(
                "EncoderConfig: widths, strides, features and sizes must be whole numbers of at "
                f"least 1 and channels_in 1 or 3, got {self}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "encoder-residual4"."""
        return f"encoder-{self.block}{len(self.widths)}"

    @property
    def input(self) -> InputSpec:
        """Preprocessing: square images on [-1, 1]."""
        return InputSpec(
            size=(self.image_size, self.image_size),
            channels="gray" if self.channels_in == 1 else "rgb",
            scale=(-1.0, 1.0),
            mean=(0.0,) * self.channels_in,
            std=(1.0,) * self.channels_in,
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, shallow to deep."""
        blocks = (f"block{k + 1}" for k in range(len(self.widths)))
        return ("stem", *blocks, "encoder")

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that the network returns, shallow to deep."""
        names = [name for stage in self.stages for name in (f"{stage}.pre", stage)]
        if self.output_activation == "linear":
            names.remove("encoder.pre")
        return tuple(names)

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The stages before ("conv") and after ("activation") their ReLU."""
        before = tuple(s if f"{s}.pre" not in self.layers else f"{s}.pre" for s in self.stages)
        return (("conv", before), ("activation", self.stages))
