"""Graphs, features and vectors as artefacts."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax.graph import AttributionGraph, GraphInfo, embed
from depara_jax.recipe import Recipe
from depara_jax.store.artefacts import Artefact, Store
from depara_jax.store.keys import ArtefactKey
from depara_jax.types import Features

__all__ = ["load_graph", "save_features", "save_graph", "save_vector"]


def save_graph(
    store: Store, key: ArtefactKey, graph: AttributionGraph, *, provenance: Mapping[str, Any]
) -> str:
    """Stores a graph and returns its content digest.

    Raises:
      StoreError: the store cannot be written to.
    """
    arrays = {"nodes": np.asarray(graph.nodes), "edges": np.asarray(graph.edges)}
    return store.put(key, arrays, info=_info(graph), provenance=provenance)


def save_vector(
    store: Store,
    key: ArtefactKey,
    graph: AttributionGraph,
    recipe: Recipe,
    *,
    provenance: Mapping[str, Any],
) -> str:
    """Stores a graph's vector, whose dot product with another's is their similarity."""
    arrays = {"vector": np.asarray(embed(graph, recipe))}
    info = _info(graph) | {"recipe": recipe.to_dict()}
    return store.put(key, arrays, info=info, provenance=provenance)


def save_features(
    store: Store,
    key: ArtefactKey,
    features: Features,
    *,
    model: str,
    provenance: Mapping[str, Any],
) -> str:
    """Stores the features of one layer, [n, ...] in the order of the probe images."""
    info = {"model": model, "layer": key.layer, "probe": key.probe}
    arrays = {"features": np.asarray(features, np.float32)}
    return store.put(key, arrays, info=info, provenance=provenance)


def load_graph(artefact: Artefact) -> AttributionGraph:
    """The graph that an artefact of kind "graph" holds."""
    info = artefact.record["info"]
    origin = GraphInfo(
        info["model"], info["layer"], info["probe"], Recipe.from_dict(info["recipe"])
    )
    arrays = artefact.arrays
    return AttributionGraph(jnp.asarray(arrays["nodes"]), jnp.asarray(arrays["edges"]), origin)


def _info(graph: AttributionGraph) -> dict[str, Any]:
    assert graph.info is not None  # attribution_graphs fills it in
    return {
        "model": graph.info.model,
        "layer": graph.info.layer,
        "probe": graph.info.probe,
        "images": graph.n_images,
        "recipe": graph.info.recipe.to_dict(),
        "zero_maps": graph.zero_nodes,
    }
