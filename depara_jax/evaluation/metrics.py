"""How well a similarity matrix ranks sources: hits, precision, recall, regret and correlations.

Rows of a similarity matrix are targets (queries), columns are sources; the target itself is never a
candidate. The tie rule is everywhere the same: a stable descending sort, so equal similarities keep
the order of the matrix's columns. K and the relevant-set size are free; the papers take 5 relevant
sources and K = 1..19 (TAM section 4.1, DEPARA section 4.1.3).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation import correlation
from depara_jax.evaluation.ground_truth import GroundTruth

__all__ = [
    "dds_score",
    "hits_at_k",
    "precision_at_k",
    "rank_correlations",
    "recall_at_k",
    "regret_at_k",
]

Cutoffs = Sequence[int] | np.ndarray | None


def hits_at_k(
    similarity: Any, truth: GroundTruth, *, relevant: int = 5, ks: Cutoffs = None
) -> np.ndarray:
    """Relevant sources among the K most similar ones.

    Args:
      similarity: [m, m], higher is more similar, in the order of `truth.candidates`.
      truth: the ground truth; its targets are the queries.
      relevant: size of the relevant set, the best sources of each target.
      ks: cut-offs; by default every K that all targets have candidates for.

    Returns:
      int [t, K]; sum over the targets for the counts that the papers' curves show.

    Raises:
      DeparaError: a matrix that is not square, not finite or not of the truth's size; K or
        `relevant` below 1 or above the number of candidates.
    """
    order = ranked_candidates(check_similarity(similarity, truth), truth)
    cuts = check_ks(ks, truth)
    found = np.take_along_axis(truth.relevant(relevant), order, axis=1)
    return np.cumsum(found, axis=1)[:, cuts - 1]


def precision_at_k(
    similarity: Any, truth: GroundTruth, *, relevant: int = 5, ks: Cutoffs = None
) -> np.ndarray:
    """P@K = hits / K, float [t, K]; arguments and errors as for `hits_at_k`."""
    hits = hits_at_k(similarity, truth, relevant=relevant, ks=ks)
    return hits / check_ks(ks, truth)


def recall_at_k(
    similarity: Any, truth: GroundTruth, *, relevant: int = 5, ks: Cutoffs = None
) -> np.ndarray:
    """R@K = hits / relevant, float [t, K]; arguments and errors as for `hits_at_k`."""
    return hits_at_k(similarity, truth, relevant=relevant, ks=ks) / relevant


def regret_at_k(
    similarity: Any, truth: GroundTruth, *, ks: Cutoffs = None, relative: bool = False
) -> np.ndarray:
    """What choosing among the K most similar loses: best affinity of all - best affinity of those.

    Args:
      similarity: [m, m], as for `hits_at_k`.
      truth: a ground truth with affinities.
      ks: cut-offs, as for `hits_at_k`.
      relative: divide by the best affinity of all, which must then be positive.

    Returns:
      float [t, K], non-negative, falling with K.

    Raises:
      DeparaError: as for `hits_at_k`.
      DegenerateError: the truth has no affinities; `relative` with a best affinity that is not
        positive.
    """
    if truth.affinity is None:
        raise DegenerateError(
            "regret is undefined for a ground truth of ranks alone; give one with affinities"
        )
    order = ranked_candidates(check_similarity(similarity, truth), truth)
    affinity = np.where(truth.pairs, truth.affinity, -np.inf)
    best = affinity.max(axis=1, keepdims=True)
    so_far = np.maximum.accumulate(np.take_along_axis(affinity, order, axis=1), axis=1)
    regret = (best - so_far)[:, check_ks(ks, truth) - 1]
    if not relative:
        return regret
    if best.min() <= 0:
        target = truth.targets[int(best.argmin())]
        raise DegenerateError(
            f"relative regret is undefined: the best affinity of target {target!r} is "
            f"{best.min():g}, not positive; use relative=False"
        )
    return regret / best


def rank_correlations(
    similarity: Any, truth: GroundTruth, *, method: str = "spearman"
) -> np.ndarray:
    """Correlation, for every target, of its similarities with how well its sources really transfer.

    The truth's side is its affinity, or, where it has ranks alone, the negative rank. Candidates
    that the truth does not rank are left out.

    Args:
      similarity: [m, m], as for `hits_at_k`.
      truth: the ground truth.
      method: a name of `correlation.CORRELATIONS`.

    Returns:
      float [t]; NaN where it is undefined because all similarities or all affinities are equal.

    Raises:
      DeparaError: as for `hits_at_k`.
      UnknownNameError: no such correlation.
    """
    rows = check_similarity(similarity, truth)[truth.rows]
    judge = correlation.correlation(method)
    result = np.full(len(truth.targets), np.nan)
    for i, row in enumerate(truth.order):
        known = row[row >= 0]
        quality = -np.arange(len(known)) if truth.affinity is None else truth.affinity[i, known]
        result[i] = defined(judge, rows[i, known], quality)
    return result


def dds_score(similarity: Any, truth: GroundTruth, *, include_diagonal: bool = True) -> float:
    """Mean over targets of Spearman(similarities, affinities), as DDS reports it.

    Their affinity table has a column a target ("column-wise"), ours a row. Their number counts the
    target among its own sources, where both sides are largest, which flatters every method.

    Args:
      similarity: [m, m], as for `hits_at_k`.
      truth: a ground truth with affinities; they take the 17 Taskonomy tasks that have all pairs
        (`truth.select(targets=seventeen, candidates=seventeen)`).
      include_diagonal: whether a target counts among its own sources.

    Raises:
      DeparaError: as for `hits_at_k`.
      DegenerateError: no affinities, no self affinity, or a constant row.

    References:
      Dwivedi et al., "Duality Diagram Similarity: a generic framework for initialization selection
      in task transfer learning", ECCV 2020, section 5.
    """
    matrix = check_similarity(similarity, truth)
    if truth.affinity is None:
        raise DegenerateError("dds_score needs a ground truth with affinities, got ranks alone")
    mask = truth.pairs
    if include_diagonal:
        own = np.arange(len(truth.targets)), truth.rows
        if np.isnan(truth.affinity[own]).any():
            raise DegenerateError(
                "dds_score: a target has no affinity to itself; use include_diagonal=False"
            )
        mask[own] = True
    scores = [
        correlation.spearman(matrix[row, kept], truth.affinity[i, kept])
        for i, (row, kept) in enumerate(zip(truth.rows, mask, strict=True))
    ]
    return float(np.mean(scores))


def ranked_candidates(matrix: np.ndarray, truth: GroundTruth) -> np.ndarray:
    """Int [t, m], candidates of each target by descending similarity, those without a pair last."""
    # Non-pairs are infinite, and similarities are finite, so they cannot come between.
    scores = np.where(truth.pairs, -matrix[truth.rows], np.inf)
    return np.argsort(scores, axis=1, kind="stable")


def check_similarity(similarity: Any, truth: GroundTruth) -> np.ndarray:
    """The matrix in float64: square, finite, of the truth's size."""
    matrix = np.asarray(similarity)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DeparaError(
            f"similarity has shape {matrix.shape}, expected a square matrix [m, m] of all "
            f"candidates"
        )
    if matrix.dtype.kind not in "fiub":
        raise DeparaError(f"similarity has dtype {matrix.dtype}, expected real numbers")
    if len(matrix) != len(truth.candidates):
        raise DeparaError(
            f"similarity is {len(matrix)} x {len(matrix)}, but the ground truth has "
            f"{len(truth.candidates)} candidates; select the same ones on both sides"
        )
    matrix = matrix.astype(np.float64)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        row, column = bad[0]
        raise DeparaError(
            f"similarity has {len(bad)} values that are not finite, the first at "
            f"({truth.candidates[row]!r}, {truth.candidates[column]!r}); leave out models without "
            f"a score"
        )
    return matrix


def check_ks(ks: Cutoffs, truth: GroundTruth) -> np.ndarray:
    """The cut-offs as int [K]; none above the number of candidates of any target."""
    counts = truth.pairs.sum(1)
    most = int(counts.min())
    if not most:
        raise DegenerateError(
            f"target {truth.targets[int(counts.argmin())]!r} has no candidate with a known "
            "affinity; leave it out (`truth.select`, --drop-targets)"
        )
    cuts = np.arange(1, most + 1) if ks is None else np.asarray(ks)
    if cuts.ndim != 1 or not len(cuts) or cuts.dtype.kind not in "iu" or cuts.min() < 1:
        raise DeparaError(f"K must be a list of whole numbers from 1, got {ks!r}")
    if cuts.max() > most:
        raise DeparaError(
            f"K={cuts.max()} is larger than the {most} candidates of target "
            f"{truth.targets[int(counts.argmin())]!r}"
        )
    return cuts


def defined(judge: Any, a: np.ndarray, b: np.ndarray) -> float:
    """The correlation, or NaN where it is undefined."""
    try:
        return judge(a, b)
    except DegenerateError:
        return np.nan
