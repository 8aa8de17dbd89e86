"""The shape of a VGG as one frozen, hashable value, and the layer names that follow from it."""

import dataclasses
from typing import Literal

from depara_jax.errors import DeparaError
from depara_jax.models.config import PortConfig
from depara_jax.spec import InputSpec

__all__ = ["VGGConfig"]

# Convolutions in each of the five stages: configurations A, B, D, E of table 1 in Simonyan and
# Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_STAGE_WIDTHS = (64, 128, 256, 512, 512)
_HIDDEN = 4096

Kind = Literal["conv", "norm", "activation", "pool"]


@dataclasses.dataclass(frozen=True)
class VGGConfig(PortConfig):
    """Shape of a VGG; hashable.

    Attributes:
      depth: layers with weights: 11, 13, 16 or 19.
      batch_norm: whether each convolution is followed by batch normalisation.
      num_classes: outputs of the last linear layer.
      width: factor on all channel counts and on the 4096 hidden units, for narrow networks.
    """

    depth: int = 19
    batch_norm: bool = True
    num_classes: int = 1000
    width: float = 1.0

    encoder = "classifier.4"  # the last before the classes
    logits = "classifier.6"
    input = InputSpec.imagenet()

    def __post_init__(self):
        if self.depth not in _CONVOLUTIONS:
            raise DeparaError(f"VGGConfig: depth must be 11, 13, 16 or 19, got {self.depth}")
        if self.num_classes < 1 or not self.width > 0 or self.stage_widths[0] < 1:
            raise DeparaError(
                "VGGConfig: num_classes must be at least 1 and width large enough for one channel "
                f"(1/64), got num_classes={self.num_classes} and width={self.width}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "vgg19_bn", or "vgg19_bn-x0.25" where narrower or wider."""
        name = f"vgg{self.depth}" + ("_bn" if self.batch_norm else "")
        return name if self.width == 1 else f"{name}-x{self.width:g}"

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the five stages."""
        return tuple(round(width * self.width) for width in _STAGE_WIDTHS)

    @property
    def hidden(self) -> int:
        """Units of the two hidden linear layers."""
        return round(_HIDDEN * self.width)

    @property
    def feature_modules(self) -> tuple[tuple[Kind, int], ...]:
        """(kind, channels) of each module of `features`, whose index is its name's."""
        norm: list[Kind] = ["norm"] if self.batch_norm else []
        block: list[Kind] = ["conv", *norm, "activation"]
        stages = zip(self.stage_widths, _CONVOLUTIONS[self.depth], strict=True)
        return tuple((kind, width) for width, n in stages for kind in (*(block * n), "pool"))

    def features_of(self, *kinds: Kind) -> tuple[str, ...]:
        """Names of the modules of `features` of these kinds, shallow to deep."""
        return tuple(
            f"features.{i}" for i, (kind, _) in enumerate(self.feature_modules) if kind in kinds
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that `forward` returns, shallow to deep.

        Torchvision's module names. Its dropout modules, classifier.2 and classifier.5, are left
        out: at inference they are copies of the layer before them.
        """
        classifier = tuple(f"classifier.{i}" for i in (0, 1, 3, 4, 6))
        features = self.features_of("conv", "norm", "activation", "pool")
        return (*features, "avgpool", *classifier)

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The layers that layer selection compares at each feature point.

        "conv" is the output of every layer with weights, the 19 of VGG-19 in DEPARA's layer
        selection; "norm" the same after batch normalisation, which the linear layers lack;
        "activation" after the ReLU, which the last layer lacks.
        """
        linear = ("classifier.0", "classifier.3", "classifier.6")
        rectified = (*self.features_of("activation"), "classifier.1", "classifier.4")
        norm = (("norm", (*self.features_of("norm"), *linear)),) if self.batch_norm else ()
        return (("conv", (*self.features_of("conv"), *linear)), *norm, ("activation", rectified))
