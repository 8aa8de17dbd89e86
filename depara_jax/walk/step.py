"""One network on one chunk of images: the compiled program of the walk."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from depara_jax.attribution import attribute
from depara_jax.graph.structure import node_vectors
from depara_jax.recipe import Recipe
from depara_jax.types import Array, Forward
from depara_jax.walk.views import Margins

__all__ = ["Program", "StepOutput", "run_step"]


@dataclasses.dataclass(frozen=True)
class Program:
    """What a step's program depends on besides its arrays; equal values share one program.

    Attributes:
      forward: the network.
      layers: names of the graphs' layers.
      recipe: how maps are made, without what they do not depend on (`Recipe.map_part`); None makes
        none.
      wanted: positions in `layers` of those whose features are returned.
      margins: rows and columns of zeros around the maps, see `depara_jax.walk.views`.
      reverse_channels: maps are of blue, green and red, and become vectors of red, green and blue.
    """

    forward: Forward
    layers: tuple[str, ...]
    recipe: Recipe | None
    wanted: tuple[int, ...]
    margins: Margins | None = None
    reverse_channels: bool = False


class StepOutput(NamedTuple):
    """One step's results.

    Attributes:
      vectors: node vectors of each layer, none without a recipe.
      features: of each wanted layer, flattened.
      finite: for each layer and image, whether features and map are.
      nonzero: for each layer and image, whether the map is anything but zero.
    """

    vectors: list[Float[Array, "n p"]]
    features: list[Float[Array, "n d"]]
    finite: Bool[Array, "l n"]
    nonzero: Bool[Array, "l n"]


@functools.partial(jax.jit, static_argnums=0)
def run_step(program: Program, variables: Any, images: Float[Array, "n h w c"]) -> StepOutput:
    """Node vectors of all layers (with a recipe) and features of some, in one program.

    Args:
      program: what is computed.
      variables: the network's weights.
      images: preprocessed.
    """
    layers, recipe = program.layers, program.recipe
    if recipe is None:
        features, vectors = program.forward(variables, images), []
    else:
        features, maps = attribute(program.forward, variables, images, layers, recipe)
        around = ((0, 0), *(program.margins or ((0, 0), (0, 0))), (0, 0))
        vectors = [node_vectors(jnp.pad(maps[layer], around), recipe) for layer in layers]
    flat = [features[layer].reshape(images.shape[0], -1) for layer in layers]
    finite = [jnp.isfinite(f).all(axis=1) for f in flat]
    if vectors:
        finite = [f & jnp.isfinite(v).all(axis=1) for f, v in zip(finite, vectors, strict=True)]
    if program.reverse_channels:
        pixels = [v.reshape(v.shape[0], -1, 3)[:, :, ::-1] for v in vectors]
        vectors = [p.reshape(p.shape[0], -1) for p in pixels]
    return StepOutput(
        vectors,
        [flat[i].astype(jnp.float32) for i in program.wanted],
        jnp.stack(finite),
        jnp.stack([jnp.any(v != 0, axis=1) for v in vectors]) if vectors else jnp.zeros((0, 0)) > 0,
    )
