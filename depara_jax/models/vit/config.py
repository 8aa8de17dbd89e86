"""The shape of a vision transformer as one frozen, hashable value."""

import dataclasses

from depara_jax.errors import DeparaError
from depara_jax.models.config import PortConfig
from depara_jax.spec import InputSpec

__all__ = ["ViTConfig"]

# Width, blocks, heads: table 1 of Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021;
# S is that of Touvron et al., "Training data-efficient image transformers", ICML 2021.
_SIZES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16)}


@dataclasses.dataclass(frozen=True)
class ViTConfig(PortConfig):
    """Shape of a vision transformer; hashable.

    Attributes:
      size: "s", "b" or "l".
      patch: side of a patch in pixels.
      num_classes: outputs.
      image: side of the images in pixels; the position embeddings belong to it.
      pool: "token" takes the class token after the last normalisation; "mean" averages the patches
        and then normalises (timm's global_pool="avg").
      class_token: whether there is one; without it, `pool` must be "mean".
      blocks: number of blocks, where it is not the size's own.
      narrow: a factor on width and heads, for narrow networks.
    """

    size: str = "b"
    patch: int = 16
    num_classes: int = 1000
    image: int = 224
    pool: str = "token"
    class_token: bool = True
    blocks: int | None = None
    narrow: float = 1.0

    encoder = "pooled"  # what the classes are read from
    logits = "head"

    def __post_init__(self):
        if self.size not in _SIZES:
            raise DeparaError(f"ViTConfig: size must be s, b or l, got {self.size!r}")
        if self.patch < 1 or self.image % self.patch or self.num_classes < 1:
            raise DeparaError(
                "ViTConfig: the patch must divide the image and num_classes be at least 1, got "
                f"patch={self.patch}, image={self.image}, num_classes={self.num_classes}"
            )
        if self.pool not in ("token", "mean") or (self.pool == "token" and not self.class_token):
            raise DeparaError(
                f"ViTConfig: pool must be 'token' (with a class token) or 'mean', got {self.pool!r}"
            )
        if self.heads < 1 or self.width % self.heads or self.depth < 1:
            raise DeparaError(
                f"ViTConfig: narrow={self.narrow} leaves {self.heads} heads and width {self.width}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "vit_b16"."""
        name = f"vit_{self.size}{self.patch}"
        name += "" if self.narrow == 1 else f"-x{self.narrow:g}"
        return name + ("" if self.pool == "token" else "-mean")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return round(_SIZES[self.size][0] * self.narrow)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return _SIZES[self.size][1] if self.blocks is None else self.blocks

    @property
    def heads(self) -> int:
        """Attention heads."""
        return round(_SIZES[self.size][2] * self.narrow)

    @property
    def tokens(self) -> int:
        """Patches, and the class token if there is one."""
        return (self.image // self.patch) ** 2 + self.class_token

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that the network returns, shallow to deep.

        "patches" are the embedded patches, "tokens" these with class token and positions.
        BLOCK.attention is a block's first half, after its shortcut; BLOCK its output.
        """
        blocks = [a for k in range(self.depth) for a in (f"blocks.{k}.attention", f"blocks.{k}")]
        last = ("norm", "pooled") if self.pool == "token" else ("pooled",)
        return ("patches", "tokens", *blocks, *last, "head")

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The blocks at each feature point; no convolution is followed by a normalisation here."""
        blocks = ("patches", *(f"blocks.{k}" for k in range(self.depth)))
        return (("conv", (*blocks, "head")), ("activation", blocks))

    @property
    def input(self) -> InputSpec:
        """ImageNet's mean and spread (torchvision's weights; some of timm's want .5 and .5)."""
        return InputSpec.imagenet(size=self.image, resize=round(self.image * 256 / 224))
