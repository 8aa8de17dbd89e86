"""Training examples, and the randomly placed view of a patch that they are made of."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.filters import apply, band, crop, gaussian, luma

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
        return self.filtered(crop, crop)

    def grey(self) -> "View":
        """The same place in the patch's luma."""
        return self._replace(patch=luma(self.patch))

    def gradients(self, grow: int = 0) -> tuple[jax.Array, jax.Array]:
        """Sobel derivatives of the luma along x and y, [32 + 2 grow, 32 + 2 grow]."""
        grey = self.grey()
        along_x = grey.filtered(_smooth3, _slope3, grow=grow)
        return along_x, grey.filtered(_slope3, _smooth3, grow=grow)

    def structure_tensor(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The structure tensor's xx, yy and xy entries, window sigma 1 px, [32, 32] each."""
        grow = MARGIN - 1  # the Sobel filters need one pixel more
        dx, dy = self.gradients(grow)
        centres = jnp.arange(SIZE, dtype=jnp.float32) + grow
        window = gaussian(centres, 1.0, size=SIZE + 2 * grow)
        xx, yy, xy = (apply(window, window, product) for product in (dx * dx, dy * dy, dx * dy))
        return xx, yy, xy


def random_view(key: jax.Array, patch: jax.Array) -> View:
    """A uint8 patch [48, 48, 3] flipped or not, and the place of a crop in it."""
    key_flip, key_place = jax.random.split(key)
    patch = patch.astype(jnp.float32) / 255.0
    patch = jnp.where(jax.random.bernoulli(key_flip), patch[:, ::-1], patch)
    place = jax.random.randint(key_place, (2,), MARGIN, PATCH - SIZE - MARGIN + 1)
    y, x = place.astype(jnp.float32)
    return View(patch, y, x)


def blurred(sigma: jax.Array | float) -> Callable[[jax.Array], jax.Array]:
    """The patch under a Gaussian of `sigma` pixels."""
    return lambda centres: gaussian(centres, sigma)


def _smooth3(centres: jax.Array) -> jax.Array:
    """[1, 2, 1] / 4, the smoothing half of Sobel's filter."""
    return band(centres, lambda d: jnp.maximum(1.0 - jnp.abs(d) / 2.0, 0.0) / 2.0)


def _slope3(centres: jax.Array) -> jax.Array:
    """[-1, 0, 1] / 2, its other half."""
    return band(centres, lambda d: jnp.where(jnp.abs(d) < 1.5, d / 2.0, 0.0))


def example(image, target, *, weight=None, guess=None) -> Example:
    """An `Example` whose whole image counts and that has no guess, unless given."""
    target = jnp.asarray(target)
    weight = jnp.ones((SIZE, SIZE, 1), jnp.float32) if weight is None else weight
    if guess is None:
        guess = jnp.full(target.shape, jnp.nan, jnp.float32)
    return Example(image, target, weight, jnp.broadcast_to(guess, target.shape))
