"""How certain a choice is: the candidates' scores over resampled probe images."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation.confidence import (
    check_edges,
    draw_counts,
    percentile_interval,
    resampled_edges,
)
from depara_jax.recipe import Recipe

__all__ = ["Certainty", "choice_certainty", "resampled_terms"]


@dataclasses.dataclass(frozen=True, eq=False)
class Certainty:
    """What resampling the probe images says about candidates' scores.

    Attributes:
      kind: "model" or "layer".
      names: m candidates, in the ranking's order of arrays.
      best: the ranking's first.
      low: [m] lower end of each score's percentile interval.
      high: [m] upper end.
      share: [m] in how many of the resamples the candidate is the best one; they add up to 1.
      level: coverage of the intervals.
      resamples: how many were drawn.
    """

    kind: str
    names: tuple[str, ...]
    best: str
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    share: Float[np.ndarray, " m"]
    level: float
    resamples: int

    def rivals(self, *, above: float = 0.05) -> tuple[str, ...]:
        """The candidates other than the best that win more than `above` of the resamples."""
        found = (self.names[i] for i in np.flatnonzero(self.share > above))
        return tuple(name for name in found if name != self.best)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files."""
        columns = zip(self.names, self.low, self.high, self.share, strict=True)
        return {
            "level": self.level,
            "resamples": self.resamples,
            f"{self.kind}s": {
                name: {"low": float(low), "high": float(high), "best_in": float(share)}
                for name, low, high, share in columns
            },
            "rivals": list(self.rivals()),
        }

    def __repr__(self) -> str:
        share = self.share[self.names.index(self.best)]
        return (
            f"Certainty({self.kind} {self.best!r} best in {share:.0%} of {self.resamples} "
            f"resamples, {len(self.rivals())} rivals)"
        )


@runtime_checkable
class RankingLike(Protocol):
    """What is needed of a ranking; `depara_jax.Ranking` is one."""

    @property
    def kind(self) -> str:
        """What is ranked."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The candidates, m of them."""
        ...

    @property
    def best(self) -> str:
        """The first of them."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Whose weights the terms have."""
        ...

    @property
    def node_cosines(self) -> Float[np.ndarray, "m n"] | None:
        """Cosine of each candidate's map with the target's for each image."""
        ...

    @property
    def edges(self) -> Float[np.ndarray, "m e"] | None:
        """Of the candidates."""
        ...

    @property
    def target_edges(self) -> Float[np.ndarray, " e"] | None:
        """Of the target."""
        ...


def choice_certainty(
    ranking: RankingLike, *, resamples: int = 200, level: float = 0.95, seed: int = 0
) -> Certainty:
    """How a ranking's scores and its choice vary with the draw of the probe images.

    Args:
      ranking: with what its terms are made of, which `rank_layers` keeps.
      resamples: how many times n images are drawn.
      level: coverage, between 0 and 1.
      seed: of the draw.

    Raises:
      DeparaError: a term that counts was not kept, or values that are not finite.
      DegenerateError: constant edges, in the probe set or in a resample.
    """
    recipe = ranking.recipe
    cosines = ranking.node_cosines if recipe.uses_nodes else None
    edges = ranking.edges if recipe.uses_edges else None
    kept = (cosines is not None, edges is not None)
    if kept != (recipe.uses_nodes, recipe.uses_edges):
        raise DeparaError(
            f"certainty of a choice: this ranking of {ranking.kind}s did not keep a term that its "
            "recipe weighs; rank_layers keeps both"
        )
    node, edge = resampled_terms(
        cosines, edges, ranking.target_edges, resamples=resamples, seed=seed
    )
    terms = [w * t for w, t in ((recipe.node_weight, node), (recipe.lam, edge)) if t is not None]
    scores = np.sum(terms, axis=0)
    interval = percentile_interval(scores, level)
    best = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]) / len(scores)
    return Certainty(
        ranking.kind, ranking.names, ranking.best,
        interval.low, interval.high, best, level, resamples,
    )  # fmt: skip


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
    check_edges(stacked, len(stacked), count)
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
