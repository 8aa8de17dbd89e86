"""How well scores rank candidates whose worth is known: correlation, regret, intervals.

The correlation and the percentiles are `depara_jax.evaluation`'s; what is here says what a study
makes of candidates that tie and of sides without an order.
"""

import numpy as np

from depara_jax.errors import DegenerateError
from depara_jax.evaluation.confidence import percentile_interval
from depara_jax.evaluation.correlation import spearman


def rank_correlation(
    scores: np.ndarray, truth: np.ndarray, *, least: int = 2, undefined: float = np.nan
) -> float:
    """Spearman's correlation [e] with [e].

    It counts for `undefined` where there is none: one side is constant, or there are fewer than
    `least` candidates, which have no order to speak of.
    """
    try:
        return spearman(scores, truth) if len(scores) >= least else undefined
    except DegenerateError:
        return undefined


def regret(scores: np.ndarray, truth: np.ndarray, *, best: float | None = None) -> float:
    """What the first pick loses: the best truth less the pick's, the mean where several tie.

    Scores are better if higher; `best` is the best truth of all, where some candidates have no
    score.
    """
    best = float(truth.max()) if best is None else best
    return best - float(truth[scores == scores.max()].mean())


def draws(count: int, resamples: int) -> np.ndarray:
    """Bootstrap resamples of `count` things: positions [resamples, count]."""
    return np.random.default_rng(0).integers(0, count, (resamples, count))


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95% of resampled values [b].

    Those that are undefined (NaN) do not count; where all are, so are the ends.
    """
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return float("nan"), float("nan")
    found = percentile_interval(defined, 0.95)
    return float(found.low), float(found.high)
