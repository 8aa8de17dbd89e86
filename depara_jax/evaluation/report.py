"""One call from a similarity matrix and a ground truth to every number about it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation import metrics
from depara_jax.evaluation.confidence import Interval, bootstrap_over_targets
from depara_jax.evaluation.curves import Curves, oracle_curves, random_curves, summarize
from depara_jax.evaluation.ground_truth import GroundTruth

__all__ = ["EvaluationResult", "evaluate"]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationResult:
    """How well a similarity matrix ranks sources.

    Attributes:
      targets: t names, the queries.
      candidates: m names of the matrix's rows.
      relevant: size of the relevant set.
      ks: the cut-offs, int [K].
      curves: hits (summed over targets), precision and recall (means over targets), each [K].
      random: the same of a random ranking, in expectation.
      oracle: the same of the true order.
      correlations: name -> float [t], NaN where one side is constant; "pearson" is there
        only if the truth has affinities.
      regret: relative regret at each K, mean over targets [K]; None without (positive) affinities.
      dds: "with_diagonal" and "without_diagonal" -> DDS's mean Spearman against the affinities
        (ECCV 2020); None where the truth has no affinities, or none of a target to itself.
      intervals: "precision" and "recall" -> bootstrap interval over targets, each side [K]; empty
        if there is a single target.
    """

    targets: tuple[str, ...]
    candidates: tuple[str, ...]
    relevant: int
    ks: np.ndarray
    curves: Curves
    random: Curves
    oracle: Curves
    correlations: Mapping[str, np.ndarray]
    regret: np.ndarray | None
    dds: Mapping[str, float | None]
    intervals: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined becomes null, and means leave it out."""
        return {
            "targets": list(self.targets),
            "candidates": list(self.candidates),
            "relevant": self.relevant,
            "ks": self.ks.tolist(),
            "hits": [int(h) for h in self.curves.hits],
            "precision": self.curves.precision.tolist(),
            "recall": self.curves.recall.tolist(),
            "random": {name: v.tolist() for name, v in self.random._asdict().items()},
            "oracle": {name: v.tolist() for name, v in self.oracle._asdict().items()},
            **{name: per_target(self.targets, v) for name, v in self.correlations.items()},
            "regret": None if self.regret is None else self.regret.tolist(),
            "dds": dict(self.dds),
            "ci": {name: interval_json(v) for name, v in self.intervals.items()},
        }


def evaluate(
    similarity: Any,
    truth: GroundTruth,
    *,
    names: Sequence[str] | None = None,
    relevant: int = 5,
    ks: Sequence[int] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> EvaluationResult:
    """Scores a similarity matrix in every way that the papers and their followers do.

    Args:
      similarity: [m, m], higher is more similar; rows are targets.
      truth: which sources transfer best to each target.
      names: names of the matrix's rows; the truth is put in their order. By default the rows are
        taken to be in the order of `truth.candidates`.
      relevant: size of the relevant set.
      ks: cut-offs; by default every K that all targets have candidates for.
      resamples: bootstrap resamples of the targets.
      level: coverage of the intervals.
      seed: of the resamples.

    Raises:
      DeparaError: a matrix that is not square, not finite or does not match the truth; K or
        `relevant` larger than the number of candidates.
    """
    truth = truth if names is None else truth.aligned(names)
    matrix = metrics.check_similarity(similarity, truth)
    hits = metrics.hits_at_k(matrix, truth, relevant=relevant, ks=ks)
    cuts = metrics.check_ks(ks, truth)
    intervals = {}
    if len(truth.targets) > 1:
        for name, values in (("precision", hits / cuts), ("recall", hits / relevant)):
            intervals[name] = bootstrap_over_targets(
                values, resamples=resamples, level=level, seed=seed
            )
    return EvaluationResult(
        targets=truth.targets,
        candidates=truth.candidates,
        relevant=relevant,
        ks=cuts,
        curves=summarize(hits, cuts, relevant),
        random=random_curves(truth, relevant=relevant, ks=cuts),
        oracle=oracle_curves(truth, relevant=relevant, ks=cuts),
        correlations=all_correlations(matrix, truth),
        regret=mean_regret(matrix, truth, cuts),
        dds=dds_scores(matrix, truth),
        intervals=intervals,
    )


def all_correlations(matrix: np.ndarray, truth: GroundTruth) -> dict[str, np.ndarray]:
    """Per-target correlations; Pearson's only where the truth has values rather than ranks."""
    methods = ["spearman", "kendall", "weighted_tau"]
    methods += [] if truth.affinity is None else ["pearson"]
    return {name: metrics.rank_correlations(matrix, truth, method=name) for name in methods}


def dds_scores(matrix: np.ndarray, truth: GroundTruth) -> dict[str, float | None]:
    """DDS's score both ways, None where it is undefined."""
    scores: dict[str, float | None] = {}
    for name, diagonal in (("with_diagonal", True), ("without_diagonal", False)):
        try:
            scores[name] = metrics.dds_score(matrix, truth, include_diagonal=diagonal)
        except DegenerateError:
            scores[name] = None
    return scores


def mean_regret(matrix: np.ndarray, truth: GroundTruth, cuts: np.ndarray) -> np.ndarray | None:
    """Mean relative regret, or None where it is undefined."""
    try:
        return metrics.regret_at_k(matrix, truth, ks=cuts, relative=True).mean(0)
    except DegenerateError:
        return None


def per_target(targets: Sequence[str], values: np.ndarray) -> dict[str, Any]:
    """Mean of the defined values, and each target's value or None."""
    known = values[~np.isnan(values)]
    if len(targets) != len(values):
        raise DeparaError(f"{len(values)} values for {len(targets)} targets")
    return {
        "mean": float(known.mean()) if len(known) else None,
        "undefined": int(np.isnan(values).sum()),
        "per_target": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(targets, values, strict=True)
        },
    }


def interval_json(interval: Interval) -> dict[str, Any]:
    """Plain values of an interval."""
    return {
        "low": interval.low.tolist(),
        "high": interval.high.tolist(),
        "level": interval.level,
        "resamples": interval.resamples,
        "over": "targets",
    }
