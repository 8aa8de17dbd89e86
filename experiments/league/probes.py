"""Probe sets of other kinds than the photographs that the networks learnt from."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from depara_jax.data import photographs
from depara_jax.data.probes import Probe
from depara_jax.errors import DeparaError
from experiments.league.data import in_turn
from experiments.league.methods import DOMAINS
from experiments.mini_taskonomy.config import SIZE

__all__ = ["domain_probe"]

# Images of the scikit-image wheel that no network saw: a workshop, the Moon, a moving clock. They
# are read where they are installed and never copied.
OTHER = ("motorcycle_left.png", "motorcycle_right.png", "moon.png", "clock_motion.png")
TEXTURES = ("brick", "grass", "gravel")


def domain_probe(domain: str, count: int) -> Probe:
    """`count` images [32, 32, 3] of a name in `DOMAINS`, the same on every machine.

    Raises:
      DeparaError: scikit-image lacks the images, or they give too few patches.
    """
    if domain == "photographs":
        return Probe.from_arrays(photographs.patches("probe").images[:count])
    if domain == "texture":
        found = photographs.patches("probe", stride=SIZE // 2, per_photograph=count)
        chosen = np.isin(found.photograph, [photographs.NAMES.index(name) for name in TEXTURES])
        return Probe.from_arrays(_enough(found.images[chosen], domain, count))
    if domain == "other":
        return Probe.from_arrays(_enough(_others(), domain, count))
    if domain not in DOMAINS:
        raise DeparaError(f"probe domain {domain!r}; expected one of {', '.join(DOMAINS)}")
    draw = np.random.default_rng(5).normal(size=(count, SIZE, SIZE, 3))
    if domain == "pink noise":
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
        frequency[0, 0] = 1.0 / SIZE
        spectrum = np.fft.fft2(draw, axes=(1, 2)) / frequency[..., None]
        draw = np.fft.ifft2(spectrum, axes=(1, 2)).real
    # The photographs' mean grey and contrast, roughly: 0.45 and 0.2 of the range.
    draw = draw / draw.std(axis=(1, 2, 3), keepdims=True)
    return Probe.from_arrays(np.clip(115 + 51 * draw, 0, 255).astype(np.uint8))


def _others() -> UInt8[np.ndarray, "n 32 32 3"]:
    """Structured patches of the other images, one of each in turn."""

    def corners(index: int, height: int, width: int) -> list[tuple[int, int]]:
        rows, columns = height // SIZE, width // SIZE
        places = [(y * SIZE, x * SIZE) for y in range(rows) for x in range(columns)]
        np.random.default_rng(index).shuffle(places)
        return places

    return np.stack(in_turn(map(_open, OTHER), SIZE, corners))


def _open(name: str) -> UInt8[np.ndarray, "h w 3"]:
    path = photographs.files()[0].parent / name
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            image.thumbnail((512, 512), Image.Resampling.BILINEAR)
            return np.asarray(image)
    except OSError as error:
        raise DeparaError(f"probe domain 'other' needs {path} ({error})") from error


def _enough(images: np.ndarray, domain: str, count: int) -> np.ndarray:
    if len(images) < count:
        raise DeparaError(f"probe domain {domain!r} has {len(images)} patches, {count} are needed")
    return images[:count]
