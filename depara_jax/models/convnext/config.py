"""The shape of a ConvNeXt as one frozen, hashable value."""

import dataclasses

from depara_jax.errors import DeparaError
from depara_jax.models.config import PortConfig
from depara_jax.spec import InputSpec

__all__ = ["ConvNeXtConfig"]

# Blocks and channels of the stages: section 3 of Liu et al., "A ConvNet for the 2020s", CVPR 2022.
_SIZES = {
    "tiny": ((3, 3, 9, 3), 96),
    "small": ((3, 3, 27, 3), 96),
    "base": ((3, 3, 27, 3), 128),
    "large": ((3, 3, 27, 3), 192),
}


@dataclasses.dataclass(frozen=True)
class ConvNeXtConfig(PortConfig):
    """Shape of a ConvNeXt; hashable.

    Attributes:
      size: "tiny", "small", "base" or "large".
      num_classes: outputs.
      narrow: a factor on all channel counts, for narrow networks.
      blocks: of each stage, where they are not the size's own.
    """

    size: str = "tiny"
    num_classes: int = 1000
    narrow: float = 1.0
    blocks: tuple[int, ...] | None = None

    encoder = "norm"  # what the classes are read from
    logits = "head"
    input = InputSpec.imagenet()

    def __post_init__(self):
        if self.blocks is not None:  # a list, as JSON has it, would not be hashable
            object.__setattr__(self, "blocks", tuple(self.blocks))
        if self.size not in _SIZES:
            raise DeparaError(
                f"ConvNeXtConfig: size must be one of {', '.join(_SIZES)}, got {self.size!r}"
            )
        if self.num_classes < 1 or self.widths[0] < 1 or len(self.depths) != 4:
            raise DeparaError(
                "ConvNeXtConfig: num_classes must be at least 1, narrow leave a channel and blocks "
                f"be four numbers, got {self.num_classes}, {self.narrow} and {self.blocks}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "convnext_tiny", with "-x0.25" where narrower."""
        name = f"convnext_{self.size}"
        return name if self.narrow == 1 else f"{name}-x{self.narrow:g}"

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return _SIZES[self.size][0] if self.blocks is None else self.blocks

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(round(_SIZES[self.size][1] * self.narrow) << s for s in range(4))

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that the network returns, shallow to deep.

        "stages.S.down" is what a stage starts from; BLOCK.conv is a block's depthwise convolution,
        BLOCK.norm the normalisation after it, BLOCK its output.
        """
        out = []
        for s, depth in enumerate(self.depths):
            out.append("stem" if s == 0 else f"stages.{s}.down")
            for name in (f"stages.{s}.{b}" for b in range(depth)):
                out += [f"{name}.conv", f"{name}.norm", name]
        return (*out, "avgpool", "norm", "head")

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The blocks' names at each feature point."""
        blocks = [f"stages.{s}.{b}" for s, depth in enumerate(self.depths) for b in range(depth)]
        return (
            ("conv", (*(f"{b}.conv" for b in blocks), "head")),
            ("norm", (*(f"{b}.norm" for b in blocks), "head")),
            ("activation", tuple(blocks)),
        )
