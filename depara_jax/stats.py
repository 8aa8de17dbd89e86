"""Ranks, correlations and cosines: the numerics that several stages share.

Every function works on the last axis (or the last two where a matrix is named), treats leading axes
as a batch, is traceable, and does no input/output.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import rankdata
from jaxtyping import Float, Shaped

from depara_jax.errors import UnknownNameError
from depara_jax.host import ranks as host_ranks
from depara_jax.host.platform import platform
from depara_jax.types import Array

__all__ = [
    "Ties",
    "check_ties",
    "cosine",
    "in_host_memory",
    "normalize_rows",
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


def ranks(
    values: Shaped[Array, "*batch e"], *, ties: Ties | str = "average"
) -> Float[Array, "*batch e"]:
    """Ranks from 1 to e by either rule for ties.

    NaN compares with nothing, so a row that holds one has no ranks: it comes back all NaN. Long
    rows in a CPU's memory are sorted by numpy, unless JAX is tracing.

    Args:
      values: [..., e].
      ties: "average": equal values share the mean of the ranks they span; "ordinal": they are
        ranked in order of appearance, which is what the authors' `argsort` of `argsort` does,
        except that theirs is unstable.

    Returns:
      [..., e] ranks, float32 or wider; exact in float32 up to e = 2**23.

    Raises:
      UnknownNameError: another rule.

    Example:
      >>> ranks(jnp.array([0.3, 0.1, 0.3, 0.7])).tolist()
      [2.5, 1.0, 2.5, 4.0]
    """
    check_ties(ties)
    array = _floating(values)
    if sorts_on_host(array):
        rows = np.asarray(array).reshape(-1, array.shape[-1])
        ranked = np.stack([host_ranks.ranks(row, ties=ties) for row in rows])
        return jnp.asarray(ranked.reshape(array.shape))
    return rankdata(array, ties, axis=-1).astype(array.dtype)


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


def _floating(values: Array) -> jax.Array:
    """Float32 or wider: tied ranks end in halves, and bfloat16 counts to 256 only."""
    array = jnp.asarray(values)
    wide = array.dtype in (jnp.float32, jnp.float64)
    return array if wide else array.astype(jnp.float32)


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
