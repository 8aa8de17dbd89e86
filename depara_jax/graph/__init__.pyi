from .embedding import embed as embed
from .similarity import (
    GraphSimilarity as GraphSimilarity,
)
from .similarity import (
    edge_similarity as edge_similarity,
)
from .similarity import (
    graph_similarity as graph_similarity,
)
from .similarity import (
    node_similarity as node_similarity,
)
from .similarity import (
    similarity_matrix as similarity_matrix,
)
from .structure import (
    AttributionGraph as AttributionGraph,
)
from .structure import (
    GraphInfo as GraphInfo,
)
from .structure import (
    build_graph as build_graph,
)
from .structure import (
    edges_of as edges_of,
)
from .structure import (
    node_vectors as node_vectors,
)
