"""Deep attribution graphs and their similarity."""

from depara_jax.graph.embedding import embed
from depara_jax.graph.similarity import (
    GraphSimilarity,
    edge_similarity,
    graph_similarity,
    node_similarity,
    similarity_matrix,
)
from depara_jax.graph.structure import (
    AttributionGraph,
    GraphInfo,
    build_graph,
    edges_of,
    node_vectors,
)

__all__ = [
    "AttributionGraph",
    "GraphInfo",
    "GraphSimilarity",
    "build_graph",
    "edge_similarity",
    "edges_of",
    "embed",
    "graph_similarity",
    "node_similarity",
    "node_vectors",
    "similarity_matrix",
]
