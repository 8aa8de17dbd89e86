"""Which network to transfer from (DEPARA section 3.4.1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.graph.similarity import (
    GraphSimilarity,
    add_node_products,
    combine,
    cosines_with,
    edge_vectors,
    node_cosines,
    products,
)
from depara_jax.graph.structure import AttributionGraph, GraphInfo
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.extract import Extraction, extract
from depara_jax.selection.ranking import Ranking
from depara_jax.selection.upstream import refuse_between_models
from depara_jax.selection.views import View
from depara_jax.types import Array, ModelLike, ProbeLike

__all__ = [
    "ModelSimilarity",
    "attribution_graphs",
    "compare_models",
    "rank_models",
    "rank_views",
]


class ModelSimilarity(NamedTuple):
    """Similarity of all pairs of m models.

    Attributes:
      names: m models.
      similarity: score, node and edge, each [m, m] (None where the recipe leaves a term out).
      recipe: with the grid that was used.
      probe: fingerprint of the probe set.
      zero_maps: for each model, how many of its attribution maps are zero; each counts as cosine 0.
      node_cosines: [n, m, m] the cosines that the node term is the mean of, if they were asked for.
      edges: [m, e] each model's edges, if they were asked for; both are what
        `depara_jax.evaluation.bootstrap_over_images` takes.
    """

    names: tuple[str, ...]
    similarity: GraphSimilarity
    recipe: Recipe
    probe: str
    zero_maps: tuple[int, ...] = ()
    node_cosines: Float[np.ndarray, "n m m"] | None = None
    edges: Float[Array, "m e"] | None = None


def rank_models(
    target: ModelLike,
    sources: Sequence[ModelLike],
    probe: ProbeLike,
    recipe: Recipe | None = None,
    **options: Any,
) -> Ranking:
    """Ranks source networks by how similar their graphs are to the target's (DEPARA eq. 5).

    Each network is represented by its most compact features (`spec.encoder`). The target network
    is one trained for the target task, however small its data; no labels are needed.

    Args:
      target: the network of the target task.
      sources: candidates, with distinct names.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      **options: `batch_size`, `memory_limit` and others, see `depara_jax.selection.extract`.

    Raises:
      DegenerateError: NaN, nothing but zero maps, or features that do not tell images apart.
      DeparaError: too few images, or models that cannot be compared.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    refuse_between_models(recipe)
    if not sources:
        raise DeparaError("rank_models: there are no source models to rank")
    names = tuple(source.spec.name for source in sources)
    views = [View(model, (model.spec.encoder,)) for model in (target, *sources)]
    return rank_views("model", views, names, probe, recipe, **options)


def compare_models(
    models: Sequence[ModelLike],
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    per_image: bool = False,
    **options: Any,
) -> ModelSimilarity:
    """Similarity of all pairs of models, [m, m], from one walk over the probe set.

    Maps exist for one chunk of images at a time, whatever the number of images.

    Args:
      models: with distinct names.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      per_image: also return the cosines image by image and the edges, for intervals over images;
        n m^2 + m e numbers.
      **options: as in `rank_models`.

    Raises:
      DeparaError: as `rank_models`.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    refuse_between_models(recipe)
    names = tuple(model.spec.name for model in models)
    if len(set(names)) != len(names) or not names:
        raise DeparaError(f"compare_models: needs models with distinct names, got {names}")
    gram = jnp.zeros((len(models), len(models)))
    images: list[np.ndarray] = []

    def sink(start: int, vectors: list[Array]) -> None:
        nonlocal gram
        if per_image:
            images.append(np.asarray(node_cosines(vectors), np.float32))
        gram = add_node_products(gram, vectors)

    views = [View(model, (model.spec.encoder,)) for model in models]
    result = extract(views, probe, recipe, sink, **options)
    node = gram / len(probe) if recipe.uses_nodes else None
    similarity = combine(node, _edge_products(result, recipe), recipe)
    return ModelSimilarity(
        names,
        similarity,
        result.recipe,
        probe.fingerprint,
        result.zero_maps,
        np.concatenate(images) if images else None,
        jnp.stack(result.edges) if per_image and result.edges is not None else None,
    )


def attribution_graphs(
    model: ModelLike,
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    layers: Sequence[str] | None = None,
    **options: Any,
) -> dict[str, AttributionGraph]:
    """The graphs of one model, for one or more of its layers.

    Args:
      model: the network.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      layers: addresses; by default the encoder layer.
      **options: as in `rank_models`.

    Raises:
      UnknownNameError: a layer that the model does not have.
      DegenerateError: as `rank_models`.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    chosen = tuple(model.spec.check_layer(layer) for layer in layers or (model.spec.encoder,))
    chunks: list[list[Array]] = [[] for _ in chosen]

    def sink(start: int, vectors: list[Array]) -> None:
        for kept, chunk in zip(chunks, vectors, strict=True):
            kept.append(chunk)

    result = extract([View(model, chosen)], probe, recipe, sink, **options)
    graphs = {}
    for i, layer in enumerate(chosen):
        nodes = jnp.concatenate(chunks[i]) if chunks[i] else jnp.zeros((len(probe), 0))
        edges = result.edges[i] if result.edges is not None else jnp.zeros(0)
        info = GraphInfo(model.spec.name, layer, probe.fingerprint, result.recipe)
        graphs[layer] = AttributionGraph(nodes, edges, info)
    return graphs


def rank_views(
    kind: Any,
    views: Sequence[View],
    names: tuple[str, ...],
    probe: ProbeLike,
    recipe: Recipe,
    *,
    keep_edges: bool = False,
    **options: Any,
) -> Ranking:
    """Ranks all graphs of `views` but the first against the first, which is the target's."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeparaError(f"ranking of {kind}s: {', '.join(twice)} named more than once")
    cosines = np.zeros((len(names), len(probe)), np.float32)

    def sink(start: int, vectors: list[Array]) -> None:
        chunk = np.asarray(cosines_with(vectors[0], vectors[1:]))
        cosines[:, start : start + chunk.shape[1]] = chunk

    result = extract(views, probe, recipe, sink, **options)
    node = cosines.mean(axis=1, dtype=np.float64) if recipe.uses_nodes else None
    edge = None
    if result.edges is not None:
        vectors = edge_vectors(result.edges, ties=recipe.ties)
        edge = np.asarray(products(vectors[:1], vectors[1:]), np.float64)[0]
    score = np.asarray(combine(node, edge, recipe).score)
    kept = np.stack(result.edges) if keep_edges and result.edges is not None else None
    return Ranking(
        kind=kind,
        target=views[0].names()[0],
        names=names,
        score=score,
        node=node,
        edge=edge,
        recipe=result.recipe,
        probe=probe.fingerprint,
        n_images=len(probe),
        zero_maps=result.zero_maps[1:],
        target_zero_maps=result.zero_maps[0],
        node_cosines=cosines if recipe.uses_nodes else None,
        edges=None if kept is None else kept[1:],
        target_edges=None if kept is None else kept[0],
    )


def _edge_products(result: Extraction, recipe: Recipe) -> Array | None:
    if result.edges is None:
        return None
    vectors = edge_vectors(result.edges, ties=recipe.ties)
    return products(vectors, vectors)
