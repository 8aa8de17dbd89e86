"""A searchable index of graphs' vectors: one memory-mapped file, exact or a random projection."""

from depara_jax.index.build import add_to_index, build_index, store_entries
from depara_jax.index.file import Index, IndexHeader
from depara_jax.index.projection import Projection, standard_error
from depara_jax.index.query import Match, query_index

__all__ = [
    "Index",
    "IndexHeader",
    "Match",
    "Projection",
    "add_to_index",
    "build_index",
    "query_index",
    "standard_error",
    "store_entries",
]
