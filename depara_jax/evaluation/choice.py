"""How certain a choice is: the candidates' scores over resampled probe images."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation.confidence import (
    check_parts,
    draw_counts,
    percentile_interval,
    resampled_edges,
)

__all__ = ["Certainty", "choice_certainty", "resampled_terms"]


@dataclasses.dataclass(frozen=True, eq=False)
class Certainty:
    """What resampling the probe images says about candidates' scores.

    Attributes:
      low: [m] lower end of each score's percentile interval.
      high: [m] upper end.
      share: [m] in how many of the resamples the candidate is the best one; they add up to 1.
      level: coverage of the intervals.
      resamples: how many were drawn.
    """

    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    share: Float[np.ndarray, " m"]
    level: float
    resamples: int

    def rivals(self, *, above: float = 0.05) -> tuple[int, ...]:
        """Positions of the candidates that are best in more than `above` of the resamples."""
        return tuple(int(i) for i in np.flatnonzero(self.share > above))


def choice_certainty(
    node_cosines: Any,
    edges: Any,
    target_edges: Any,
    *,
    node_weight: float = 1.0,
    lam: float = 1.0,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Certainty:
    """Scores node_weight * mean cosine + lam * Spearman(edges), over the draw of probe images.

    Args:
      node_cosines: [m, n] cosine of each candidate's map with the target's for each image; None
        where `node_weight` is 0.
      edges: [m, n(n-1)/2] of the candidates; None where `lam` is 0.
      target_edges: [n(n-1)/2]; the same.
      node_weight: weight of the node term.
      lam: weight of the edge term.
      resamples: how many times n images are drawn.
      level: coverage, between 0 and 1.
      seed: of the draw.

    Raises:
      DeparaError: a term that counts is missing, wrong shapes, values that are not finite.
      DegenerateError: constant edges, in the probe set or in a resample.
    """
    node, edge = resampled_terms(
        node_cosines if node_weight else None, edges if lam else None, target_edges,
        resamples=resamples, seed=seed,
    )  # fmt: skip
    terms = [w * t for w, t in ((node_weight, node), (lam, edge)) if w and t is not None]
    if len(terms) < (node_weight > 0) + (lam > 0):
        raise DeparaError("certainty of a choice: a term with a weight above 0 was not computed")
    scores = np.sum(terms, axis=0)
    interval = percentile_interval(scores, level)
    best = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]) / len(scores)
    return Certainty(interval.low, interval.high, best, level, resamples)


def resampled_terms(
    node_cosines: Any, edges: Any, target_edges: Any, *, resamples: int, seed: int = 0
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Both terms of all candidates for resampled probe sets.

    Pairs of an image with its own copy are left out of the edges, see `evaluation.confidence`.

    Args:
      node_cosines: [m, n] or None.
      edges: [m, n(n-1)/2] or None.
      target_edges: [n(n-1)/2], not looked at where `edges` is None.
      resamples: how many times n images are drawn.
      seed: of the draw.

    Returns:
      node [b, m] and edge [b, m]; None for a term that was not given.

    Raises:
      DeparaError: neither term, wrong shapes, or values that are not finite.
      DegenerateError: constant edges, in the probe set or in a resample.
    """
    nodes = None if node_cosines is None else np.asarray(node_cosines, np.float64)
    if nodes is not None and (nodes.ndim != 2 or not np.isfinite(nodes).all()):
        raise DeparaError(
            f"certainty of a choice: expected finite cosines [candidates, images], got shape "
            f"{nodes.shape}"
        )
    if nodes is None and edges is None:
        raise DeparaError("certainty of a choice: neither node cosines nor edges were given")
    stacked = None
    if edges is not None:
        stacked = np.concatenate([np.asarray(target_edges)[None], np.asarray(edges)])
    count = nodes.shape[1] if nodes is not None else _images(stacked)
    weights = draw_counts(count, resamples, seed)
    node = None if nodes is None else weights @ nodes.T / count
    if stacked is None:
        return node, None
    _, stacked = check_parts(np.zeros((count, len(stacked), len(stacked))), stacked, 1.0)
    drawn = resampled_edges(stacked, jnp.asarray(weights, jnp.int32))
    edge = np.asarray(drawn, np.float64)[:, 0, 1:]
    if not np.isfinite(edge).all():
        raise DegenerateError(
            "certainty of a choice: the edges of a resample are constant; use more probe images"
        )
    return node, edge


def _images(edges: np.ndarray | None) -> int:
    """The n of n(n-1)/2 edges."""
    assert edges is not None
    return int((1 + np.sqrt(1 + 8 * edges.shape[1])) / 2)
