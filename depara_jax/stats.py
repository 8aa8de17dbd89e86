"""Ranks, correlations and cosines: the numerics that several stages share.

Every function works on the last axis (or the last two where a matrix is named), treats leading axes
as a batch, is traceable, and does no input/output.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from depara_jax.errors import UnknownNameError
from depara_jax.host import ranks as host_ranks
from depara_jax.host.platform import platform
from depara_jax.types import Array

__all__ = [
    "Ties",
    "average_ranks",
    "check_ties",
    "cosine",
    "in_host_memory",
    "normalize_rows",
    "ordinal_ranks",
    "pairwise_cosine",
    "pearson",
    "ranks",
    "sorts_on_host",
    "spearman",
    "standardize",
    "upper_triangle",
]

Ties = Literal["average", "ordinal"]  # how equal values are ranked
# From this many values on numpy sorts for a CPU: XLA's sort is not vectorised there (at 499,500
# values 231 ms of processor time against 22, scipy's rankdata 78; BUILD.md, Decisions).
HOST_SORT = 2**14


def average_ranks(values: Shaped[Array, "*batch e"]) -> Float[Array, "*batch e"]:
    """Ranks from 1 to e; equal values share the mean of the ranks they span.

    NaN compares with nothing, so a row that holds one has no ranks: it comes back all NaN. One sort
    and two running extrema: the first and last position of a run of equal values give its rank.
    Long rows in a CPU's memory are sorted by numpy, unless JAX is tracing.

    Args:
      values: [..., e].

    Returns:
      [..., e] ranks, float32 or wider; exact in float32 up to e = 2**23.

    Example:
      >>> average_ranks(jnp.array([0.3, 0.1, 0.3, 0.7])).tolist()
      [2.5, 1.0, 2.5, 4.0]
    """
    return _by_backend(_floating(values), host_ranks.average_ranks, _device_average_ranks)


def sorts_on_host(values: Array) -> bool:
    """Whether numpy may sort these values at once: long rows in a CPU's memory."""
    return values.shape[-1] >= HOST_SORT and in_host_memory(values)


def in_host_memory(values: Array) -> bool:
    """Whether numpy may work on these values at once: no tracers, in a CPU's memory."""
    if isinstance(values, jax.core.Tracer):
        return False
    if not isinstance(values, jax.Array):
        return platform() == "cpu"
    return values.is_fully_addressable and all(d.platform == "cpu" for d in values.devices())


def _by_backend(
    values: jax.Array, host: Callable[[np.ndarray], np.ndarray], device: Callable
) -> jax.Array:
    """`host` on each long row in a CPU's memory, `device` on others and while JAX traces."""
    if sorts_on_host(values):
        rows = np.asarray(values).reshape(-1, values.shape[-1])
        return jnp.asarray(np.stack([host(row) for row in rows]).reshape(values.shape))
    return device(values)


def _device_average_ranks(values: jax.Array) -> jax.Array:
    flat = values.reshape(-1, values.shape[-1])
    result = jax.vmap(_average_ranks_1d)(flat) if flat.shape[0] != 1 else _average_ranks_1d(flat[0])
    return result.reshape(values.shape)


def _floating(values: Array) -> jax.Array:
    """Float32 or wider: tied ranks end in halves, and bfloat16 counts to 256 only."""
    array = jnp.asarray(values)
    wide = array.dtype in (jnp.float32, jnp.float64)
    return array if wide else array.astype(jnp.float32)


def _average_ranks_1d(values: jax.Array) -> jax.Array:
    count = values.shape[0]
    if count == 0:
        return values
    position = jnp.arange(count, dtype=jnp.int32)
    ordered, order = jax.lax.sort((values, position), num_keys=1)
    starts = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    ends = jnp.concatenate([starts[1:], jnp.ones(1, bool)])
    first = jax.lax.cummax(jnp.where(starts, position, 0))
    last = jax.lax.cummin(jnp.where(ends, position, count), reverse=True)
    # Halving after the sum keeps half-integers exact.
    mean_rank = (first + last + 2).astype(values.dtype) / 2
    result = jnp.zeros_like(values).at[order].set(mean_rank, unique_indices=True)
    return jnp.where(jnp.isnan(values).any(), jnp.nan, result)


def ordinal_ranks(values: Shaped[Array, "*batch e"]) -> Float[Array, "*batch e"]:
    """Ranks from 1 to e; equal values are ranked in order of appearance (a stable sort).

    This is what the authors' `argsort` of `argsort` does, except that theirs is unstable. A row
    with a NaN comes back all NaN.
    """
    return _by_backend(_floating(values), host_ranks.ordinal_ranks, _device_ordinal_ranks)


def _device_ordinal_ranks(values: jax.Array) -> jax.Array:
    order = jnp.argsort(values, axis=-1, stable=True)
    result = (jnp.argsort(order, axis=-1, stable=True) + 1).astype(values.dtype)
    return jnp.where(jnp.isnan(values).any(axis=-1, keepdims=True), jnp.nan, result)


def ranks(
    values: Shaped[Array, "*batch e"], *, ties: Ties | str = "average"
) -> Float[Array, "*batch e"]:
    """Ranks from 1 to e by either rule for ties.

    Raises:
      UnknownNameError: another rule.
    """
    check_ties(ties)
    return average_ranks(values) if ties == "average" else ordinal_ranks(values)


def check_ties(ties: str) -> None:
    """Refuses a rule for ties that there is not.

    Raises:
      UnknownNameError: it.
    """
    if ties not in get_args(Ties):
        raise UnknownNameError("rule for ties", ties, get_args(Ties))


def standardize(values: Shaped[Array, "*batch e"]) -> Float[Array, "*batch e"]:
    """Centres the last axis and scales it to unit length, so that a dot product is a correlation.

    A constant row has no direction: it becomes zeros, and its correlation with anything 0.
    """
    # Dividing by the largest value first keeps sums of squared ranks (1e16 for 499,500 edges) well
    # inside float32.
    values = _floating(values)
    centred = values - values.mean(axis=-1, keepdims=True)
    top = jnp.abs(centred).max(axis=-1, keepdims=True, initial=0.0)
    return normalize_rows(centred / jnp.where(top > 0, top, 1))


def normalize_rows(values: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    """Scales the last axis to unit length; a zero row stays zero.

    The row is first divided by its largest entry, so that tiny gradients do not underflow when they
    are squared.
    """
    values = _floating(values)
    top = jnp.abs(values).max(axis=-1, keepdims=True, initial=0.0)
    scaled = values / jnp.where(top > 0, top, 1)
    length = jnp.sqrt((scaled * scaled).sum(axis=-1, keepdims=True))
    return scaled / jnp.where(length > 0, length, 1)


def pearson(a: Float[Array, "*batch e"], b: Shaped[Array, "*batch e"]) -> Float[Array, "*batch"]:
    """Pearson correlation along the last axis; 0 where either side is constant."""
    return (standardize(a) * standardize(b)).sum(axis=-1)


def spearman(
    a: Shaped[Array, "*batch e"], b: Shaped[Array, "*batch e"], *, ties: Ties | str = "average"
) -> Float[Array, "*batch"]:
    """Spearman's rank correlation: the Pearson correlation of the ranks.

    Without ties this is 1 - 6 sum d^2 / (e^3 - e). A constant side gives 0 with averaged ties
    (scipy gives NaN); with ordinal ties it is ranked by position, which is why averaging is the
    default.

    Example:
      >>> round(float(spearman(jnp.array([1.0, 2.0, 3.0]), jnp.array([10.0, 30.0, 20.0]))), 3)
      0.5
    """
    return pearson(ranks(a, ties=ties), ranks(b, ties=ties))


def cosine(a: Float[Array, "*batch d"], b: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Cosine similarity along the last axis; 0 where either side is zero."""
    return (normalize_rows(a) * normalize_rows(b)).sum(axis=-1)


def pairwise_cosine(rows: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """Cosine similarity of every pair of rows; a zero row has 0 with all others."""
    unit = normalize_rows(rows)
    return jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)


def upper_triangle(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch e"]:
    """Entries above the diagonal, row by row: the order of scipy's condensed distances."""
    matrix = _floating(matrix)
    rows, columns = jnp.triu_indices(matrix.shape[-1], k=1)
    return matrix[..., rows, columns]
