"""The experiment as section 4.2 of the paper and its supplement state it."""

import dataclasses

from depara_jax.models import InputSpec
from depara_jax.models.vgg import VGGConfig
from depara_jax.training import PAPER_SCRATCH, PAPER_TRANSFER, TrainConfig

SOURCES = ("imagenet", "source")  # Table 2's names; "source" is trained on the synthetic images
SIZES = {"acc_01T": 0.1, "acc_001T": 0.01}  # shares of the target's training part
LAMBDAS = {"acc_01T": 1.0, "acc_001T": 10.0}  # the paper's, for either size


@dataclasses.dataclass(frozen=True)
class SynConfig:
    """A run; hashable. The defaults are the paper's.

    Attributes:
      depth: of the VGG (with batch normalisation).
      width: factor on its channels; 1 but in a dry run.
      size: height and width of the images.
      scratch: schedule of DNN-Source and DNN-Target.
      transfer: schedule of the 72 transfers.
      probe_images: from the target's validation part.
      sizes: name and share of the two data sizes.
      recipe: preset that ranks the layers; the authors' code is "depara-layer".
      seed: of splits, weights and order.
    """

    depth: int = 19
    width: float = 1.0
    size: int = 224
    scratch: TrainConfig = PAPER_SCRATCH
    transfer: TrainConfig = PAPER_TRANSFER
    probe_images: int = 200
    sizes: tuple[tuple[str, float], ...] = tuple(SIZES.items())
    recipe: str = "paper"
    seed: int = 0

    def network(self, classes: int) -> VGGConfig:
        """The VGG's shape."""
        return VGGConfig(self.depth, True, classes, self.width)

    @property
    def input(self) -> InputSpec:
        """ImageNet's preprocessing."""
        return InputSpec.imagenet(size=self.size, resize=round(self.size * 256 / 224))
