"""The tasks in their families: each makes an image and its target of a view of a photograph."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.data.photographs import NAMES
from depara_jax.errors import UnknownNameError
from experiments.mini_taskonomy.config import PATCH, SIZE
from experiments.mini_taskonomy.filters import apply, crop, luma, magnify, opponent
from experiments.mini_taskonomy.views import Example, blurred, example, random_view


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
      name: its name.
      family: group of related tasks.
      kind: "dense" (an image), "vector" (numbers) or "classes".
      outputs: channels, entries or classes.
      make: (view, key=..., photograph=its number) -> Example; takes of these what it needs.
    """

    name: str
    family: str
    kind: Literal["dense", "vector", "classes"]
    outputs: int
    make: Callable[..., Example]

    @property
    def metric(self) -> str:
        """Either "accuracy" (higher is better) or "nmse", the unexplained share of variance."""
        return "accuracy" if self.kind == "classes" else "nmse"

    def batch(self, key: jax.Array, patches: jax.Array, photograph: jax.Array) -> Example:
        """Examples of uint8 patches [n, 48, 48, 3] and their photographs [n]."""

        def one(key, patch, photograph):
            key_view, key_task = jax.random.split(key)
            view = random_view(key_view, patch)
            return self.make(view, key=key_task, photograph=photograph)

        return jax.vmap(one)(jax.random.split(key, patches.shape[0]), patches, photograph)


@functools.cache
def compiled_batch(task: Task) -> Callable[..., Example]:
    """`task.batch`, compiled once."""
    return jax.jit(task.batch)


def task_named(name: str) -> Task:
    """The task of that name, or `UnknownNameError`."""
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]


TASKS: dict[str, Task] = {}


def _task(family: str, kind: Literal["dense", "vector", "classes"], outputs: int) -> Callable:
    """Puts a task's maker into the table, under its own name."""

    def add(make: Callable[..., Example]) -> Callable[..., Example]:
        TASKS[make.__name__] = Task(make.__name__, family, kind, outputs, make)
        return make

    return add


PERMUTATIONS = np.array(list(itertools.permutations(range(4))), np.int32)


# Reconstruction: the target is the clean crop; the rival guess is the mean colour of what is seen.


@_task("reconstruction", "dense", 3)
def autoencoding(view, **_):
    """The image itself."""
    image = view.image()
    return example(image, image, guess=image.mean((0, 1)))


@_task("reconstruction", "dense", 3)
def denoising(view, key, **_):
    """The image under white noise of 0.2 of the range."""
    image = view.image()
    noisy = image + 0.2 * jax.random.normal(key, image.shape)
    return example(noisy, image, guess=noisy.mean((0, 1)))


@_task("reconstruction", "dense", 3)
def super_resolution(view, **_):
    """The image reduced to 8 x 8 pixels and enlarged again."""
    image = view.image()
    small = jax.image.resize(image, (SIZE // 4, SIZE // 4, 3), "linear")
    coarse = jax.image.resize(small, image.shape, "linear")
    return example(coarse, image, guess=image.mean((0, 1)))


@_task("reconstruction", "dense", 3)
def inpainting(view, key, **_):
    """A hole of 12 x 12 pixels; only the hole counts."""
    hole = 12
    image = view.image()
    top, left = jax.random.randint(key, (2,), 0, SIZE - hole + 1)
    steps = jnp.arange(SIZE)
    rows, columns = (steps >= top) & (steps < top + hole), (steps >= left) & (steps < left + hole)
    mask = (rows[:, None] & columns)[..., None].astype(jnp.float32)
    seen = (image * (1 - mask)).sum((0, 1)) / (1 - mask).sum()
    return example(image * (1 - mask) + 0.5 * mask, image, weight=mask, guess=seen)


# Geometry: filters of the crop's luma.


@_task("geometry", "dense", 1)
def edges(view, **_):
    """Sobel magnitude, under a square root since edges are sparse."""
    dx, dy = view.gradients()
    return example(view.image(), jnp.sqrt(jnp.hypot(dx, dy))[..., None])


@_task("geometry", "dense", 1)
def laplacian(view, **_):
    """Difference of Gaussians of 1 and 1.6 px, the usual stand-in for the Laplacian."""
    grey = view.grey()
    fine, coarse = (grey.filtered(blurred(s), blurred(s)) for s in (1.0, 1.6))
    return example(view.image(), (fine - coarse)[..., None])


@_task("geometry", "dense", 1)
def corners(view, **_):
    """Shi and Tomasi's cornerness, the structure tensor's smaller eigenvalue, as a fourth root."""
    xx, yy, xy = view.structure_tensor()
    smaller = 0.5 * (xx + yy) - jnp.sqrt(jnp.square(0.5 * (xx - yy)) + xy * xy)
    return example(view.image(), (jnp.maximum(smaller, 0.0) ** 0.25)[..., None])


@_task("geometry", "dense", 2)
def orientation(view, **_):
    """Double angle of the local orientation times its coherence (structure tensor)."""
    xx, yy, xy = view.structure_tensor()
    # 1e-4 is (1/100 of the grey range)^2: flatter places have no orientation.
    field = jnp.stack([xx - yy, 2 * xy], axis=-1) / (xx + yy + 1e-4)[..., None]
    return example(view.image(), field)


# Colour.


@_task("colour", "dense", 2)
def colourisation(view, **_):
    """Both opponent colours of an image shown in grey."""
    image = view.image()
    grey = jnp.broadcast_to(luma(image)[..., None], image.shape)
    return example(grey, opponent(image), guess=0.0)


@_task("colour", "dense", 1)
def saturation(view, **_):
    """Largest minus smallest of the three channels."""
    image = view.image()
    return example(image, image.max(-1, keepdims=True) - image.min(-1, keepdims=True))


@_task("colour", "vector", 64)
def colour_histogram(view, **_):
    """Soft histogram over 4 x 4 x 4 colours, under a square root (Hellinger)."""
    image = view.image()
    levels = jnp.linspace(0.0, 1.0, 4, dtype=jnp.float32)
    near = jnp.maximum(1.0 - 3.0 * jnp.abs(image[..., None] - levels), 0.0).reshape(-1, 3, 4)
    counts = jnp.einsum("pi,pj,pk->ijk", near[:, 0], near[:, 1], near[:, 2])
    return example(image, jnp.sqrt(counts.reshape(64) / counts.sum()))


# Context: where the patch is from and whether it is whole and upright.


@_task("context", "classes", len(NAMES))
def photograph(view, photograph, **_):
    """Which photograph the patch is from."""
    return example(view.image(), photograph)


@_task("context", "classes", len(PERMUTATIONS))
def jigsaw(view, key, **_):
    """Which of the 24 orders the four quarters were put in."""
    half = SIZE // 2
    label = jax.random.randint(key, (), 0, len(PERMUTATIONS))
    quarters = view.image().reshape(2, half, 2, half, 3).swapaxes(1, 2).reshape(4, half, half, 3)
    moved = quarters[jnp.asarray(PERMUTATIONS)[label]].reshape(2, 2, half, half, 3)
    return example(moved.swapaxes(1, 2).reshape(SIZE, SIZE, 3), label)


@_task("context", "classes", 4)
def rotation(view, key, **_):
    """How many quarter turns."""
    label = jax.random.randint(key, (), 0, 4)
    turns = [lambda image, k=k: jnp.rot90(image, k) for k in range(4)]
    return example(jax.lax.switch(label, turns, view.image()), label)


# Degradation: how the image was taken.


@_task("degradation", "vector", 1)
def blur_level(view, key, **_):
    """Standard deviation of a Gaussian blur, 0 to 2 px."""
    sigma = jax.random.uniform(key, (), jnp.float32, 0.0, 2.0)
    return example(view.filtered(blurred(sigma), blurred(sigma)), sigma[None])


@_task("degradation", "vector", 1)
def noise_level(view, key, **_):
    """Standard deviation of white noise, 0 to 0.2 of the range."""
    key_level, key_noise = jax.random.split(key)
    level = jax.random.uniform(key_level, (), jnp.float32, 0.0, 0.2)
    image = view.image()
    return example(image + level * jax.random.normal(key_noise, image.shape), level[None])


@_task("degradation", "vector", 2)
def motion_direction(view, key, **_):
    """Double angle of a straight motion blur of 9 px."""
    angle = jax.random.uniform(key, (), jnp.float32, 0.0, math.pi)
    steps = jnp.arange(SIZE, dtype=jnp.float32)

    def shifted(t):
        rows, columns = view.y + steps + t * jnp.sin(angle), view.x + steps + t * jnp.cos(angle)
        return apply(crop(rows), crop(columns), view.patch)

    image = jax.vmap(shifted)(jnp.linspace(-4.0, 4.0, 9, dtype=jnp.float32)).mean(0)
    return example(image, jnp.stack([jnp.cos(2 * angle), jnp.sin(2 * angle)]))


@_task("degradation", "vector", 1)
def scale(view, key, **_):
    """Log2 of the magnification: a square of 20 to 48 px resized to 32."""
    key_side, key_place = jax.random.split(key)
    octaves = jax.random.uniform(key_side, (), jnp.float32, math.log2(20), math.log2(PATCH))
    side = 2.0**octaves
    start = jax.random.uniform(key_place, (2,)) * (PATCH - side)
    rows, columns = (magnify(s, side, SIZE) for s in start)
    return example(apply(rows, columns, view.patch), (math.log2(SIZE) - octaves)[None])
