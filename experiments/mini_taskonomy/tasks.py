"""The table of tasks, in their families."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import jax

from depara_jax.data.photographs import NAMES
from depara_jax.errors import UnknownNameError
from experiments.mini_taskonomy import examples
from experiments.mini_taskonomy.examples import PERMUTATIONS
from experiments.mini_taskonomy.views import Example, View, random_view

__all__ = ["TASKS", "Task", "compiled_batch", "task_named"]


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
      name: its name.
      family: group of related tasks.
      kind: "dense" (an image), "vector" (numbers) or "classes".
      outputs: channels, entries or classes.
      make: (key, view, photograph number) -> Example.
    """

    name: str
    family: str
    kind: Literal["dense", "vector", "classes"]
    outputs: int
    make: Callable[[jax.Array, View, jax.Array], Example]

    @property
    def metric(self) -> str:
        """Either "accuracy" (higher is better) or "nmse", the unexplained share of variance."""
        return "accuracy" if self.kind == "classes" else "nmse"

    def batch(self, key: jax.Array, patches: jax.Array, photograph: jax.Array) -> Example:
        """Examples of uint8 patches [n, 48, 48, 3] and their photographs [n]."""

        def one(key, patch, photograph):
            key_view, key_task = jax.random.split(key)
            return self.make(key_task, random_view(key_view, patch), photograph)

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


_ALL = (
    Task("autoencoding", "reconstruction", "dense", 3, examples.autoencoding),
    Task("denoising", "reconstruction", "dense", 3, examples.denoising),
    Task("super_resolution", "reconstruction", "dense", 3, examples.super_resolution),
    Task("inpainting", "reconstruction", "dense", 3, examples.inpainting),
    Task("edges", "geometry", "dense", 1, examples.edges),
    Task("laplacian", "geometry", "dense", 1, examples.laplacian),
    Task("corners", "geometry", "dense", 1, examples.corners),
    Task("orientation", "geometry", "dense", 2, examples.orientation),
    Task("colourisation", "colour", "dense", 2, examples.colourisation),
    Task("saturation", "colour", "dense", 1, examples.saturation),
    Task("colour_histogram", "colour", "vector", 64, examples.colour_histogram),
    Task("photograph", "context", "classes", len(NAMES), examples.photograph),
    Task("jigsaw", "context", "classes", len(PERMUTATIONS), examples.jigsaw),
    Task("rotation", "context", "classes", 4, examples.rotation),
    Task("blur_level", "degradation", "vector", 1, examples.blur_level),
    Task("noise_level", "degradation", "vector", 1, examples.noise_level),
    Task("motion_direction", "degradation", "vector", 2, examples.motion_direction),
    Task("scale", "degradation", "vector", 1, examples.scale),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
