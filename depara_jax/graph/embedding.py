"""The vector form of a graph: the dot product of two vectors is the similarity of the graphs."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from depara_jax.graph.similarity import check_parts, edge_vectors, recipe_of
from depara_jax.graph.structure import AttributionGraph
from depara_jax.recipe import Recipe
from depara_jax.stats import normalize_rows
from depara_jax.types import Array

__all__ = ["embed"]


def embed(graph: AttributionGraph, recipe: Recipe | None = None) -> Float[Array, " z"]:
    """The vector z with <z, z'> = s(G, G') exactly (up to float32 rounding).

    Both terms are inner products: the node part holds every map at unit length divided by sqrt(n),
    times sqrt(node_weight); the edge part the standardised ranks of the edges, times sqrt(lam).

    Args:
      graph: of n images with p map entries.
      recipe: weights and tie rule; by default the graph's own.

    Returns:
      [n p + n (n - 1) / 2], without the part that has no weight.

    Raises:
      DeparaError: no recipe is known, or it weighs a part that the graph was made without.
    """
    recipe = recipe_of([graph], recipe)
    check_parts(graph, recipe)
    parts = []
    if recipe.node_weight > 0:
        scale = math.sqrt(recipe.node_weight / graph.n_images)
        parts.append(_unit_maps(graph.nodes) * scale)
    if recipe.lam > 0:  # outside the compiled program, for numpy to rank them on a CPU
        parts.append(edge_vectors(graph.edges[None], ties=recipe.ties)[0] * math.sqrt(recipe.lam))
    return jnp.concatenate(parts)


@jax.jit
def _unit_maps(nodes: Float[Array, "n p"]) -> Float[Array, " np"]:
    return normalize_rows(nodes).reshape(-1)
