"""The packaged photographs: those that the scikit-image wheel carries, cut to small patches.

Each photograph is first reduced to a short side of at most 384 pixels (Pillow's antialiased
bilinear), then divided into tiles of at least 96 x 96 pixels. A tile belongs to one split alone, so
no pixel of the reduced photograph is seen by two splits:

    split of tile (row, column) = TILE_SPLITS[(column + 5 * row) % 6]

which spreads every split over the whole photograph. Patches are cut on a grid inside the tiles.
"""

import dataclasses
import hashlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = ["NAMES", "SPLITS", "Patches", "files", "patches"]

SPLITS: tuple[str, ...] = ("train", "validation", "probe")

# Photographs whose terms the wheel states to be free (docstrings of skimage/data/_fetchers.py).
# CC0: brick, camera, chelsea, coffee, grass, gravel, retina. Public domain: astronaut,
# hubble_deep_field, rocket. "No known copyright restrictions": coins, ihc. Left out: moon, page and
# the motorcycles (no terms given), cell, clock_motion and microaneurysms (hardly any structure),
# text, and everything that is drawn.
_FILES = {
    Path(file).stem: file
    for file in (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
        "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg", "rocket.jpg",
    )
}  # fmt: skip
NAMES: tuple[str, ...] = tuple(_FILES)

SHORT_SIDE = 384
TILE = 96
TILE_SPLITS = ("train", "probe", "train", "validation", "train", "probe")
MIN_STD = 4.0
STRIDE = 8  # of the grid; patches of the probe do not overlap
PER_PHOTOGRAPH = {"train": 480, "validation": 60, "probe": 40}


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one split, in a fixed order.

    Attributes:
      images: the patches, RGB; the grey photographs have three equal channels.
      photograph: index into `NAMES` of the photograph that each patch comes from.
      ids: "name/yYYY_xXXX", the upper left corner in the reduced photograph.
    """

    images: UInt8[np.ndarray, "n size size 3"]
    photograph: Int[np.ndarray, " n"]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def files() -> list[Path]:
    """The photographs' files in the scikit-image wheel, in the order of `NAMES`."""
    return [_folder() / file for file in _FILES.values()]


def patches(
    split: str,
    *,
    size: int = 32,
    stride: int | None = None,
    per_photograph: int | None = None,
) -> Patches:
    """Square patches of one split; the same on every machine.

    Patches are cut on a grid of `stride` from the upper left corner of each tile of the split, and
    those whose grey levels have a standard deviation below 4 (of 255) are dropped. Of the others,
    each photograph gives the first `per_photograph` in the order of sha256("0:" + id): a shuffle
    with seed 0 that depends on no random generator. The result takes one patch of each photograph
    in turn, so that any leading part of it is balanced over the photographs.

    Args:
      split: "train", "validation" or "probe"; they share no pixel.
      size: side of a patch in pixels, at most 96.
      stride: grid step; by default 8 for train and validation, and `size` (no overlap) for probe.
      per_photograph: at most this many of each photograph; by default 480, 60 and 40.

    Returns:
      By default 5,724 patches for train, 697 for validation and 480 for probe.

    Raises:
      UnknownNameError: the split is unknown.
      DeparaError: a size, stride or count that cannot be cut.
    """
    if split not in SPLITS:
        raise UnknownNameError("split of the packaged photographs", split, SPLITS)
    stride = (size if split == "probe" else STRIDE) if stride is None else stride
    count = PER_PHOTOGRAPH[split] if per_photograph is None else per_photograph
    if not 1 <= size <= TILE or stride < 1 or count < 1:
        raise DeparaError(
            f"patches: size must be 1 to {TILE}, stride and per_photograph at least 1, got "
            f"size={size}, stride={stride}, per_photograph={count}"
        )
    rows = []
    for index, name in enumerate(NAMES):
        found = _cut(name, split, size, stride)[:count]
        rows += [(turn, index, id, patch) for turn, (id, patch) in enumerate(found)]
    rows.sort(key=lambda row: row[:2])
    if not rows:
        raise DeparaError(f"patches: none of {size} x {size} pixels holds enough structure")
    return Patches(
        images=np.stack([row[3] for row in rows]),
        photograph=np.array([row[1] for row in rows], np.int32),
        ids=tuple(row[2] for row in rows),
    )


def _cut(name: str, split: str, size: int, stride: int) -> list[tuple[str, np.ndarray]]:
    """All structured patches of one photograph and split, in the order of their digests."""
    image = _reduced(name)
    found = []
    for top, left, bottom, right in _tiles(image.shape[0], image.shape[1], split):
        for y in range(top, bottom - size + 1, stride):
            for x in range(left, right - size + 1, stride):
                patch = image[y : y + size, x : x + size]
                if patch.mean(axis=2).std() >= MIN_STD:
                    found.append((f"{name}/y{y:03d}_x{x:03d}", patch))
    return sorted(found, key=lambda pair: hashlib.sha256(f"0:{pair[0]}".encode()).digest())


def _tiles(height: int, width: int, split: str) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, bottom and right of the split's tiles, which divide the photograph evenly."""
    rows, columns = height // TILE, width // TILE
    ys = [height * i // rows for i in range(rows + 1)]
    xs = [width * i // columns for i in range(columns + 1)]
    for row in range(rows):
        for column in range(columns):
            if TILE_SPLITS[(column + 5 * row) % len(TILE_SPLITS)] == split:
                yield ys[row], xs[column], ys[row + 1], xs[column + 1]


def _reduced(name: str) -> np.ndarray:
    """The photograph with a short side of at most `SHORT_SIDE`, uint8 [h, w, 3]."""
    image = _open(name)
    short = min(image.size)
    if short > SHORT_SIDE:
        width, height = (math.floor(side * SHORT_SIDE / short) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _open(name: str) -> Image.Image:
    """One photograph as RGB."""
    path = _folder() / _FILES[name]
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DeparaError(
            f"the packaged photograph {path} cannot be read; reinstall scikit-image ({error})"
        ) from error


def _folder() -> Path:
    """Where scikit-image keeps its images; found without importing the package."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise DeparaError(
            "the packaged photographs come with scikit-image, which is not installed: "
            "pip install scikit-image"
        )
    return Path(spec.submodule_search_locations[0]) / "data"
