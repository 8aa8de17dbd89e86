"""Cosines of maps and ranks of edges by numpy, for arrays in a CPU's memory.

XLA makes several passes over maps to normalise them, and its reductions there are not vectorised:
for 20 models numpy takes a seventh of the processor time (BUILD.md, Decisions). Here every map is
read once: inner products first, lengths from their diagonal. Products are of a size that OpenBLAS
does in one thread, and the images are spread over threads here; its own threads wait by spinning,
which on a machine that others use cost up to 50 times the work.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped

from depara_jax.host.ranks import ranks
from depara_jax.types import Array

__all__ = ["as_numpy", "centred_ranks", "cosines_with", "map_cosines"]

# OpenBLAS multiplies up to 10**6 = rows x columns x entries without packing and without threads.
COLUMNS, ROWS, ENTRIES = 8, 120, 1024
BLOCK = 8 * ENTRIES  # entries copied at once: runs long enough for the prefetcher, all in the cache
# Between these squared lengths float32 products neither overflow nor lose digits to underflow.
SAFE_SQUARES = (1e-24, 1e34)


def as_numpy(values: Array) -> np.ndarray:
    """Without a copy for float32 and float64; what is narrower becomes float32."""
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def map_cosines(nodes: Sequence[Shaped[np.ndarray, "k p"]]) -> Float64[np.ndarray, "k m m"]:
    """Cosines of every pair of models' maps, image by image; a zero map has 0 with all."""
    images = [[one[image] for one in nodes] for image in range(nodes[0].shape[0])]
    return np.stack(_in_threads(_cosines, images))


def cosines_with(
    target: Shaped[np.ndarray, "k p"], sources: Sequence[Shaped[np.ndarray, "k p"]]
) -> Float64[np.ndarray, "m k"]:
    """Cosine of each image's map with the target's, for every source."""
    safe_target = _within_range(target)
    length = np.sqrt(_dots(safe_target, safe_target))

    def one(source: np.ndarray) -> np.ndarray:
        source = _within_range(source)
        both = length * np.sqrt(_dots(source, source))
        return _divide(_dots(source, safe_target), both)

    return np.stack(_in_threads(one, sources))


def centred_ranks(
    rows: Sequence[Float[np.ndarray, " e"]], *, ties: str
) -> Float[np.ndarray, "m e"]:
    """Ranks of every row, centred and at unit length; a row of one value becomes zeros."""
    count, kind = len(rows[0]), rows[0].dtype
    result = np.empty((len(rows), count), kind)

    def one(row: int) -> None:
        # The mean of the ranks 1 to e is known, whatever the ties; halves are exact.
        ranked = ranks(rows[row], ties=ties) - kind.type((count + 1) / 2)
        length = np.sqrt(np.square(ranked).sum(dtype=np.float64))
        np.multiply(ranked, 1 / length if length != 0 else 0, out=result[row])

    _in_threads(one, range(len(rows)))
    return result


def _in_threads(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    if (cores := _cores()) == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(cores) as pool:  # numpy lets go of the interpreter in its loops
        return list(pool.map(work, items))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cosines(maps: list[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):  # what leaves the range is noticed and computed again
        gram = _gram(maps)
        safe = _is_safe(np.diagonal(gram))
        if not safe.all():
            pairs = zip(maps, safe, strict=True)
            gram = _gram([one if good else _largest_one(one) for one, good in pairs])
        length = np.sqrt(np.diagonal(gram))
        return _divide(gram, length[:, None] * length[None, :])


def _divide(product: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The cosine; 0 where a map is zero, NaN where it has one."""
    return np.divide(product, lengths, out=np.zeros_like(product), where=lengths != 0)


def _is_safe(squares: np.ndarray) -> np.ndarray:
    return (squares > SAFE_SQUARES[0]) & (squares < SAFE_SQUARES[1])


def _largest_one(values: np.ndarray) -> np.ndarray:
    """Rows over their largest magnitude, as `stats.normalize_rows` does; zero rows as they are."""
    top = np.abs(values).max(axis=-1, keepdims=True, initial=0)
    return values / np.where(top == 0, 1, top)


def _within_range(values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        safe = _is_safe(_dots(values, values)).all()
        return values if safe else _largest_one(values)


def _gram(maps: list[np.ndarray]) -> np.ndarray:
    """Inner products of all pairs: groups of columns by the rows above, float64 across blocks."""
    models, size = len(maps), maps[0].size
    entries = min(ENTRIES, size)
    block = min(BLOCK, -(-size // entries) * entries)
    dtype = np.float64 if maps[0].dtype == np.float64 else np.float32
    # One row more, so that no product is of a matrix with its own transpose: numpy would hand
    # that to syrk, which is slower for so few rows.
    buffer = np.zeros((models + 1, block), dtype)
    left = buffer.reshape(models + 1, -1, entries).transpose(1, 0, 2)
    right = left.transpose(0, 2, 1)
    gram = np.zeros((models + 1, models))
    for start in range(0, size, block):
        taken = min(block, size - start)
        for row, one in zip(buffer, maps, strict=False):
            row[:taken] = one[start : start + taken]
        buffer[:, taken:] = 0
        for first in range(0, models, COLUMNS):
            last = min(first + COLUMNS, models)
            for top in range(0, last, ROWS):
                bottom = min(top + ROWS, last + 1)
                product = np.matmul(left[:, top:bottom], right[:, :, first:last])
                gram[top:bottom, first:last] += product.sum(axis=0, dtype=np.float64)
    upper = np.triu(gram[:models])
    return upper + np.triu(upper, 1).T


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of each pair of rows, in short runs that are added up in float64."""
    whole = a.shape[-1] // ENTRIES * ENTRIES
    runs = [x[:, :whole].reshape(len(x), -1, ENTRIES) for x in (a, b)]
    total = np.vecdot(*runs).sum(axis=-1, dtype=np.float64)
    return total + np.vecdot(a[:, whole:], b[:, whole:])
