"""How well scores rank networks by measured accuracy, with intervals over the networks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

__all__ = ["Scores", "expected_regret", "judge", "summarise"]

RESAMPLES = 1000
Scores = Mapping[str, float | None]  # {network: score}; None where it is not defined


class Panel(NamedTuple):
    """Scores and accuracies of the networks of one target, NaN where a score is not defined."""

    names: Sequence[str]
    scores: np.ndarray
    truth: np.ndarray


def judge(scores: Scores, truth: Mapping[str, float], *, seed: int = 0) -> dict[str, Any]:
    """Rank correlation with the truth, its 95% interval over networks, and the first pick's regret.

    The interval resamples networks: it says how far another draw of networks of this kind might
    move the figure. Networks of one family are no independent draws, so it is too narrow if
    anything.

    Args:
      scores: {network: score}; those without a score are left out.
      truth: {network: accuracy}, which says which networks count.
      seed: of the resampling.

    Returns:
      "networks", "picks" (the networks with the highest score), and where there is an order to
      speak of (three networks, no constant side) "spearman", "interval" and "regret".
    """
    names = [name for name in truth if scores.get(name) is not None]
    score = np.asarray([scores[name] for name in names], np.float64)
    accuracy = np.asarray([truth[name] for name in names])
    found: dict[str, Any] = {"networks": len(names), "picks": _first(names, score)}
    if len(names) < 3 or np.ptp(score) == 0 or np.ptp(accuracy) == 0:
        return found
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(names), (RESAMPLES, len(names)))
    low, high = np.nanpercentile([_rho(score[d], accuracy[d]) for d in draws], [2.5, 97.5])
    return found | {
        "spearman": _rho(score, accuracy),
        "interval": [float(low), float(high)],
        "regret": expected_regret(score, accuracy, np.asarray(list(truth.values()))),
    }


def expected_regret(score: np.ndarray, accuracy: np.ndarray, every: np.ndarray) -> float:
    """Best accuracy of all networks less that of the first pick, the mean where several tie."""
    return float(every.max() - accuracy[score == score.max()].mean())


def summarise(
    scores: Mapping[str, Mapping[str, Scores]],
    truth: Mapping[str, Mapping[str, float]],
    reference: str,
    *,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Means over targets, with intervals from one resampling of the networks for all of them.

    Args:
      scores: {target: {estimator: {network: score}}}, the estimators the same for all targets.
      truth: {target: {network: accuracy}}.
      reference: the estimator whose mean is taken from every other's, in the same resamples.
      seed: of the resampling.

    Returns:
      {estimator: {"spearman", "interval", "difference", "difference_interval", "regret"}}; an
      estimator without a score for every network of every target is left out.
    """
    pool = sorted({name for accuracies in truth.values() for name in accuracies})
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(pool)), *rng.integers(0, len(pool), (RESAMPLES, len(pool)))]
    means, regrets = {}, {}
    for estimator in next(iter(scores.values())):
        panels = [_panel(scores[t][estimator], truth[t], pool) for t in truth]
        if any(np.isnan(p.scores[~np.isnan(p.truth)]).any() for p in panels):
            continue
        each = [[_drawn_rho(panel, draw) for draw in draws] for panel in panels]
        means[estimator] = np.mean(each, axis=0)
        present = [(p, ~np.isnan(p.truth)) for p in panels]
        regrets[estimator] = float(
            np.mean([expected_regret(p.scores[k], p.truth[k], p.truth[k]) for p, k in present])
        )
    return {
        name: {
            "spearman": float(rows[0]),
            "interval": _interval(rows[1:]),
            "difference": float((rows - means[reference])[0]),
            "difference_interval": _interval((rows - means[reference])[1:]),
            "regret": regrets[name],
        }
        for name, rows in means.items()
    }


def _panel(scores: Scores, truth: Mapping[str, float], pool: Sequence[str]) -> Panel:
    given = [scores.get(name) for name in pool]
    return Panel(
        pool,
        np.asarray([np.nan if value is None else value for value in given], np.float64),
        np.asarray([truth.get(name, np.nan) for name in pool]),
    )


def _drawn_rho(panel: Panel, draw: np.ndarray) -> float:
    chosen = draw[~np.isnan(panel.truth[draw])]
    return _rho(panel.scores[chosen], panel.truth[chosen])


def _rho(one: np.ndarray, two: np.ndarray) -> float:
    """Spearman's correlation; NaN where a draw has no order to speak of."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def _interval(draws: np.ndarray) -> list[float]:
    return [float(v) for v in np.nanpercentile(draws, [2.5, 97.5])]


def _first(names: Sequence[str], score: np.ndarray) -> list[str]:
    return [n for n, s in zip(names, score, strict=True) if s == score.max()] if names else []
