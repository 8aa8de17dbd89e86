"""The rows that every comparison's table has: rank, who, score, node, edge."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

__all__ = ["competition_ranks", "ranked_rows"]


def competition_ranks(
    values: Shaped[np.ndarray, " m"], *, higher_is_better: bool = True
) -> tuple[int | None, ...]:
    """Rank of each value, 1 the best; equal values share the better rank, NaN has none.

    Example:
      >>> competition_ranks(np.array([0.5, 0.9, 0.5, np.nan, 0.1]))
      (2, 1, 2, None, 4)
    """
    from scipy.stats import rankdata

    ranks = rankdata(-values if higher_is_better else values, "min", nan_policy="omit")
    return tuple(None if np.isnan(rank) else int(rank) for rank in ranks)


def ranked_rows(
    score: Float[np.ndarray, " m"],
    node: Float[np.ndarray, " m"] | None,
    edge: Float[np.ndarray, " m"] | None,
    labels: Mapping[str, Sequence[Any]],
    *,
    ranks: Sequence[int | None] | None = None,
) -> list[dict[str, Any]]:
    """The rows of every comparison's table, best first; equal scores stay in the order given.

    Args:
      score: of m candidates.
      node: None if it is not known.
      edge: the same.
      labels: what else a row says of its candidate, each m long.
      ranks: by default those of the scores, higher being better; a candidate whose rank is None
        has no row.

    Returns:
      dictionaries of rank, the labels, score, node and edge.
    """
    ranks = competition_ranks(score) if ranks is None else ranks
    placed = sorted((rank, i) for i, rank in enumerate(ranks) if rank is not None)
    terms = {"score": score, "node": node, "edge": edge}
    return [
        {
            "rank": rank,
            **{name: values[i] for name, values in labels.items()},
            **{name: None if v is None else float(v[i]) for name, v in terms.items()},
        }
        for rank, i in placed
    ]
