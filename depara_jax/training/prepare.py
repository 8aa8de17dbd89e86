"""From bytes to what a network takes, on the device: normalisation and augmentation.

Also features computed once: with everything below a cut frozen they are the same in every epoch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec
from depara_jax.training.units import Network, Values

__all__ = ["CachedFeatures", "ChosenView", "Data", "Images", "Prepare", "cached_features"]


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


@dataclasses.dataclass(frozen=True, eq=False)
class CachedFeatures:
    """Features at a cut of each image as it is and mirrored.

    Attributes:
      labels: int [n].
      take: rows -> float32 [b, views, ...].
    """

    labels: np.ndarray
    take: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class ChosenView:
    """[b, views, ...] -> one view of each image, by chance when training, otherwise the first."""

    def __call__(self, raw: Any, key: jax.Array | None) -> jax.Array:
        """See `Prepare`."""
        views = jnp.asarray(raw)
        if key is None:
            return views[:, 0]
        chosen = jax.random.randint(key, (views.shape[0],), 0, views.shape[1])
        return views[jnp.arange(views.shape[0]), chosen]


def cached_features(
    network: Network,
    frozen: Values,
    data: Data,
    input: InputSpec,
    *,
    stop: int,
    start: int = 0,
    mirrored: bool = True,
) -> CachedFeatures:
    """Runs units `start` to `stop` in inference mode over all images once.

    Args:
      network: the chain.
      frozen: values of these units at least.
      data: images (`start` 0), or the features of a cut below.
      input: how images are normalised.
      stop: position of the first unit above the cut.
      start: position of the first unit that the data enter.
      mirrored: keep each image's mirror image as a second view.
    """
    from depara_jax.training.loop import predict  # which imports this file

    values = {**{n: jnp.zeros(s) for n, s in network.shapes.items() if n not in frozen}, **frozen}
    if start == 0:
        plain = Images(input, flip=False)
        views = [predict(network, values, data, plain, stop=stop)]
        if mirrored:
            turned = CachedFeatures(data.labels, lambda rows: data.take(rows)[:, :, ::-1])
            views.append(predict(network, values, turned, plain, stop=stop))
    else:
        count = data.take(np.arange(1)).shape[1]
        views = [
            predict(network, values, _view(data, i), ChosenView(), start=start, stop=stop)
            for i in range(count)
        ]
    features = np.stack(views, axis=1)
    return CachedFeatures(data.labels, lambda rows: features[rows])


def _view(data: Data, index: int) -> CachedFeatures:
    return CachedFeatures(data.labels, lambda rows: data.take(rows)[:, index : index + 1])
