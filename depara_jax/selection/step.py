"""One network on one chunk of images: the compiled program of the walk."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from depara_jax.attribution import attribute
from depara_jax.graph.structure import node_vectors
from depara_jax.recipe import Recipe
from depara_jax.selection.upstream import accumulated
from depara_jax.types import Array, Forward, Maps

__all__ = ["StepOutput", "run_step"]


class StepOutput(NamedTuple):
    """One step's results.

    Attributes:
      vectors: node vectors of each layer, none without a recipe.
      features: of each wanted layer, flattened.
      finite: for each layer and image, whether features and map are.
      nonzero: for each layer and image, whether the map is anything but zero.
      total: what the next network's maps are added to, if the recipe accumulates.
    """

    vectors: list[Float[Array, "n p"]]
    features: list[Float[Array, "n d"]]
    finite: Bool[Array, "l n"]
    nonzero: Bool[Array, "l n"]
    total: Maps | None


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5, 9))
def run_step(
    forward: Forward,
    layers: tuple[str, ...],
    walk: tuple[str, ...],
    recipe: Recipe | None,
    wanted: tuple[int, ...],
    aliased: frozenset[int],
    variables: Any,
    images: Float[Array, "n h w c"],
    carried: Maps | None,
    margins: tuple[tuple[int, int], tuple[int, int]] | None = None,
) -> StepOutput:
    """Node vectors of all layers (with a recipe) and features of some, in one program.

    Args:
      forward: the network.
      layers: addresses of the graphs' layers.
      walk: addresses of all layers whose maps are added up, in that order, if the recipe
        accumulates; `layers` are among them.
      recipe: how maps are made; `None` makes none.
      wanted: positions in `layers` of those whose features are returned.
      aliased: positions in `layers` of those whose features an in-place ReLU overwrites.
      variables: the network's weights.
      images: preprocessed.
      carried: the total of the networks before, if the recipe accumulates over them.
      margins: rows and columns of zeros around the maps, see `depara_jax.selection.views`.
    """
    total = None
    if recipe is None:
        features, vectors = forward(variables, images), []
    else:
        mapped = layers if recipe.accumulate == "off" else walk
        features, maps = attribute(forward, variables, images, mapped, recipe)
        if recipe.accumulate != "off":
            maps, total = accumulated(maps, walk, carried)
        around = ((0, 0), *(margins or ((0, 0), (0, 0))), (0, 0))
        vectors = [node_vectors(jnp.pad(maps[layer], around), recipe) for layer in layers]
    flat = [features[layer].reshape(images.shape[0], -1) for layer in layers]
    finite = [jnp.isfinite(f).all(axis=1) for f in flat]
    if vectors:
        finite = [f & jnp.isfinite(v).all(axis=1) for f, v in zip(finite, vectors, strict=True)]
    return StepOutput(
        vectors,
        [(jax.nn.relu(flat[i]) if i in aliased else flat[i]).astype(jnp.float32) for i in wanted],
        jnp.stack(finite),
        jnp.stack([jnp.any(v != 0, axis=1) for v in vectors]) if vectors else jnp.zeros((0, 0)) > 0,
        total,
    )
