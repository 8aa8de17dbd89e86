"""Patches of any images: training, validation and probe, no image in two of them.

The packaged photographs have their own split by regions (`depara_jax.data.photographs`). Of a
folder or a TFDS dataset each whole image belongs to one split.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from depara_jax.data import photographs
from depara_jax.data.probes import Probe, ProbeSpec
from depara_jax.errors import DeparaError
from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.data import Data

__all__ = ["ON_PACKAGED_ONLY", "Images", "in_turn", "load_images"]

# What the photographs' task asks (which of the twelve?) other images cannot answer.
ON_PACKAGED_ONLY = ("photograph",)
LONGEST_SHORT_SIDE = 384
SHARES = {"train": 0.7, "validation": 0.15, "probe": 0.15}
PATCHES = {"train": 5700, "validation": 700}


class Images(NamedTuple):
    """Patches [n, 48, 48, 3] to train and judge on, and [n, 32, 32, 3] to probe."""

    train: Data
    validation: Data
    probe: Probe
    fingerprint: str


def load_images(spec: str, *, probe_images: int) -> Images:
    """Patches of "photographs", "tfds:NAME:SPLIT" or a path (folder, list file, array).

    Args:
      spec: the images.
      probe_images: how many patches the largest probe set needs.

    Raises:
      DeparaError: the images cannot be read, or give too few patches.
    """
    if spec == "photographs":
        return _packaged(probe_images)
    source = ProbeSpec.parse(spec).open()
    rows = sorted(range(source.size), key=lambda i: hashlib.sha256(f"0:{i}".encode()).digest())
    bounds = np.cumsum([round(share * source.size) for share in SHARES.values()][:-1])
    parts = dict(zip(SHARES, np.split(np.array(rows), bounds), strict=True))
    if min(map(len, parts.values())) < 1:
        raise DeparaError(f"--data {spec}: {source.size} images are too few; at least 8 are needed")
    cut = {}
    for split, chosen in parts.items():
        count = PATCHES.get(split, probe_images)
        side = SIZE if split == "probe" else PATCH
        cut[split] = _patches([source.read(int(row))[1] for row in chosen], side, count)
    if len(cut["probe"]) < probe_images:
        raise DeparaError(
            f"--data {spec}: its {len(parts['probe'])} probe images give {len(cut['probe'])} "
            f"patches of {SIZE} pixels, {probe_images} are needed; give more or larger images"
        )
    return _images(cut["train"], cut["validation"], cut["probe"])


def _packaged(probe_images: int) -> Images:
    train, validation = (
        photographs.patches(split, size=PATCH) for split in ("train", "validation")
    )
    # A finer grid than the packaged probe set's, for more than its 480 patches; they overlap.
    stride = SIZE if probe_images <= 480 else SIZE // 4
    count = -(-probe_images // len(photographs.NAMES)) + 8
    probe = photographs.patches("probe", size=SIZE, stride=stride, per_photograph=count)
    if len(probe) < probe_images:
        raise DeparaError(f"the photographs give {len(probe)} probe patches, not {probe_images}")
    labels = [jnp.asarray(p.photograph, jnp.int32) for p in (train, validation)]
    images = _images(train.images, validation.images, probe.images[:probe_images])
    return images._replace(
        train=images.train._replace(photograph=labels[0]),
        validation=images.validation._replace(photograph=labels[1]),
    )


def _images(
    train: UInt8[np.ndarray, "n 48 48 3"],
    validation: UInt8[np.ndarray, "m 48 48 3"],
    probe: UInt8[np.ndarray, "p 32 32 3"],
) -> Images:
    digest = hashlib.sha256()
    for part in (train, validation):
        digest.update(part.tobytes())
    first, second = (
        Data(jnp.asarray(part), jnp.zeros(len(part), jnp.int32)) for part in (train, validation)
    )
    return Images(first, second, Probe.from_arrays(probe), digest.hexdigest()[:16])


def _patches(images: Sequence[np.ndarray], side: int, count: int) -> UInt8[np.ndarray, "n s s 3"]:
    """The first `count` patches of a grid over each image, in an order drawn by a hash."""
    step = side if side == SIZE else side // 2

    def corners(index: int, height: int, width: int) -> list[tuple[int, int]]:
        tops, lefts = (range(0, size - side + 1, step) for size in (height, width))
        grid = itertools.product(tops, lefts)
        return sorted(grid, key=lambda c: hashlib.sha256(f"{index}:{c}".encode()).digest())

    found = in_turn(map(_resized, images), side, corners)
    if not found:
        raise DeparaError(f"--data: no patch of {side} x {side} pixels holds enough structure")
    return np.stack(found[:count])


def in_turn(
    images: Iterable[np.ndarray],
    side: int,
    corners: Callable[[int, int, int], Iterable[tuple[int, int]]],
) -> list[np.ndarray]:
    """Patches with structure, one of each image in turn, so that none of them dominates.

    Args:
      images: [h, w, 3] each.
      side: of the patches.
      corners: (image's position, height, width) -> their top left corners, in order.
    """
    found = []
    for index, pixels in enumerate(images):
        cut = [pixels[y : y + side, x : x + side] for y, x in corners(index, *pixels.shape[:2])]
        kept = [patch for patch in cut if patch.mean(axis=2).std() >= photographs.MIN_STD]
        found += [(turn, index, patch) for turn, patch in enumerate(kept)]
    return [row[2] for row in sorted(found, key=lambda row: row[:2])]


def _resized(pixels: np.ndarray) -> np.ndarray:
    """Short side at most 384 pixels, and at least the 48 of a patch."""
    short = min(pixels.shape[:2])
    wanted = min(max(short, PATCH), LONGEST_SHORT_SIDE)
    if wanted == short:
        return pixels
    height, width = (max(PATCH, round(side * wanted / short)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
