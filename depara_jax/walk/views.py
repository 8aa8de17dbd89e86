"""Models and their layers as one walk sees them, and the grid on which their maps meet."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from depara_jax.errors import DeparaError
from depara_jax.recipe import Recipe
from depara_jax.spec import InputSpec
from depara_jax.types import Forward, ModelLike

__all__ = ["Margins", "View", "common_grid", "margins"]

Margins = tuple[tuple[int, int], tuple[int, int]]


class View(NamedTuple):
    """A model and those of its layers that become graphs.

    Attributes:
      model: the network.
      layers: names of the graphs' layers.
    """

    model: ModelLike
    layers: tuple[str, ...]

    def names(self) -> list[str]:
        """One name a graph."""
        return [f"{self.model.spec.name}:{layer}" for layer in self.layers]

    def feature_sizes(self) -> list[int]:
        """Feature entries an image of each layer; nothing is computed."""
        spec, forward = self.model.spec, self.model.forward
        images = jax.ShapeDtypeStruct((2, *spec.input.shape), jnp.float32)
        shapes = _features.eval_shape(forward, self.model.variables, images)
        return [math.prod(shapes[spec.check_layer(layer)].shape[1:]) for layer in self.layers]


@functools.partial(jax.jit, static_argnums=0)
def _features(forward: Forward, variables: Any, images: jax.Array) -> dict[str, Any]:
    """Traced once for networks of one architecture, whose `forward` is equal."""
    return dict(forward(variables, images))  # any mapping may be returned; JAX knows dictionaries


def common_grid(views: Sequence[View], recipe: Recipe) -> Recipe:
    """The recipe with the grid that these models need.

    Models of one input shape and crop keep it. Otherwise all maps are resized to the smallest input
    side among them, unless the recipe names a grid; where models crop the photograph differently,
    each map is first put back at its place (see `margins`).

    Raises:
      DeparaError: inputs of different channels, whose maps have no common vector.
    """
    inputs = {view.model.spec.input for view in views}
    if not recipe.uses_nodes or len({(i.shape, _short_side(i)) for i in inputs}) == 1:
        return recipe
    if len({i.n_channels for i in inputs}) > 1 and recipe.channel_reduction == "none":
        raise DeparaError(
            "the models take images of different channels, so their attribution maps have no "
            "common vector; use a recipe with channel_reduction='mean'"
        )
    if recipe.grid is None and len({(i.size, _short_side(i)) for i in inputs}) > 1:
        return recipe.replace(grid=min(min(i.size) for i in inputs), name=recipe.name)
    return recipe


def margins(views: Sequence[View]) -> list[Margins | None]:
    """For each model, the rows and columns around its crop of the photograph's central square.

    This is the inverse of the models' preprocessing, T^-1 of "Deep Model Transferability from
    Attribution Maps": an input of 224 pixels, cropped from a photograph resized to 256, lies 16
    pixels inside the central square of 256. Maps get these margins, as zeros, before they are
    resized to the common grid, so that a pixel of the grid is the same place of the photograph for
    every model. `None` for all where every model sees the same part.
    """
    found: list[Margins | None] = []
    for view in views:
        input = view.model.spec.input
        around = [_short_side(input) - side for side in input.size]
        top, left = (a // 2 for a in around)
        found.append(((top, around[0] - top), (left, around[1] - left)))
    parts = {
        tuple(side / _short_side(view.model.spec.input) for side in view.model.spec.input.size)
        for view in views
    }
    return found if len(parts) > 1 else [None] * len(views)


def _short_side(input: InputSpec) -> int:
    """The photograph's shorter side after resizing."""
    return max(input.size) if input.resize is None else input.resize
