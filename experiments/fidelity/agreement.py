"""How far two ways of scoring the same candidates agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import spearmanr


def agreement(
    first: Float[np.ndarray, "q m"],
    second: Float[np.ndarray, "q m"],
    candidates: Bool[np.ndarray, "q m"] | None = None,
) -> dict[str, Any]:
    """Compares rankings query by query.

    Args:
      first: scores of m candidates for q queries.
      second: scores of the same by another method.
      candidates: which count; all by default.

    Returns:
      Spearman's correlation of the two rankings (mean and minimum over queries), for how many
      queries the best candidate is another, and the number of queries.
    """
    keep = np.ones(first.shape, bool) if candidates is None else candidates
    pairs = [(a[k], b[k]) for a, b, k in zip(first, second, keep, strict=True)]
    correlations = [float(np.asarray(spearmanr(a, b))[0]) for a, b in pairs]
    return {
        "spearman_mean": round(float(np.mean(correlations)), 3),
        "spearman_min": round(float(np.min(correlations)), 3),
        "best_changed": sum(int(a.argmax() != b.argmax()) for a, b in pairs),
        "queries": len(pairs),
    }


def changed(
    base: Mapping[str, Float[np.ndarray, "q m"]],
    other: Mapping[str, Float[np.ndarray, "q m"]],
    candidates: Bool[np.ndarray, "q m"] | None = None,
) -> dict[str, Any]:
    """The agreement of each part, such as "score" and "node", that both have and that differs."""
    return {
        part: agreement(base[part], other[part], candidates)
        for part in ("score", "node", "edge")
        if part in base and part in other and not np.array_equal(base[part], other[part])
    }


def off_diagonal(count: int) -> Bool[np.ndarray, "m m"]:
    """The candidates of each of m models: all but itself."""
    return ~np.eye(count, dtype=bool)
