"""Curves over K, and the two references that bound them, in closed form."""

from typing import NamedTuple

import numpy as np

from depara_jax.evaluation.ground_truth import GroundTruth
from depara_jax.evaluation.metrics import Cutoffs, check_ks

__all__ = ["Curves", "oracle_curves", "random_curves", "summarize"]


class Curves(NamedTuple):
    """Hits summed over targets, precision and recall averaged over them; each float [K]."""

    hits: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def random_curves(truth: GroundTruth, *, relevant: int = 5, ks: Cutoffs = None) -> Curves:
    """What a random ranking gives in expectation: hits K r / c for c candidates and r relevant.

    Hence P@K = r / c for every K and R@K = K / c; the authors' plot of R@K draws P instead
    (TAM's plot.py, line 190).
    """
    cuts, counts = check_ks(ks, truth), truth.pairs.sum(1, keepdims=True)
    truth.relevant(relevant)  # the check of its size
    return summarize(cuts * relevant / counts, cuts, relevant)


def oracle_curves(truth: GroundTruth, *, relevant: int = 5, ks: Cutoffs = None) -> Curves:
    """What the true order gives: min(K, r) hits, so P@K = min(1, r / K) and R@K = min(1, K / r)."""
    cuts = check_ks(ks, truth)
    truth.relevant(relevant)  # the check of its size
    hits = np.broadcast_to(np.minimum(cuts, relevant), (len(truth.targets), len(cuts)))
    return summarize(hits, cuts, relevant)


def summarize(hits: np.ndarray, ks: np.ndarray, relevant: int) -> Curves:
    """Curves of hits [t, K]."""
    return Curves(hits.sum(0).astype(float), (hits / ks).mean(0), (hits / relevant).mean(0))
