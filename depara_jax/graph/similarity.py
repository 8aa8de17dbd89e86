"""Similarity of graphs: for one pair, and for all pairs of m graphs as batched matrix products."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.graph.rows import ranked_rows
from depara_jax.graph.structure import AttributionGraph
from depara_jax.host import cosines as host
from depara_jax.recipe import Recipe
from depara_jax.stats import (
    check_ties,
    in_host_memory,
    normalize_rows,
    ranks,
    sorts_on_host,
    standardize,
)
from depara_jax.types import Array

__all__ = [
    "GraphSimilarity",
    "check_comparable",
    "check_parts",
    "edge_similarity",
    "edge_vectors",
    "graph_similarity",
    "node_similarity",
    "similarity_matrix",
]

HIGHEST = jax.lax.Precision.HIGHEST


class GraphSimilarity(NamedTuple):
    """Similarity with its parts; scalars for a pair, [m, m] for all pairs.

    Attributes:
      score: node_weight * node + lam * edge.
      node: mean cosine of the attribution maps, in [-1, 1]; None if the recipe leaves nodes out.
      edge: Spearman correlation of the edges, in [-1, 1]; None if the recipe leaves edges out.
    """

    score: Float[Array, "..."]
    node: Float[Array, "..."] | None
    edge: Float[Array, "..."] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for result files; nested lists for all pairs."""
        return {
            name: None if values is None else np.asarray(values).tolist()
            for name, values in self._asdict().items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a pair, best first: rank, graphs (their positions), score, node, edge."""
        count = np.shape(self.score)[0] if np.ndim(self.score) else 2
        pairs = np.triu_indices(count, 1)
        score, node, edge = (
            None if values is None else np.broadcast_to(values, (count, count))[pairs]
            for values in self
        )
        assert score is not None
        return ranked_rows(score, node, edge, {"graphs": np.transpose(pairs).tolist()})


@jax.jit
def node_similarity(a: Float[Array, "n p"], b: Float[Array, "n p"]) -> Float[Array, ""]:
    """s(V) = 1/n sum_k cos(v_k, v'_k) (DEPARA section 3.3); a zero map counts as cosine 0."""
    return (normalize_rows(a) * normalize_rows(b)).sum(axis=-1).mean()


def edge_similarity(
    a: Float[Array, " e"], b: Float[Array, " e"], *, ties: str = "average"
) -> Float[Array, ""]:
    """s(E): Spearman's rank correlation of the edges (DEPARA section 3.3).

    Undefined for constant edges, which `check_edges` refuses; here they give 0.
    """
    vectors = edge_vectors([a, b], ties=ties)
    return jnp.matmul(vectors[0], vectors[1], precision=HIGHEST)


def edge_vectors(
    edges: Sequence[Float[Array, " e"]] | Float[Array, "m e"], *, ties: str = "average"
) -> Float[Array, "m e"]:
    """Standardised ranks of the edges: the dot product of two rows is Spearman's correlation.

    Args:
      edges: of m graphs, in one array or each in its own.
      ties: how equal edges are ranked.
    """
    if sorts_on_host(edges[0]):  # not in a compiled program, where XLA would have to sort
        check_ties(ties)
        return jnp.asarray(host.centred_ranks([host.as_numpy(row) for row in edges], ties=ties))
    return _edge_vectors(jnp.stack(list(edges)), ties)


@functools.partial(jax.jit, static_argnames=("ties",))
def _edge_vectors(edges: Float[Array, "m e"], ties: str) -> Float[Array, "m e"]:
    # One graph at a time: m sorts side by side would need m times the working memory.
    ranked = jax.lax.map(functools.partial(ranks, ties=ties), edges)
    return standardize(ranked)


def check_comparable(graphs: Sequence[AttributionGraph]) -> None:
    """Refuses graphs that were not made of the same images in the same way.

    Raises:
      DeparaError: other probe images or order, another recipe, other sizes.
    """
    first = graphs[0]
    for other in graphs[1:]:
        pair = f"graphs {first.name} and {other.name}"
        if first.info is not None and other.info is not None:
            if first.info.probe != other.info.probe:
                raise DeparaError(
                    f"{pair} were built on different probe images or in another order "
                    f"(fingerprints {_short(first.info.probe)} and {_short(other.info.probe)}); "
                    "rebuild them on one probe set"
                )
            if first.info.recipe.graph_key() != other.info.recipe.graph_key():
                raise DeparaError(
                    f"{pair} were built with different recipes "
                    f"({first.info.recipe.name!r}, {other.info.recipe.name!r}); rebuild one of them"
                )
        if first.n_images != other.n_images or first.edges.shape != other.edges.shape:
            raise DeparaError(
                f"{pair} have {first.n_images} and {other.n_images} images, {first.edges.shape[0]} "
                f"and {other.edges.shape[0]} edges"
            )
        if first.nodes.shape != other.nodes.shape:
            raise DeparaError(
                f"{pair} have maps of {first.nodes.shape[1]} and {other.nodes.shape[1]} entries; "
                "models of different input sizes need a recipe with a common grid (grid=...), of "
                "different channels channel_reduction='mean'"
            )


def check_parts(graph: AttributionGraph, recipe: Recipe) -> None:
    """Refuses a recipe that weighs a part which the graph was made without.

    Raises:
      DeparaError: no nodes, or no edges.
    """
    parts = (("nodes", recipe.uses_nodes, graph.nodes), ("edges", recipe.uses_edges, graph.edges))
    for part, used, values in parts:
        if used and values.shape[-1] == 0:
            raise DeparaError(
                f"{graph.name} has no {part}, but recipe {recipe.name!r} gives them weight; make "
                "the graph with this recipe"
            )


def graph_similarity(
    a: AttributionGraph, b: AttributionGraph, recipe: Recipe | None = None
) -> GraphSimilarity:
    """s(G, G') = node_weight * s(V) + lam * s(E), for one pair.

    Args:
      a: one graph.
      b: another, of the same probe images.
      recipe: weights and tie rule; by default those of `a`.

    Raises:
      DeparaError: graphs that are not comparable.
    """
    recipe = recipe_of([a, b], recipe)
    check_comparable([a, b])
    check_parts(a, recipe)
    node = node_similarity(a.nodes, b.nodes) if recipe.uses_nodes else None
    edge = edge_similarity(a.edges, b.edges, ties=recipe.ties) if recipe.uses_edges else None
    return combine(node, edge, recipe)


def similarity_matrix(
    graphs: Sequence[AttributionGraph], recipe: Recipe | None = None, *, chunk: int = 64
) -> GraphSimilarity:
    """All pairs of m graphs: [m, m], symmetric.

    The node term is one matrix product a chunk of probe images, the edge term one product of the
    standardised ranks.

    Args:
      graphs: of the same probe images.
      recipe: weights and tie rule; by default those of the first graph.
      chunk: probe images a step; memory is m * chunk * p numbers beside the graphs.

    Raises:
      DeparaError: graphs that are not comparable.
    """
    if not graphs:
        raise DeparaError("similarity_matrix: there are no graphs to compare")
    recipe = recipe_of(graphs, recipe)
    check_comparable(graphs)
    check_parts(graphs[0], recipe)
    node = edge = None
    if recipe.uses_nodes:
        count, gram = graphs[0].n_images, jnp.zeros((len(graphs), len(graphs)))
        for start in range(0, count, chunk):
            gram = add_node_products(gram, [g.nodes[start : start + chunk] for g in graphs])
        node = gram / count
    if recipe.uses_edges:
        vectors = edge_vectors([g.edges for g in graphs], ties=recipe.ties)
        edge = products(vectors, vectors)
    return combine(node, edge, recipe)


def add_node_products(
    gram: Float[Array, "m m"], nodes: Sequence[Float[Array, "k p"]]
) -> Float[Array, "m m"]:
    """Adds sum_k cos(v_k, v'_k) over one chunk of k images, for all pairs of m models."""
    if all(in_host_memory(v) for v in nodes):
        added = host.map_cosines([host.as_numpy(v) for v in nodes]).sum(axis=0)
        return gram + jnp.asarray(added, gram.dtype)
    return _add_node_products(gram, nodes)


@jax.jit
def _add_node_products(
    gram: Float[Array, "m m"], nodes: Sequence[Float[Array, "k p"]]
) -> Float[Array, "m m"]:
    # The sum over images of dot products is one dot product of the concatenated unit vectors.
    unit = jnp.stack([normalize_rows(v).reshape(-1) for v in nodes])
    return gram + products(unit, unit)


def node_cosines(nodes: Sequence[Float[Array, "k p"]]) -> Float[Array, "k m m"]:
    """Cosines of every pair of models' maps, image by image."""
    if all(in_host_memory(v) for v in nodes):
        return host.map_cosines([host.as_numpy(v) for v in nodes])
    return _node_cosines(nodes)


@jax.jit
def _node_cosines(nodes: Sequence[Float[Array, "k p"]]) -> Float[Array, "k m m"]:
    unit = jnp.stack([normalize_rows(one) for one in nodes])
    return jnp.einsum("ikp,jkp->kij", unit, unit, precision=HIGHEST)


def cosines_with(
    target: Float[Array, "k p"], sources: Sequence[Float[Array, "k p"]]
) -> Float[Array, "m k"]:
    """Cosine of each image's map with the target's, for every source."""
    if all(in_host_memory(v) for v in (target, *sources)):
        return host.cosines_with(host.as_numpy(target), [host.as_numpy(v) for v in sources])
    return _cosines_with(target, sources)


@jax.jit
def _cosines_with(
    target: Float[Array, "k p"], sources: Sequence[Float[Array, "k p"]]
) -> Float[Array, "m k"]:
    unit = normalize_rows(target)
    return jnp.stack([(unit * normalize_rows(source)).sum(axis=-1) for source in sources])


@jax.jit
def products(a: Float[Array, "m d"], b: Float[Array, "q d"]) -> Float[Array, "m q"]:
    """Dot products of rows, in full float32."""
    # Not a @ b.T: of one row by many that takes XLA on a CPU 15 times as long, and loses digits.
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=HIGHEST)


def combine(node: Array | None, edge: Array | None, recipe: Recipe) -> GraphSimilarity:
    """Weighs the two terms; one that has no weight was not computed and is None."""
    terms = []
    if node is not None and recipe.uses_nodes:
        terms.append(recipe.node_weight * node)
    if edge is not None and recipe.uses_edges:
        terms.append(recipe.lam * edge)
    return GraphSimilarity(sum(terms[1:], start=terms[0]), node, edge)


def recipe_of(graphs: Sequence[AttributionGraph], recipe: Recipe | None) -> Recipe:
    """The recipe given, or the first graph's own."""
    if recipe is not None:
        return recipe
    if graphs[0].info is None:
        raise DeparaError("give a recipe; the graphs do not say which one made them")
    return graphs[0].info.recipe


def _short(fingerprint: str | None) -> str:
    return "unknown" if fingerprint is None else fingerprint[:12]
