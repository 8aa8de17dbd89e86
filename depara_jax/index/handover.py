"""Handing an index over to a library of approximate search, for more rows than one scan can do."""

import json
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.index.file import Index, building

__all__ = ["export_index"]


def export_index(index: Index, path: str, target: str) -> int:
    """Writes the rows as a file of another library, and PATH.names.json with their names.

    Row numbers are the keys. The measure is the dot product, which is the similarity of graphs.

    Args:
      index: to hand over.
      path: of the other library's file.
      target: "npy" ([n, dim], for any library), "faiss" (IndexHNSWFlat) or "usearch" (HNSW).

    Returns:
      Rows written.

    Raises:
      DeparaError: the library is not installed, the file cannot be written, or no rows.
    """
    if not len(index):
        raise DeparaError(f"index {index.path} has no rows to hand over")
    blocks = (index.block(number)["vectors"] for number in range(index.blocks))
    names = json.dumps(index.names()).encode()
    if target == "npy":
        rows = np.concatenate(list(blocks))
        write_atomically(path, lambda file: np.save(file, rows))
    else:
        library = _faiss if target == "faiss" else _usearch
        try:
            with building(path) as temporary:
                library(index, blocks, temporary)
        except OSError as error:
            raise DeparaError(f"{path}: cannot be written ({error.strerror})") from error
    write_atomically(f"{path}.names.json", lambda file: file.write(names))
    return len(index)


def _faiss(index: Index, blocks: Any, path: str) -> None:
    try:
        import faiss
    except ImportError as error:
        raise DeparaError("faiss is not installed; pip install 'depara-jax[faiss]'") from error
    made = faiss.IndexHNSWFlat(index.header.dim, 32, faiss.METRIC_INNER_PRODUCT)
    for block in blocks:
        made.add(np.ascontiguousarray(block))
    try:
        faiss.write_index(made, path)
    except RuntimeError as error:  # faiss has no others, and its message starts with a C++ file
        reason = " ".join(str(error).split())[-120:]
        raise DeparaError(f"{path}: faiss cannot write there ({reason})") from error


def _usearch(index: Index, blocks: Any, path: str) -> None:
    try:
        from usearch.index import Index as Graph
    except ImportError as error:
        raise DeparaError("usearch is not installed; pip install 'depara-jax[usearch]'") from error
    made = Graph(ndim=index.header.dim, metric="ip", dtype="f32")
    start = 0
    for block in blocks:
        made.add(np.arange(start, start + len(block)), np.ascontiguousarray(block))
        start += len(block)
    made.save(path)
