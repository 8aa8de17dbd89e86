"""Patches to train, to judge and to probe on, and probe sets of kinds that no network saw.

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
from depara_jax.data.sources import file_source
from depara_jax.errors import DeparaError
from experiments.league.methods import DOMAINS
from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.data import Data, load_data

# What the photographs' task asks (which of the twelve?) other images cannot answer.
ON_PACKAGED_ONLY = ("photograph",)
LONGEST_SHORT_SIDE = 384
SHARES = (0.7, 0.15)  # of the images, for training and validation; the others are the probe set's
PATCHES = (5700, 700)
# Images of the scikit-image wheel that no network saw: a workshop, the Moon, a moving clock. They
# are read where they are installed and never copied.
OTHER = ("motorcycle_left.png", "motorcycle_right.png", "moon.png", "clock_motion.png")
TEXTURES = ("brick", "grass", "gravel")


class Images(NamedTuple):
    """Patches [n, 48, 48, 3] to train and judge on, and [n, 32, 32, 3] to probe."""

    data: tuple[Data, Data]  # training and validation
    probe: Probe
    fingerprint: str  # of `data`


def load_images(spec: str, *, probe_images: int) -> Images:
    """Patches of "photographs", "tfds:NAME:SPLIT" or a path (folder, list file, array).

    Args:
      spec: the images.
      probe_images: how many patches the largest probe set needs.

    Raises:
      DeparaError: the images cannot be read, or give too few patches.
    """
    if spec == "photographs":
        data = load_data()
        # A finer grid than the packaged probe set's, for more than its 480 patches; they overlap.
        stride = SIZE if probe_images <= 480 else SIZE // 4
        count = -(-probe_images // len(photographs.NAMES)) + 8
        probe = photographs.patches("probe", stride=stride, per_photograph=count).images
    else:
        data, probe = _of_others(spec, probe_images)
    if len(probe) < probe_images:
        raise DeparaError(
            f"--data {spec}: its probe images give {len(probe)} patches of {SIZE} pixels, "
            f"{probe_images} are needed; give more or larger images"
        )
    digest = hashlib.sha256()
    for part in data:
        digest.update(np.asarray(part.images).tobytes())
    fingerprint = digest.hexdigest()[:16]
    return Images(data, Probe.from_arrays(probe[:probe_images]), fingerprint)


def _of_others(spec: str, probe_images: int) -> tuple[tuple[Data, Data], np.ndarray]:
    """Patches of each split of images that are not packaged."""
    source = ProbeSpec.parse(spec).open()
    rows = sorted(range(source.size), key=lambda i: hashlib.sha256(f"0:{i}".encode()).digest())
    bounds = np.cumsum([round(share * source.size) for share in SHARES])
    parts = np.split(np.array(rows), bounds)
    if min(map(len, parts)) < 1:
        raise DeparaError(f"--data {spec}: {source.size} images are too few; at least 8 are needed")
    sizes = zip((PATCH, PATCH, SIZE), (*PATCHES, probe_images), strict=True)
    *others, probe = (
        _patches([source.read(int(row))[1] for row in chosen], *size)
        for chosen, size in zip(parts, sizes, strict=True)
    )
    train, validation = (Data(jnp.asarray(x), jnp.zeros(len(x), jnp.int32)) for x in others)
    return (train, validation), probe


def _patches(images: Sequence[np.ndarray], side: int, count: int) -> UInt8[np.ndarray, "n s s 3"]:
    """The first `count` patches of a grid over each image, in an order drawn by a hash."""
    step = side if side == SIZE else side // 2

    def corners(index: int, height: int, width: int) -> list[tuple[int, int]]:
        tops, lefts = (range(0, size - side + 1, step) for size in (height, width))
        grid = itertools.product(tops, lefts)
        return sorted(grid, key=lambda c: hashlib.sha256(f"{index}:{c}".encode()).digest())

    found = _in_turn(map(_resized, images), side, corners)
    if not found:
        raise DeparaError(f"--data: no patch of {side} x {side} pixels holds enough structure")
    return np.stack(found[:count])


def _in_turn(
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


def domain_probe(domain: str, count: int) -> Probe:
    """`count` images [32, 32, 3] of a name in `DOMAINS`, the same on every machine.

    Raises:
      DeparaError: scikit-image lacks the images, or they give too few patches.
    """
    if domain == "photographs":
        images = photographs.patches("probe").images
    elif domain == "texture":
        found = photographs.patches("probe", stride=SIZE // 2, per_photograph=count)
        chosen = np.isin(found.photograph, [photographs.NAMES.index(name) for name in TEXTURES])
        images = found.images[chosen]
    elif domain == "other":
        images = _others()
    elif domain in DOMAINS:
        images = _noise(count, pink=domain == "pink noise")
    else:
        raise DeparaError(f"probe domain {domain!r}; expected one of {', '.join(DOMAINS)}")
    if len(images) < count:
        raise DeparaError(f"probe domain {domain!r} has {len(images)} patches, {count} are needed")
    return Probe.from_arrays(images[:count])


def _noise(count: int, *, pink: bool) -> UInt8[np.ndarray, "n 32 32 3"]:
    draw = np.random.default_rng(5).normal(size=(count, SIZE, SIZE, 3))
    if pink:
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
        frequency[0, 0] = 1.0 / SIZE
        spectrum = np.fft.fft2(draw, axes=(1, 2)) / frequency[..., None]
        draw = np.fft.ifft2(spectrum, axes=(1, 2)).real
    # The photographs' mean grey and contrast, roughly: 0.45 and 0.2 of the range.
    draw = draw / draw.std(axis=(1, 2, 3), keepdims=True)
    return np.clip(115 + 51 * draw, 0, 255).astype(np.uint8)


def _others() -> UInt8[np.ndarray, "n 32 32 3"]:
    """Structured patches of the other images, one of each in turn."""

    def corners(index: int, height: int, width: int) -> list[tuple[int, int]]:
        rows, columns = height // SIZE, width // SIZE
        places = [(y * SIZE, x * SIZE) for y in range(rows) for x in range(columns)]
        np.random.default_rng(index).shuffle(places)
        return places

    folder = photographs.files()[0].parent
    source = file_source([folder / name for name in OTHER], OTHER, name="probe domain 'other'")
    images = [Image.fromarray(source.read(index)[1]) for index in range(source.size)]
    for image in images:
        image.thumbnail((512, 512), Image.Resampling.BILINEAR)
    return np.stack(_in_turn(map(np.asarray, images), SIZE, corners))
