"""The images and networks of authors_walks.json."""

import dataclasses
import tarfile
from pathlib import Path

from depara_jax.data import Probe, load_probe
from depara_jax.models import InputSpec
from depara_jax.models.vgg import VGGConfig

IMAGES, BATCH = 16, 8
ROLES = ("target", "source", "imagenet")  # weights by `vgg_state.random_state`, seeds 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Case:
    """Three VGG-19-BN of one shape; the classes of the ImageNet network are as few as the others'.

    Attributes:
      width: factor on all channels.
      size: pixels of the images' sides, to which `resize` is cropped.
      resize: pixels of the photographs' shorter sides.
      shared: whether the images are DEPARA's own probe images, which are not in this repository.
    """

    width: float
    size: int
    resize: int
    shared: bool = False

    @property
    def config(self) -> VGGConfig:
        return VGGConfig(19, batch_norm=True, num_classes=12, width=self.width)

    @property
    def input(self) -> InputSpec:
        return InputSpec.imagenet(self.size, self.resize)

    def probe(self, shared: Path, folder: Path) -> Probe:
        """The images; `shared` is what DEPARA_SHARED names, `folder` is for those that it holds."""
        if not self.shared:
            return load_probe("photographs:probe").subset(range(0, 10 * IMAGES, 10))
        with tarfile.open(shared / "data" / "images" / "visda_real_test200.tar") as archive:
            files = sorted(m.name for m in archive.getmembers() if m.name.endswith(".jpg"))
            chosen = files[:: len(files) // IMAGES][:IMAGES]
            archive.extractall(folder, [archive.getmember(f) for f in chosen], filter="data")
        return load_probe(str(folder / "test200"))


CASES = {
    "photographs": Case(width=1 / 16, size=32, resize=36),
    "syn2real": Case(width=1 / 4, size=224, resize=256, shared=True),
}
