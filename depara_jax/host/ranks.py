"""Ranks of one long row by numpy; `depara_jax.stats` says when they are used."""

import numpy as np
from jaxtyping import Float

__all__ = ["ranks"]

POSITION = np.uint64(2**32 - 1)


def ranks(values: Float[np.ndarray, " e"], *, ties: str) -> Float[np.ndarray, " e"]:
    """Ranks from 1 to e, see `depara_jax.stats.ranks`; NaN makes all NaN."""
    if np.isnan(values).any():
        return np.full_like(values, np.nan)
    order, ordered = _sorted(values)
    ranked = np.arange(1, len(values) + 1, dtype=values.dtype)
    if ties == "average":
        _share(ranked, ordered[1:] == ordered[:-1])
    result = np.empty_like(ranked)
    result[order] = ranked
    return result


def _share(ranked: np.ndarray, tied: np.ndarray) -> None:
    """Gives runs of equal values their mean, in place; `tied` says which equal the one before."""
    if tied.any():  # only runs of equal values need more than their position
        within = np.zeros(len(ranked), bool)
        within[1:] = tied
        within[:-1] |= tied
        at = np.flatnonzero(within)
        starts = np.flatnonzero(np.concatenate([[True], ~tied[at[1:] - 1]]))
        lengths = np.diff(np.append(starts, len(at)))
        means = at[starts] + (lengths + 1) / 2
        ranked[at] = np.repeat(means.astype(ranked.dtype), lengths)


def _sorted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stable order, and something in that order that is equal where the values are."""
    if values.dtype != np.float32:
        order = np.argsort(values, kind="stable")
        return order, values[order]
    # Numpy sorts numbers ten times as fast as it finds their order; so the number sorted is the
    # value, as bits that compare like it, with its position below.
    bits = (values + np.float32(0)).view(np.uint32)  # -0 becomes 0
    key = (bits.view(np.int32) >> 31).view(np.uint32)  # all ones where negative
    key |= np.uint32(1 << 31)
    key ^= bits
    packed = key.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= np.arange(len(values), dtype=np.uint64)
    packed.sort()
    order = (packed & POSITION).view(np.int64)
    packed >>= np.uint64(32)
    return order, packed
