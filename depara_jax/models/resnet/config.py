"""The shape of a ResNet as one frozen, hashable value, and the layer names that follow from it."""

import dataclasses
from typing import Literal

from depara_jax.errors import DeparaError
from depara_jax.models.config import StagedConfig
from depara_jax.models.layers.convolution import Padding
from depara_jax.spec import InputSpec

__all__ = ["EXPANSION", "Family", "ResNetConfig"]

Family = Literal["imagenet", "cifar"]

# Units of the four stages: table 1 of He et al., "Deep Residual Learning for Image Recognition",
# CVPR 2016.
_UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_WIDTHS = {"imagenet": (64, 128, 256, 512), "cifar": (16, 32, 64)}
EXPANSION = 4  # output channels of a bottleneck over its width


@dataclasses.dataclass(frozen=True)
class ResNetConfig(StagedConfig):
    """Shape of a ResNet; hashable.

    Attributes:
      depth: layers with weights: 18, 34, 50, 101 or 152 for "imagenet", 6 n + 2 for "cifar".
      family: "imagenet" has a 7x7 stem with max-pooling, four stages and projection shortcuts
        (torchvision's, with the stride in the 3x3 convolution); "cifar" a 3x3 stem, three stages
        and shortcuts without weights, padded with zero channels (section 4.2, option A).
      num_classes: outputs of the last linear layer.
      width: factor on all channel counts, for narrow networks.
      tensorflow: MLPerf Tiny's ResNet-8: TensorFlow's padding, projection shortcuts, normalisation
        folded in, pixels as they are.
    """

    depth: int = 50
    family: Family = "imagenet"
    num_classes: int = 1000
    width: float = 1.0
    tensorflow: bool = False

    encoder = "avgpool"
    logits = "fc"

    def __post_init__(self):
        cifar = self.family == "cifar"
        if cifar and (self.depth < 8 or self.depth % 6 != 2):
            raise DeparaError(
                f"ResNetConfig: a CIFAR ResNet's depth is 6 n + 2 (20, 32, 44, 56, 110), "
                f"got {self.depth}"
            )
        if not cifar and self.depth not in _UNITS:
            raise DeparaError(
                f"ResNetConfig: depth must be 18, 34, 50, 101 or 152, got {self.depth}"
            )
        if self.num_classes < 1 or not self.width > 0 or self.widths[0] < 1:
            raise DeparaError(
                "ResNetConfig: num_classes must be at least 1 and width large enough for one "
                f"channel, got num_classes={self.num_classes} and width={self.width}"
            )

    @property
    def architecture(self) -> str:
        """A name such as "resnet50" or "cifar_resnet20", with "-x0.25" where narrower."""
        name = f"{'cifar_' if self.family == 'cifar' else ''}resnet{self.depth}"
        return name if self.width == 1 else f"{name}-x{self.width:g}"

    @property
    def stem_pool(self) -> str | None:
        """ImageNet's max-pooling after the stem."""
        return "maxpool" if self.family == "imagenet" else None

    @property
    def folded(self) -> bool:
        """Whether normalisation is part of the convolutions."""
        return self.tensorflow

    @property
    def padding(self) -> Padding:
        """TensorFlow's or PyTorch's."""
        return "same" if self.tensorflow else "torch"

    @property
    def bottleneck(self) -> bool:
        """Whether the units are bottlenecks."""
        return self.family == "imagenet" and self.depth >= 50

    @property
    def projects(self) -> bool:
        """Whether shortcuts to other shapes have weights."""
        return self.family == "imagenet" or self.tensorflow

    @property
    def units(self) -> tuple[int, ...]:
        """Units of each stage."""
        if self.family == "cifar":
            return ((self.depth - 2) // 6,) * 3
        return _UNITS[self.depth]

    @property
    def widths(self) -> tuple[int, ...]:
        """Inner channels of each stage."""
        return tuple(round(width * self.width) for width in _WIDTHS[self.family])

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the units, with the stem, shallow to deep."""
        return (
            "stem",
            *(f"layer{b + 1}.{u}" for b, count in enumerate(self.units) for u in range(count)),
        )

    @property
    def input(self) -> InputSpec:
        """ImageNet's mean and spread, at 224 pixels or, for CIFAR, at 32."""
        if self.family == "imagenet":
            return InputSpec.imagenet()
        if self.tensorflow:
            return InputSpec(size=(32, 32), scale=(0.0, 255.0))
        return InputSpec.imagenet(size=32, resize=32)
