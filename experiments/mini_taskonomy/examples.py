"""One function a task: an image and its target out of a view of a photograph."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.filters import apply, gaussian, luma, magnify, opponent
from experiments.mini_taskonomy.views import (
    MARGIN,
    View,
    blurred,
    cropped,
    example,
    slope3,
    smooth3,
)

__all__ = [
    "PERMUTATIONS",
    "autoencoding",
    "blur_level",
    "colour_histogram",
    "colourisation",
    "corners",
    "denoising",
    "edges",
    "inpainting",
    "jigsaw",
    "laplacian",
    "motion_direction",
    "noise_level",
    "orientation",
    "photograph",
    "rotation",
    "saturation",
    "scale",
    "super_resolution",
]

PERMUTATIONS = np.array(list(itertools.permutations(range(4))), np.int32)


# Reconstruction: the target is the clean crop; the rival guess is the mean colour of what is seen.


def autoencoding(key, view, photograph):
    """The image itself."""
    del key, photograph
    image = view.image()
    return example(image, image, guess=image.mean((0, 1)))


def denoising(key, view, photograph):
    """The image under white noise of 0.2 of the range."""
    del photograph
    image = view.image()
    noisy = image + 0.2 * jax.random.normal(key, image.shape)
    return example(noisy, image, guess=noisy.mean((0, 1)))


def super_resolution(key, view, photograph):
    """The image reduced to 8 x 8 pixels and enlarged again."""
    del key, photograph
    image = view.image()
    small = jax.image.resize(image, (SIZE // 4, SIZE // 4, 3), "linear")
    coarse = jax.image.resize(small, image.shape, "linear")
    return example(coarse, image, guess=image.mean((0, 1)))


def inpainting(key, view, photograph):
    """A hole of 12 x 12 pixels; only the hole counts."""
    del photograph
    hole = 12
    image = view.image()
    top, left = jax.random.randint(key, (2,), 0, SIZE - hole + 1)
    steps = jnp.arange(SIZE)
    rows, columns = (steps >= top) & (steps < top + hole), (steps >= left) & (steps < left + hole)
    mask = (rows[:, None] & columns)[..., None].astype(jnp.float32)
    seen = (image * (1 - mask)).sum((0, 1)) / (1 - mask).sum()
    return example(image * (1 - mask) + 0.5 * mask, image, weight=mask, guess=seen)


# Geometry: filters of the crop's luma.


def _gradients(view: View, grow: int) -> tuple[jax.Array, jax.Array]:
    """Sobel derivatives along x and y, [32 + 2 grow, 32 + 2 grow]."""
    grey = view._replace(patch=luma(view.patch))
    along_x = grey.filtered(smooth3, slope3, grow=grow)
    return along_x, grey.filtered(slope3, smooth3, grow=grow)


def _tensor(view: View) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The structure tensor's xx, yy and xy entries, window sigma 1 px, [32, 32] each."""
    grow = MARGIN - 1  # the Sobel filters need one pixel more
    dx, dy = _gradients(view, grow)
    centres = jnp.arange(SIZE, dtype=jnp.float32) + grow
    window = gaussian(centres, 1.0, size=SIZE + 2 * grow)
    smooth = functools.partial(apply, window, window)
    return smooth(dx * dx), smooth(dy * dy), smooth(dx * dy)


def edges(key, view, photograph):
    """Sobel magnitude, under a square root since edges are sparse."""
    del key, photograph
    dx, dy = _gradients(view, 0)
    return example(view.image(), jnp.sqrt(jnp.hypot(dx, dy))[..., None])


def laplacian(key, view, photograph):
    """Difference of Gaussians of 1 and 1.6 px, the usual stand-in for the Laplacian."""
    del key, photograph
    grey = view._replace(patch=luma(view.patch))
    fine, coarse = (grey.filtered(blurred(s), blurred(s)) for s in (1.0, 1.6))
    return example(view.image(), (fine - coarse)[..., None])


def corners(key, view, photograph):
    """Shi and Tomasi's cornerness, the structure tensor's smaller eigenvalue, as a fourth root."""
    del key, photograph
    xx, yy, xy = _tensor(view)
    smaller = 0.5 * (xx + yy) - jnp.sqrt(jnp.square(0.5 * (xx - yy)) + xy * xy)
    return example(view.image(), (jnp.maximum(smaller, 0.0) ** 0.25)[..., None])


def orientation(key, view, photograph):
    """Double angle of the local orientation times its coherence (structure tensor)."""
    del key, photograph
    xx, yy, xy = _tensor(view)
    # 1e-4 is (1/100 of the grey range)^2: flatter places have no orientation.
    field = jnp.stack([xx - yy, 2 * xy], axis=-1) / (xx + yy + 1e-4)[..., None]
    return example(view.image(), field)


# Colour.


def colourisation(key, view, photograph):
    """Both opponent colours of an image shown in grey."""
    del key, photograph
    image = view.image()
    grey = jnp.broadcast_to(luma(image)[..., None], image.shape)
    return example(grey, opponent(image), guess=0.0)


def saturation(key, view, photograph):
    """Largest minus smallest of the three channels."""
    del key, photograph
    image = view.image()
    return example(image, image.max(-1, keepdims=True) - image.min(-1, keepdims=True))


def colour_histogram(key, view, photograph):
    """Soft histogram over 4 x 4 x 4 colours, under a square root (Hellinger)."""
    del key, photograph
    image = view.image()
    levels = jnp.linspace(0.0, 1.0, 4, dtype=jnp.float32)
    near = jnp.maximum(1.0 - 3.0 * jnp.abs(image[..., None] - levels), 0.0).reshape(-1, 3, 4)
    counts = jnp.einsum("pi,pj,pk->ijk", near[:, 0], near[:, 1], near[:, 2])
    return example(image, jnp.sqrt(counts.reshape(64) / counts.sum()))


# Context: where the patch is from and whether it is whole and upright.


def photograph(key, view, photograph):
    """Which photograph the patch is from."""
    del key
    return example(view.image(), photograph)


def jigsaw(key, view, photograph):
    """Which of the 24 orders the four quarters were put in."""
    del photograph
    half = SIZE // 2
    label = jax.random.randint(key, (), 0, len(PERMUTATIONS))
    quarters = view.image().reshape(2, half, 2, half, 3).swapaxes(1, 2).reshape(4, half, half, 3)
    moved = quarters[jnp.asarray(PERMUTATIONS)[label]].reshape(2, 2, half, half, 3)
    return example(moved.swapaxes(1, 2).reshape(SIZE, SIZE, 3), label)


def rotation(key, view, photograph):
    """How many quarter turns."""
    del photograph
    label = jax.random.randint(key, (), 0, 4)
    turns = [lambda image, k=k: jnp.rot90(image, k) for k in range(4)]
    return example(jax.lax.switch(label, turns, view.image()), label)


# Degradation: how the image was taken.


def blur_level(key, view, photograph):
    """Standard deviation of a Gaussian blur, 0 to 2 px."""
    del photograph
    sigma = jax.random.uniform(key, (), jnp.float32, 0.0, 2.0)
    return example(view.filtered(blurred(sigma), blurred(sigma)), sigma[None])


def noise_level(key, view, photograph):
    """Standard deviation of white noise, 0 to 0.2 of the range."""
    del photograph
    key_level, key_noise = jax.random.split(key)
    level = jax.random.uniform(key_level, (), jnp.float32, 0.0, 0.2)
    image = view.image()
    return example(image + level * jax.random.normal(key_noise, image.shape), level[None])


def motion_direction(key, view, photograph):
    """Double angle of a straight motion blur of 9 px."""
    del photograph
    angle = jax.random.uniform(key, (), jnp.float32, 0.0, math.pi)
    steps = jnp.arange(SIZE, dtype=jnp.float32)

    def shifted(t):
        rows, columns = view.y + steps + t * jnp.sin(angle), view.x + steps + t * jnp.cos(angle)
        return apply(cropped(rows), cropped(columns), view.patch)

    image = jax.vmap(shifted)(jnp.linspace(-4.0, 4.0, 9, dtype=jnp.float32)).mean(0)
    return example(image, jnp.stack([jnp.cos(2 * angle), jnp.sin(2 * angle)]))


def scale(key, view, photograph):
    """Log2 of the magnification: a square of 20 to 48 px resized to 32."""
    del photograph
    key_side, key_place = jax.random.split(key)
    octaves = jax.random.uniform(key_side, (), jnp.float32, math.log2(20), math.log2(PATCH))
    side = 2.0**octaves
    start = jax.random.uniform(key_place, (2,)) * (PATCH - side)
    rows, columns = (magnify(s, side, SIZE, size=PATCH) for s in start)
    return example(apply(rows, columns, view.patch), (math.log2(SIZE) - octaves)[None])
