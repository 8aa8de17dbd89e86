"""The shape of Taskonomy's encoder as one frozen, hashable value."""

import dataclasses

from depara_jax.errors import DeparaError
from depara_jax.models.config import StagedConfig
from depara_jax.spec import InputSpec

__all__ = ["TaskonomyConfig"]


@dataclasses.dataclass(frozen=True)
class TaskonomyConfig(StagedConfig):
    """Shape of the encoder; hashable. The defaults are the published network.

    Attributes:
      channels_in: 3, or 1 for colorization, which sees the lightness only.
      stem_width: channels of the 7x7 convolution.
      widths: inner channels of each block's bottlenecks; their outputs have four times as many.
      units: bottlenecks of each block.
      strides: stride of each block's last unit.
      features: channels of the encoder's output.
    """

    channels_in: int = 3
    stem_width: int = 64
    widths: tuple[int, ...] = (64, 128, 256, 512)
    units: tuple[int, ...] = (3, 4, 6, 3)
    strides: tuple[int, ...] = (2, 2, 1, 1)
    features: int = 8

    encoder = "compress"  # the eight channels that a task's decoder reads
    stem_pool = "pool"  # the stem's output after max-pooling

    def __post_init__(self):
        if not len(self.widths) == len(self.units) == len(self.strides) > 0:
            raise DeparaError(
                "TaskonomyConfig: widths, units and strides must be as long as each other and not "
                f"empty, got {self.widths}, {self.units} and {self.strides}"
            )
        sizes = (*self.widths, *self.units, *self.strides, self.stem_width, self.features)
        if min(sizes) < 1 or self.channels_in not in (1, 3):
            raise DeparaError(
                f"TaskonomyConfig: all sizes must be at least 1 and channels_in 1 or 3, got {self}"
            )

    @property
    def architecture(self) -> str:
        """The name "taskonomy-resnet50", or the depth and the widths of another shape."""
        depth = 2 + 3 * sum(self.units)
        if dataclasses.replace(self, channels_in=3) == TaskonomyConfig():
            return "taskonomy-resnet50"
        return f"taskonomy-resnet{depth}-{'.'.join(map(str, self.widths))}"

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the convolution-norm-activation stages, shallow to deep."""
        units = (f"block{b + 1}.unit{u + 1}" for b, n in enumerate(self.units) for u in range(n))
        return ("stem", *units, "compress")

    @property
    def input(self) -> InputSpec:
        """256 pixels on [-1, 1]; a task may do more, see `tasks.Task.input`."""
        grey = self.channels_in == 1
        return InputSpec(
            size=(256, 256),
            channels="lab_l" if grey else "rgb",
            scale=(-1.0, 1.0),
            mean=(0.0,) * self.channels_in,
            std=(1.0,) * self.channels_in,
        )
