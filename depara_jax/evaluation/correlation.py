"""Correlations of two scores over the same things, in float64.

These judge a handful of numbers once, so they run in numpy and scipy: casting to float32 for JAX
could tie scores that differ. `depara_jax.stats` has the traceable ones.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.stats

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError

__all__ = ["CORRELATIONS", "correlation", "kendall", "pearson", "spearman", "weighted_tau"]


def spearman(a: Any, b: Any) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, ties sharing their mean rank.

    Args:
      a: [e] scores.
      b: [e] scores of the same things.

    Raises:
      DeparaError: different lengths, or a value that is not finite.
      DegenerateError: fewer than two things, or all of one side equal.
    """
    a, b = check_pair(a, b)
    return linear(scipy.stats.rankdata(a), scipy.stats.rankdata(b))


def pearson(a: Any, b: Any) -> float:
    """Pearson's correlation; arguments and errors as for `spearman`."""
    return linear(*check_pair(a, b))


def kendall(a: Any, b: Any) -> float:
    """Kendall's tau-b, which corrects for ties; arguments and errors as for `spearman`."""
    return float(scipy.stats.kendalltau(*check_pair(a, b), variant="b")[0])  # pyright: ignore


def weighted_tau(a: Any, b: Any) -> float:
    """Vigna's weighted tau, hyperbolic weights: the usual yardstick of transferability.

    A swap among the best weighs more than one among the worst; the mean of the weights by the order
    of `a` and by that of `b`, as `scipy.stats.weightedtau` does by default. Arguments and errors as
    for `spearman`.

    References:
      Vigna, "A weighted correlation index for rankings with ties", WWW 2015.
    """
    return float(scipy.stats.weightedtau(*check_pair(a, b))[0])  # pyright: ignore


CORRELATIONS: Mapping[str, Callable[[Any, Any], float]] = {
    "spearman": spearman,
    "kendall": kendall,
    "weighted_tau": weighted_tau,
    "pearson": pearson,
}


def correlation(name: str) -> Callable[[Any, Any], float]:
    """The correlation of that name.

    Raises:
      UnknownNameError: not one of `CORRELATIONS`.
    """
    if name not in CORRELATIONS:
        raise UnknownNameError("correlation", name, CORRELATIONS)
    return CORRELATIONS[name]


def linear(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two checked vectors."""
    # Scaling by the largest deviation first keeps squares of tiny affinities (1e-5) from underflow.
    a, b = (x - x.mean() for x in (a, b))
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def check_pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as float64, finite, of one length and not constant."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise DeparaError(
            f"correlation: expected two vectors of one length, got shapes {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DeparaError("correlation: a score is NaN or infinite; leave out what has no score")
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        raise DegenerateError(
            f"correlation: undefined for {len(a)} values of which one side is constant"
            if len(a) >= 2
            else f"correlation: needs at least 2 values, got {len(a)}"
        )
    return a, b
