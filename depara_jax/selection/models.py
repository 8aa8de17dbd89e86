"""Which network to transfer from (DEPARA section 3.4.1)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.graph import similarity
from depara_jax.graph.structure import AttributionGraph, GraphInfo
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.ranking import Ranking, check_distinct, probe_facts
from depara_jax.spec import LayerRef
from depara_jax.types import Array, ModelLike, ProbeLike
from depara_jax.walk import FEATURE_LIMIT, Placement, Progress, View, Walk

__all__ = ["ModelSimilarity", "attribution_graphs", "compare_models", "rank_models", "rank_views"]


@dataclasses.dataclass(frozen=True, eq=False)
class ModelSimilarity:
    """Similarity of all pairs of m models.

    Attributes:
      names: m models.
      score: [m, m] node_weight * node + lam * edge.
      node: [m, m] mean cosine of the attribution maps; None if the recipe leaves nodes out.
      edge: [m, m] Spearman correlation of the edges; None if the recipe leaves edges out.
      recipe: with the grid that was used.
      probe: the probe set: source, images (how many), fingerprint.
      zero_maps: for each model, how many of its attribution maps are zero; each counts as cosine 0.
      node_cosines: [n, m, m] the cosines that the node term is the mean of, if they were asked for.
      edges: [m, e] each model's edges, if they were asked for; both are what
        `depara_jax.evaluation.bootstrap_over_images` takes.
    """

    names: tuple[str, ...]
    score: Float[Array, "m m"]
    node: Float[Array, "m m"] | None
    edge: Float[Array, "m m"] | None
    recipe: Recipe
    probe: Mapping[str, Any]
    zero_maps: tuple[int, ...] = ()
    node_cosines: Float[np.ndarray, "n m m"] | None = None
    edges: Float[Array, "m e"] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a pair, the most similar first: rank, models, score, node, edge."""
        pairs = similarity.GraphSimilarity(self.score, self.node, self.edge).rows()
        return [
            {"rank": row["rank"], "models": [self.names[i] for i in row["graphs"]]}
            | {term: row[term] for term in similarity.GraphSimilarity._fields}
            for row in pairs
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files; what `depara evaluate --similarity` reads."""
        return {
            "names": list(self.names),
            **similarity.GraphSimilarity(self.score, self.node, self.edge).to_dict(),
            "recipe": self.recipe.to_dict(),
            "probe": dict(self.probe),
            "zero_maps": {n: z for n, z in zip(self.names, self.zero_maps, strict=False) if z},
        }

    def __repr__(self) -> str:
        return (
            f"ModelSimilarity({len(self.names)} models, recipe {self.recipe.name!r}, "
            f"{self.probe['images']} images)"
        )


def rank_models(
    target: ModelLike,
    sources: Sequence[ModelLike],
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    batch_size: int | None = None,
    memory_limit: int | None = None,
    feature_limit: int = FEATURE_LIMIT,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> Ranking:
    """Ranks source networks by how similar their graphs are to the target's (DEPARA eq. 5).

    Each network is represented by its most compact features (`spec.encoder`). The target network
    is one trained for the target task, however small its data; no labels are needed.

    Args:
      target: the network of the target task.
      sources: candidates, with distinct names.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      batch_size: images a step; by default from the largest input size.
      memory_limit: bytes that the walk may take beside weights and results.
      feature_limit: bytes of features to hold between steps.
      progress: called with (steps done, steps in all).
      placement: devices to spread images and parameters over. `depara_jax.walk.Walk` has more on
        all of these.

    Raises:
      DegenerateError: NaN, nothing but zero maps, or features that do not tell images apart.
      DeparaError: too few images, or models that cannot be compared.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    refuse_logits(recipe)
    if not sources:
        raise DeparaError("rank_models: there are no source models to rank")
    names = tuple(source.spec.name for source in sources)
    views = [View(model, (model.spec.encoder,)) for model in (target, *sources)]
    walk = Walk(
        views, probe, recipe, batch_size=batch_size, memory_limit=memory_limit,
        feature_limit=feature_limit, progress=progress, placement=placement,
    )  # fmt: skip
    return rank_views(walk, LayerRef(target.spec.name, target.spec.encoder), names, probe)


def compare_models(
    models: Sequence[ModelLike],
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    per_image: bool = False,
    batch_size: int | None = None,
    memory_limit: int | None = None,
    feature_limit: int = FEATURE_LIMIT,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> ModelSimilarity:
    """Similarity of all pairs of models, [m, m], from one walk over the probe set.

    Maps exist for one chunk of images at a time, whatever the number of images.

    Args:
      models: with distinct names.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      per_image: also return the cosines image by image and the edges, for intervals over images;
        n m^2 + m e numbers.
      batch_size: as in `rank_models`, and so are the others.
      memory_limit: bytes.
      feature_limit: bytes.
      progress: called with (steps done, steps in all).
      placement: devices.

    Raises:
      DeparaError: as `rank_models`.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    refuse_logits(recipe)
    names = tuple(model.spec.name for model in models)
    if len(set(names)) != len(names) or not names:
        raise DeparaError(f"compare_models: needs models with distinct names, got {names}")
    walk = Walk(
        [View(model, (model.spec.encoder,)) for model in models], probe, recipe,
        batch_size=batch_size, memory_limit=memory_limit, feature_limit=feature_limit,
        progress=progress, placement=placement,
    )  # fmt: skip
    gram = jnp.zeros((len(models), len(models)))
    images: list[np.ndarray] = []
    for chunk in walk:
        if recipe.uses_nodes:
            if per_image:
                images.append(np.asarray(similarity.node_cosines(chunk.vectors), np.float32))
            gram = similarity.add_node_products(gram, chunk.vectors)
    node = gram / len(probe) if recipe.uses_nodes else None
    edge = edges = None
    if recipe.uses_edges:
        edges = walk.edges()
        vectors = similarity.edge_vectors(edges, ties=recipe.ties)
        edge = similarity.products(vectors, vectors)
    return ModelSimilarity(
        names,
        *similarity.combine(node, edge, recipe),
        recipe=walk.recipe,
        probe=probe_facts(probe),
        zero_maps=walk.zero_maps,
        node_cosines=np.concatenate(images) if images else None,
        edges=jnp.stack(edges) if per_image and edges is not None else None,
    )


def attribution_graphs(
    model: ModelLike,
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    layers: Sequence[str] | None = None,
    batch_size: int | None = None,
    memory_limit: int | None = None,
    feature_limit: int = FEATURE_LIMIT,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> dict[str, AttributionGraph]:
    """The graphs of one model, for one or more of its layers.

    Args:
      model: the network.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      layers: names; by default the encoder layer.
      batch_size: as in `rank_models`, and so are the others.
      memory_limit: bytes.
      feature_limit: bytes.
      progress: called with (steps done, steps in all).
      placement: devices.

    Raises:
      UnknownNameError: a layer that the model does not have.
      DegenerateError: as `rank_models`.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    chosen = tuple(model.spec.check_layer(layer) for layer in layers or (model.spec.encoder,))
    walk = Walk(
        [View(model, chosen)], probe, recipe, batch_size=batch_size, memory_limit=memory_limit,
        feature_limit=feature_limit, progress=progress, placement=placement,
    )  # fmt: skip
    chunks = [chunk.vectors for chunk in walk]
    nodes, edges = jnp.zeros((len(probe), 0)), jnp.zeros(0)  # of a recipe without them
    graphs = {}
    for i, layer in enumerate(chosen):
        if recipe.uses_nodes:
            nodes = jnp.concatenate([vectors[i] for vectors in chunks])
        if recipe.uses_edges:
            edges = walk.edges()[i]
        info = GraphInfo(model.spec.name, layer, probe.fingerprint, walk.recipe)
        graphs[layer] = AttributionGraph(nodes, edges, info)
    return graphs


def rank_views(
    walk: Walk,
    target: LayerRef,
    names: tuple[str, ...],
    probe: ProbeLike,
    *,
    source: str | None = None,
) -> Ranking:
    """Ranks all graphs of a walk but the first against the first, which is the target's.

    They are of models, or, with their edges kept, of the layers of one `source`.
    """
    kind = "model" if source is None else "layer"
    check_distinct(kind, names)  # before the work
    recipe = walk.recipe
    cosines = np.zeros((len(names), len(probe)), np.float32)
    for chunk in walk:
        if recipe.uses_nodes:
            part = np.asarray(similarity.cosines_with(chunk.vectors[0], chunk.vectors[1:]))
            cosines[:, chunk.start : chunk.start + part.shape[1]] = part
    node = cosines.mean(axis=1, dtype=np.float64) if recipe.uses_nodes else None
    edge = edges = None
    if recipe.uses_edges:
        edges = walk.edges()
        vectors = similarity.edge_vectors(edges, ties=recipe.ties)
        edge = np.asarray(similarity.products(vectors[:1], vectors[1:]), np.float64)[0]
    kept = np.stack(edges) if source is not None and edges is not None else None
    return Ranking(
        kind,
        target,
        names,
        np.asarray(similarity.combine(node, edge, recipe).score),
        node,
        edge,
        recipe=recipe,
        probe=probe_facts(probe),
        source=source,
        zero_maps=walk.zero_maps[1:],
        target_zero_maps=walk.zero_maps[0],
        node_cosines=cosines if recipe.uses_nodes else None,
        edges=None if kept is None else kept[1:],
        target_edges=None if kept is None else kept[0],
    )


def refuse_logits(recipe: Recipe) -> None:
    """Refuses, between models, a recipe that represents the target by its logits.

    Raises:
      DeparaError: it does; there every network is represented by its encoder's output, and
        `target_side` would have no effect.
    """
    if recipe.target_side == "logits":
        raise DeparaError(
            f"recipe {recipe.name!r} is for layer selection: it represents the target by its "
            "logits, but between models all networks are represented by their encoder's output; "
            "use 'depara-task', or replace(target_side='encoder')"
        )
