"""Every number about a method: metrics a target, averaged over pools, with intervals."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from depara_jax import evaluation
from experiments.common.tables import with_interval
from experiments.league.methods import Method
from experiments.league.study import Pool, Study

METRICS = ("P@1", "P@3", "P@5", "spearman", "kendall", "regret@1")
RELEVANT = 5  # of the sources of a target, as in the papers
# A pool's matrix, or several of which the metrics are averaged (random tie-breaks).
Similarity = Callable[[Pool], np.ndarray]


class Score(NamedTuple):
    """One number with its interval over targets."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return with_interval(self.mean, (self.low, self.high))


def by_method(study: Study, method: Method) -> Similarity:
    """The similarity that a method gives a pool."""
    return lambda pool: study.similarity(method, pool)


def judge(
    study: Study,
    similarity: Similarity,
    *,
    pools: Sequence[Pool] | None = None,
    targets: Sequence[str] | None = None,
    ahp: bool = False,
    metrics: Sequence[str] = METRICS,
) -> dict[str, np.ndarray]:
    """Metrics a target [t], averaged over pools.

    A correlation that is undefined since all scores are equal counts as 0.

    Args:
      study: the results.
      similarity: [c, c] or [draws, c, c] for a pool.
      pools: by default all with sources of the target's own architecture.
      targets: by default the admitted ones.
      ahp: judge by Taskonomy's affinities in place of relative losses.
      metrics: which of `METRICS`.
    """
    pools = study.pools() if pools is None else pools
    targets = study.targets if targets is None else targets
    found: dict[str, list[np.ndarray]] = {metric: [] for metric in metrics}
    for pool in pools:
        truth = study.truth(pool, targets, ahp=ahp)
        stack = similarity(pool)
        for matrix in stack if stack.ndim == 3 else [stack]:
            filled = np.where(np.isnan(matrix), 0.0, matrix)
            for metric in metrics:
                found[metric].append(_metric(metric, filled, truth))
    return {metric: np.mean(values, axis=0) for metric, values in found.items()}


def _metric(metric: str, matrix: np.ndarray, truth: evaluation.GroundTruth) -> np.ndarray:
    candidates = int(truth.pairs.sum(1).min())
    if metric.startswith("P@"):
        cut = min(int(metric[2:]), candidates)
        relevant = min(RELEVANT, max(1, candidates // 3))
        return evaluation.precision_at_k(matrix, truth, relevant=relevant, ks=[cut])[:, 0]
    if metric == "regret@1":
        return evaluation.regret_at_k(matrix, truth, ks=[1])[:, 0]
    return np.nan_to_num(evaluation.rank_correlations(matrix, truth, method=metric))


def correlations(study: Study, similarity: Similarity, **which: Any) -> np.ndarray:
    """Spearman's correlation with the truth of each target [t]; `which` as in `judge`."""
    return judge(study, similarity, metrics=("spearman",), **which)["spearman"]


def score(per_target: np.ndarray) -> Score:
    """Mean and 95% interval over the draw of targets."""
    interval = evaluation.bootstrap_over_targets(per_target)
    return Score(float(per_target.mean()), float(interval.low), float(interval.high))
