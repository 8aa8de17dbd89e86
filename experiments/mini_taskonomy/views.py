"""Training examples, and the randomly placed view of a patch that they are made of."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.filters import apply, band, crop, gaussian

__all__ = [
    "MARGIN",
    "Example",
    "View",
    "blurred",
    "cropped",
    "example",
    "random_view",
    "slope3",
    "smooth3",
]

MARGIN = 4  # pixels around the crop that a filter may look at


class Example(NamedTuple):
    """One training example, or a batch of them.

    Attributes:
      image: [32, 32, 3] on [0, 1]; noise may leave that range.
      target: [32, 32, k], [k] or a class number.
      weight: [32, 32, 1], 1 where the loss counts.
      guess: what a predictor that has learnt nothing could say, beside the training targets' mean;
        of the target's shape, NaN where there is nothing better than that mean.
    """

    image: jax.Array
    target: jax.Array
    weight: jax.Array
    guess: jax.Array


class View(NamedTuple):
    """A randomly flipped patch and the place of the random crop in it."""

    patch: jax.Array
    y: jax.Array
    x: jax.Array

    def filtered(self, rows, columns, *, grow: int = 0) -> jax.Array:
        """Filters the crop, grown by `grow` px a side; rows and columns map centres to weights."""
        steps = jnp.arange(-grow, SIZE + grow, dtype=jnp.float32)
        return apply(rows(self.y + steps), columns(self.x + steps), self.patch)

    def image(self) -> jax.Array:
        """The crop itself."""
        return self.filtered(cropped, cropped)


def random_view(key: jax.Array, patch: jax.Array) -> View:
    """A uint8 patch [48, 48, 3] flipped or not, and the place of a crop in it."""
    key_flip, key_place = jax.random.split(key)
    patch = patch.astype(jnp.float32) / 255.0
    patch = jnp.where(jax.random.bernoulli(key_flip), patch[:, ::-1], patch)
    place = jax.random.randint(key_place, (2,), MARGIN, PATCH - SIZE - MARGIN + 1)
    y, x = place.astype(jnp.float32)
    return View(patch, y, x)


def cropped(centres: jax.Array) -> jax.Array:
    """The patch at `centres`."""
    return crop(centres, size=PATCH)


def blurred(sigma: jax.Array | float) -> Callable[[jax.Array], jax.Array]:
    """The patch under a Gaussian of `sigma` pixels."""
    return lambda centres: gaussian(centres, sigma, size=PATCH)


def smooth3(centres: jax.Array) -> jax.Array:
    """[1, 2, 1] / 4, the smoothing half of Sobel's filter."""
    return band(centres, lambda d: jnp.maximum(1.0 - jnp.abs(d) / 2.0, 0.0) / 2.0, size=PATCH)


def slope3(centres: jax.Array) -> jax.Array:
    """[-1, 0, 1] / 2, its other half."""
    return band(centres, lambda d: jnp.where(jnp.abs(d) < 1.5, d / 2.0, 0.0), size=PATCH)


def example(image, target, *, weight=None, guess=None) -> Example:
    """An `Example` whose whole image counts and that has no guess, unless given."""
    target = jnp.asarray(target)
    weight = jnp.ones((SIZE, SIZE, 1), jnp.float32) if weight is None else weight
    if guess is None:
        guess = jnp.full(target.shape, jnp.nan, jnp.float32)
    return Example(image, target, weight, jnp.broadcast_to(guess, target.shape))
