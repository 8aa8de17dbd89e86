"""From bytes to what a network takes, on the device: normalisation and augmentation."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec

__all__ = ["Data", "Images", "Prepare"]


@runtime_checkable
class Data(Protocol):
    """What training reads: labels, and the images (or features) of some rows."""

    @property
    def labels(self) -> np.ndarray:
        """Int [n]."""
        ...

    @property
    def take(self) -> Callable[[np.ndarray], np.ndarray]:
        """Rows -> what `Prepare` takes."""
        ...


@runtime_checkable
class Prepare(Protocol):
    """Hashable, since compiled steps are cached by it."""

    def __call__(self, raw: Any, key: jax.Array | None, /) -> jax.Array:
        """What the first unit takes; augmented where a key is given."""
        ...


@dataclasses.dataclass(frozen=True)
class Images:
    """uint8 [b, h, w, 3] -> normalised float32, moved and mirrored at random when training.

    Attributes:
      input: range, mean and standard deviation; RGB.
      flip: mirror with probability 1/2.
      shift: move by up to so many pixels, edges reflected.
    """

    input: InputSpec
    flip: bool = True
    shift: int = 0

    def __post_init__(self):
        if self.input.channels != "rgb" or self.input.clip or self.input.hole:
            raise DeparaError(
                "training: networks are trained on plain RGB images; got an input with channels "
                f"{self.input.channels!r}, clip={self.input.clip}, hole={self.input.hole}"
            )

    def __call__(self, raw: Any, key: jax.Array | None) -> jax.Array:
        """See `Prepare`."""
        pixels = jnp.asarray(raw)
        if key is not None:
            flip_key, shift_key = jax.random.split(key)
            if self.shift:
                pixels = shifted(pixels, self.shift, shift_key)
            if self.flip:
                mirrored = jax.random.bernoulli(flip_key, shape=(pixels.shape[0], 1, 1, 1))
                pixels = jnp.where(mirrored, pixels[:, :, ::-1], pixels)
        low, high = self.input.scale
        scaled = low + pixels.astype(jnp.float32) * ((high - low) / 255)
        mean, std = (jnp.asarray(x, jnp.float32) for x in (self.input.mean, self.input.std))
        return (scaled - mean) / std


def shifted(pixels: jax.Array, reach: int, key: jax.Array) -> jax.Array:
    """Each image moved by its own number of pixels in each direction, edges reflected."""
    count, height, width, channels = pixels.shape
    pad = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = jnp.pad(pixels, pad, mode="reflect")
    offsets = jax.random.randint(key, (count, 2), 0, 2 * reach + 1)

    def one(image: jax.Array, offset: jax.Array) -> jax.Array:
        corner = (offset[0], offset[1], jnp.int32(0))
        return jax.lax.dynamic_slice(image, corner, (height, width, channels))

    return jax.vmap(one)(padded, offsets)
