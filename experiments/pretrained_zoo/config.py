"""What a run of the study is made of."""

import dataclasses
import os
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = ("clothing", "cifar10", "visda", "fashion")
# The smallest input of all networks, and the smallest of those for photographs.
GRIDS = (32, 96)
PROBE = 80  # photographs that DEPARA and its kin see, unlabelled


def _zoos() -> tuple[str, ...]:
    """The study's own manifest, and that of the wheels where they are unpacked."""
    names = ("zoo.toml", *(["wheels.toml"] if "DEPARA_WHEELS" in os.environ else []))
    return tuple(str(HERE / name) for name in names)


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """A run.

    Attributes:
      output: folder of the cells.
      zoo: TOML manifests.
      images: probe images.
      target_images: of each target, at most.
      targets: data sets to transfer to.
      fashion: folder of Fashion-MNIST.
      finetune: targets to fine-tune for.
      seeds: of fine-tuning.
      only: names of networks, all where none is named.
      report: only tables and pictures, from the cells that are there.
      results: the file that holds every figure.
      from_results: only the tables, from such a file; by default the study's own.
      figures: folder of the pictures.
    """

    output: Path = Path("runs/pretrained_zoo")
    zoo: tuple[str, ...] = _zoos()
    images: int = PROBE
    target_images: int = 500
    targets: tuple[str, ...] = TARGETS
    fashion: Path | None = None
    finetune: tuple[str, ...] = ("clothing", "fashion")
    seeds: int = 2
    only: tuple[str, ...] = ()
    report: bool = False
    results: Path = HERE / "results.json"
    from_results: Path | None = dataclasses.field(
        default=None, metadata={"nargs": "?", "const": HERE / "results.json"}
    )
    figures: Path = HERE
