"""How well scores rank networks by measured accuracy, with intervals over the networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.common.judge import draws, interval, rank_correlation, regret

RESAMPLES = 1000
LEAST = 3  # networks that have an order to speak of
Scores = Mapping[str, float | None]  # {network: score}; None where it is not defined


def judge(scores: Scores, truth: Mapping[str, float]) -> dict[str, Any]:
    """Rank correlation with the truth, its 95% interval over networks, and the first pick's regret.

    The interval resamples networks: it says how far another draw of networks of this kind might
    move the figure. Networks of one family are no independent draws, so it is too narrow if
    anything.

    Networks without a score are left out; the truth {network: accuracy} says which ones count.

    Returns:
      "networks", "picks" (the networks with the highest score), and where there is an order to
      speak of (three networks, no constant side) "spearman", "interval" and "regret".
    """
    names = [name for name in truth if scores.get(name) is not None]
    score = np.asarray([scores[name] for name in names], np.float64)
    accuracy = np.asarray([truth[name] for name in names])
    picks = [n for n, s in zip(names, score, strict=True) if s == score.max()]
    found: dict[str, Any] = {"networks": len(names), "picks": picks}
    rho = rank_correlation(score, accuracy, least=LEAST)
    if np.isnan(rho):
        return found
    resampled = [
        rank_correlation(score[drawn], accuracy[drawn], least=LEAST)
        for drawn in draws(len(names), RESAMPLES)
    ]
    return found | {
        "spearman": rho,
        "interval": list(interval(np.asarray(resampled))),
        "regret": regret(score, accuracy, best=max(truth.values())),
    }


def summarise(
    scores: Mapping[str, Mapping[str, Scores]],
    truth: Mapping[str, Mapping[str, float]],
    reference: str,
) -> dict[str, dict[str, Any]]:
    """Means over targets, with intervals from one resampling of the networks for all of them.

    Args:
      scores: {target: {estimator: {network: score}}}, the estimators the same for all targets.
      truth: {target: {network: accuracy}}.
      reference: the estimator whose mean is taken from every other's, in the same resamples.

    Returns:
      {estimator: {"spearman", "interval", "difference", "difference_interval", "regret"}}; an
      estimator without a score for every network of every target is left out.
    """
    pool = sorted({name for accuracies in truth.values() for name in accuracies})
    picks = [np.arange(len(pool)), *draws(len(pool), RESAMPLES)]
    # NaN where there is none.
    accuracy = {t: np.asarray([found.get(n, np.nan) for n in pool]) for t, found in truth.items()}
    means, regrets = {}, {}
    for estimator in next(iter(scores.values())):
        panels = [
            (np.asarray([scores[t][estimator].get(n) for n in pool], np.float64), found)
            for t, found in accuracy.items()
        ]
        known = [(score[~np.isnan(true)], true[~np.isnan(true)]) for score, true in panels]
        if any(np.isnan(score).any() for score, _ in known):
            continue
        means[estimator] = np.mean([[_rho(*panel, pick) for pick in picks] for panel in panels], 0)
        regrets[estimator] = float(np.mean([regret(*pair) for pair in known]))
    return {
        name: {
            "spearman": float(rows[0]),
            "interval": list(interval(rows[1:])),
            "difference": float((rows - means[reference])[0]),
            "difference_interval": list(interval((rows - means[reference])[1:])),
            "regret": regrets[name],
        }
        for name, rows in means.items()
    }


def _rho(scores: np.ndarray, truth: np.ndarray, pick: np.ndarray) -> float:
    """Of the networks drawn that the target counts."""
    pick = pick[~np.isnan(truth[pick])]
    return rank_correlation(scores[pick], truth[pick], least=LEAST)
