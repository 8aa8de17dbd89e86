"""From accuracies and scores to what the study says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.judge import draws, interval, rank_correlation
from experiments.common.judge import regret as first_pick_regret
from experiments.layer_study.config import LABELLED, PAIRED, RECIPES

LAMBDAS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0)
# What the paper took for the larger and the smaller data size.
PAPER_LAMBDA = {"large": 1.0, "small": 10.0}
METHODS = (
    "depara", "depara, paper's lambda", "V", "E", "default", "default E",
    *PAIRED, *LABELLED, "deepest", "middle",
)  # fmt: skip


def method_scores(setting: Mapping[str, Any], size: str, network: str) -> dict[str, np.ndarray]:
    """Every method's score of every cut.

    Args:
      setting: one source and target of results.json.
      size: data size.
      network: which target network: "full", or the size itself.
    """
    count = len(setting["cuts"])
    paper, default = (setting["graphs"][network][name] for name in RECIPES)
    node, edge = np.asarray(paper["node"]), np.asarray(paper["edge"])
    position = np.arange(count, dtype=float)
    scores = {
        "depara": node + edge,
        "depara, paper's lambda": node + PAPER_LAMBDA[size] * edge,
        "V": node,
        "E": edge,
        "default": np.asarray(default["node"]) + np.asarray(default["edge"]),
        "default E": np.asarray(default["edge"]),
        **{name: np.asarray(setting["estimators"][name][network]) for name in PAIRED},
        **{name: np.asarray(setting["estimators"][name][size]) for name in LABELLED},
        "deepest": position,
        "middle": -np.abs(position - (count - 1) / 2 - 0.25),  # of two middles the deeper one
    }
    return {name: scores[name].astype(float) for name in METHODS}


def mean_accuracy(setting: Mapping[str, Any], size: str) -> np.ndarray:
    """[cuts], over seeds."""
    return np.asarray(setting["accuracy"][size]).mean(axis=1)


def regret(scores: np.ndarray, accuracy: np.ndarray) -> float:
    """Points of accuracy lost by taking the cut of the highest score instead of the best."""
    return 100 * first_pick_regret(scores, accuracy)


def certain(setting: Mapping[str, Any], drawn: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Intervals of the rank correlation, over the draw of probe images and of seeds together.

    Args:
      setting: one source and target of results.json.
      drawn: both terms for resampled probe images, as `evidence.layer_evidence` gives them.

    Returns:
      {size: {network: {"depara" or "default": {"low", "high", "share": [cuts]}}}}; `share` is in
      how many resamples of the probe images each cut is chosen.
    """
    out: dict[str, Any] = {}
    for size, accuracies in setting["accuracy"].items():
        runs = np.asarray(accuracies)
        out[size] = {}
        for network in ("full", size):
            out[size][network] = {}
            for label, recipe in zip(("depara", "default"), RECIPES, strict=True):
                node, edge = (drawn[f"{network}/{recipe}/{term}"] for term in ("node", "edge"))
                scores = node.astype(np.float64) + edge.astype(np.float64)
                out[size][network][label] = _interval(scores, runs)
    return out


def _interval(scores: np.ndarray, runs: np.ndarray) -> dict[str, Any]:
    picks = draws(runs.shape[1], len(scores))
    found = [
        spearman(one, runs[:, pick].mean(axis=1)) for one, pick in zip(scores, picks, strict=True)
    ]
    low, high = interval(np.asarray(found))
    share = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]) / len(scores)
    return {"low": round(low, 3), "high": round(high, 3), "share": [round(s, 3) for s in share]}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation, 0 where one side is constant."""
    return rank_correlation(a, b, undefined=0.0)


def table_rows(
    settings: Sequence[Mapping[str, Any]], size: str, *, same: bool = False
) -> list[dict[str, Any]]:
    """One row a method: mean rank correlation and regret over the settings, with intervals.

    Args:
      settings: of results.json.
      size: data size.
      same: take the target network that was trained on the size's own images, not on all.
    """
    rows = []
    picks = draws(len(settings), 2000)
    for method in METHODS:
        network = size if same else "full"
        scores = [method_scores(s, size, network)[method] for s in settings]
        rhos, losses = _judged(scores, settings, size)
        low, high = interval(rhos[picks].mean(axis=1))
        least, most = interval(losses[picks].mean(axis=1))
        rows.append(
            {
                "method": method,
                "spearman": float(rhos.mean()), "low": low, "high": high,
                "regret": float(losses.mean()), "regret_low": least, "regret_high": most,
                "hits": int((losses == 0).sum()),
            }
        )  # fmt: skip
    return rows


def random_regret(settings: Sequence[Mapping[str, Any]], size: str) -> float:
    """Mean regret of a cut taken at random."""
    accuracies = [mean_accuracy(setting, size) for setting in settings]
    return float(np.mean([100 * (a.max() - a.mean()) for a in accuracies]))


def lambda_curve(
    settings: Sequence[Mapping[str, Any]], size: str, recipe: str
) -> tuple[list[float], list[float]]:
    """Mean rank correlation and mean regret for each of `LAMBDAS`."""
    rhos, losses = [], []
    for lam in LAMBDAS:
        terms = [setting["graphs"]["full"][recipe] for setting in settings]
        scores = [np.asarray(t["node"]) + lam * np.asarray(t["edge"]) for t in terms]
        for means, each in zip((rhos, losses), _judged(scores, settings, size), strict=True):
            means.append(float(each.mean()))
    return rhos, losses


def _judged(
    scores: Sequence[np.ndarray], settings: Sequence[Mapping[str, Any]], size: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rank correlation and regret of each setting."""
    pairs = [(s, mean_accuracy(t, size)) for s, t in zip(scores, settings, strict=True)]
    return np.asarray([spearman(*p) for p in pairs]), np.asarray([regret(*p) for p in pairs])
