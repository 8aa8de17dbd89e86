"""The deep attribution graph: what it holds and how it is built from features and maps."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float64

from depara_jax.errors import DegenerateError
from depara_jax.recipe import Recipe
from depara_jax.stats import pairwise_cosine, upper_triangle
from depara_jax.types import Array, Features, Maps

__all__ = [
    "AttributionGraph",
    "GraphInfo",
    "build_graph",
    "check_edges",
    "edges_from_gram",
    "edges_of",
    "node_vectors",
    "normalize_features",
]

# Cosines of float32 features carry rounding of a few 1e-7; edges that differ by less are one value,
# and ranking them would rank the noise.
EDGE_RESOLUTION = 1e-6
# The same for one feature entry over the probe set, relative to its largest magnitude.
ENTRY_RESOLUTION = 1e-6


class GraphInfo(NamedTuple):
    """Where a graph comes from; hashable, the static part of the pytree.

    Attributes:
      model: name of the network.
      layer: name of the layer whose features these are.
      probe: fingerprint of the probe images and their order; None if unknown.
      recipe: how it was made.
    """

    model: str
    layer: str
    probe: str | None
    recipe: Recipe


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["nodes", "edges"], meta_fields=["info"]
)
class AttributionGraph:
    """A deep attribution graph over n probe images, a pytree of two arrays.

    Attributes:
      nodes: [n, p] attribution maps as vectors, in the order of the probe images, not normalised;
        [n, 0] if the recipe leaves nodes out.
      edges: [n (n - 1) / 2] cosine of the features of every pair of images, the upper triangle row
        by row: (0, 1), (0, 2), ..., (1, 2), ...; [0] if the recipe leaves edges out.
      info: a `GraphInfo`, static under `jit`.
    """

    def __init__(
        self, nodes: Float[Array, "n p"], edges: Float[Array, " e"], info: GraphInfo | None = None
    ):
        self.nodes, self.edges, self.info = nodes, edges, info

    @property
    def n_images(self) -> int:
        """Number of probe images."""
        return self.nodes.shape[0]

    @property
    def name(self) -> str:
        """Model and layer, for messages."""
        return f"{self.info.model}:{self.info.layer}" if self.info else "graph"

    @property
    def zero_nodes(self) -> int:
        """How many images have a zero map; each counts as cosine 0 in the node term."""
        if self.nodes.shape[1] == 0:
            return 0
        return int((~jnp.any(self.nodes != 0, axis=1)).sum())

    def __repr__(self) -> str:
        return f"AttributionGraph({self.name}, nodes {self.nodes.shape}, edges {self.edges.shape})"


def node_vectors(maps: Maps, recipe: Recipe) -> Float[Array, "n p"]:
    """Attribution maps as node vectors: magnitude, channel mean, grid, as the recipe says.

    The order is: magnitude, then channel mean, then resizing (antialiased bilinear, linear in the
    map, so that it commutes with the mean).

    Args:
      maps: [n, h, w, c].
      recipe: `absolute`, `channel_reduction` and `grid` act here.

    Returns:
      [n, p], p the entries of one reduced map.
    """
    if recipe.absolute:
        maps = jnp.abs(maps)
    if recipe.channel_reduction == "mean":
        maps = maps.mean(axis=-1, keepdims=True)
    if recipe.grid is not None:
        shape = (maps.shape[0], recipe.grid, recipe.grid, maps.shape[-1])
        maps = jax.image.resize(maps, shape, "linear", antialias=True)
    return maps.reshape(maps.shape[0], -1)


def normalize_features(
    features: Float[Array, "n d"], edge_normalization: str
) -> Float[Array, "n d"]:
    """Normalises every feature entry over the probe set.

    An entry that is constant over the probe set (up to rounding) becomes 0 under "center" and
    "zscore": it says nothing about which images the network finds alike.
    """
    if edge_normalization == "none":
        return features
    spread = features.max(axis=0) - features.min(axis=0)
    constant = spread <= ENTRY_RESOLUTION * jnp.abs(features).max(axis=0)
    centred = features - features.mean(axis=0)
    if edge_normalization == "zscore":
        # By the spread first: the square of a tiny deviation would underflow.
        scaled = centred / jnp.where(constant, 1, spread)
        deviation = jnp.sqrt((scaled * scaled).mean(axis=0))
        centred = scaled / jnp.where(constant, 1, deviation)
    return jnp.where(constant, 0, centred)


@functools.partial(jax.jit, static_argnames=("edge_normalization",))
def edges_of(features: Features, *, edge_normalization: str = "none") -> Float[Array, " e"]:
    """Edges of the graph: the cosine of every pair of images' features (DEPARA eq. 4).

    Args:
      features: [n, ...], flattened to [n, d].
      edge_normalization: "none", "center" or "zscore", entry by entry over the probe set.

    Returns:
      [n (n - 1) / 2], the upper triangle row by row; an image whose features are all zero has
      cosine 0 with every other.

    Example:
      >>> edges = edges_of(jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]))
      >>> [round(float(edge), 3) for edge in edges]
      [0.0, 0.6, 0.8]
    """
    flat = features.reshape(features.shape[0], -1).astype(jnp.float32)
    return upper_triangle(pairwise_cosine(normalize_features(flat, edge_normalization)))


def edges_from_gram(gram: Float64[np.ndarray, "n n"]) -> Float[jax.Array, " e"]:
    """Edges from the inner products of normalised features, which may be summed over slices of d.

    This is how features that do not fit in memory become edges; an image with zero features has
    cosine 0 with every other.
    """
    # On the host in float64: squares of features from 1e-30 to 1e30 leave the range of float32.
    length = np.sqrt(np.maximum(np.diagonal(gram), 0))
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    cosines = gram * inverse[:, None] * inverse[None, :]
    return jnp.asarray(cosines[np.triu_indices(len(gram), k=1)], jnp.float32)


def check_edges(edges: Float[Array, " e"], name: str, n_images: int) -> None:
    """Refuses edges that Spearman's correlation is undefined for.

    Raises:
      DegenerateError: fewer than 3 images, NaN, or edges that are all the same.
    """
    if n_images < 3:
        raise DegenerateError(
            f"{name}: {n_images} probe image(s) make {n_images * (n_images - 1) // 2} edge(s), too "
            "few to rank; give at least 3 images, or use a recipe with lam=0 (nodes alone)"
        )
    values = np.asarray(edges)
    if not np.isfinite(values).all():
        raise DegenerateError(
            f"{name}: {int((~np.isfinite(values)).sum())} of {values.size} edges are NaN or "
            "infinite; check the weights"
        )
    if np.ptp(values) <= EDGE_RESOLUTION:
        raise DegenerateError(
            f"{name}: all edges are the same (the features do not tell the probe images apart), so "
            "their rank correlation is undefined; leave this model out, use other probe images, or "
            "a recipe with lam=0"
        )


def build_graph(
    features: Features, maps: Maps, recipe: Recipe, *, info: GraphInfo | None = None
) -> AttributionGraph:
    """Makes a graph of one model's features and maps over the probe images.

    Args:
      features: [n, ...] of one layer.
      maps: [n, h, w, c] attribution maps of the same layer and images.
      recipe: how.
      info: where they come from.

    Raises:
      DegenerateError: NaN or infinite values, nothing but zero maps, or see `check_edges`.
    """
    count = features.shape[0]
    name = f"{info.model}:{info.layer}" if info else "graph"
    nodes, edges = jnp.zeros((count, 0)), jnp.zeros(0)
    if recipe.uses_nodes:
        nodes = node_vectors(maps, recipe)
        check_finite(_finite_rows(nodes), name)
        check_any_map(bool(jnp.any(nodes != 0)), name)
    if recipe.uses_edges:
        check_finite(_finite_rows(features), name)
        edges = edges_of(features, edge_normalization=recipe.edge_normalization)
        check_edges(edges, name, count)
    return AttributionGraph(nodes, edges, info)


def _finite_rows(values: Float[Array, "n ..."]) -> Bool[Array, " n"]:
    return jnp.isfinite(values.reshape(values.shape[0], -1)).all(axis=1)


def check_finite(finite: Bool[Array, " n"], name: str, *, first: int = 0) -> None:
    """Refuses NaN or infinite values, naming the images.

    Args:
      finite: which images' values are.
      name: of the graph.
      first: position of the first image.

    Raises:
      DegenerateError: with the positions of the first such images.
    """
    bad = np.flatnonzero(~np.asarray(finite))
    if bad.size:
        shown = ", ".join(str(first + int(i)) for i in bad[:5])
        raise DegenerateError(
            f"{name}: NaN or infinite values for {bad.size} probe image(s) (position {shown}"
            f"{', ...' if bad.size > 5 else ''}); check the weights and the preprocessing"
        )


def check_any_map(any_nonzero: bool, name: str) -> None:
    """Refuses a graph whose attribution maps are all zero.

    Single zero maps are allowed: their cosine is 0 by definition, and `AttributionGraph.zero_nodes`
    counts them.

    Raises:
      DegenerateError: they are.
    """
    if not any_nonzero:
        raise DegenerateError(
            f"{name}: every attribution map is zero (a dead layer, or black images under an "
            "attribution that multiplies by the input)"
        )
