"""Similarity of all pairs of models as the authors' scripts go about it, and as good numpy would.

Written for this benchmark from the description of the procedure: the scripts hold float64 maps of
all models, take every pair of models once and every image of the pair once, with two norms and one
inner product each; for the edges they sort both models' values again for every pair and fill the
ranks in a Python loop.
"""

import numpy as np
import scipy.stats


def node_term(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine of one pair of models' maps [n, p], float64."""
    total = 0.0
    for a, b in zip(first, second, strict=True):
        total += np.inner(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return total / len(first)


def edge_term(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of a pair of models' edges [e], from squared differences of ranks."""
    difference = _ranks(first) - _ranks(second)
    count = len(first)
    return float(1 - 6 * np.sum(difference**2) / (count * (count**2 - 1)))


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.zeros(len(values))
    for rank, position in enumerate(np.argsort(-values)):
        ranks[position] = rank
    return ranks


def numpy_node_products(nodes: list[np.ndarray]) -> np.ndarray:
    """Sum of cosines of all pairs over one chunk: maps at unit length once, one matrix product."""
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in nodes]
    rows = np.stack(unit).reshape(len(nodes), -1)
    return rows @ rows.T


def numpy_edge_matrix(edges: np.ndarray) -> np.ndarray:
    """Spearman's correlation of all pairs: every row ranked once by scipy."""
    return np.corrcoef(scipy.stats.rankdata(edges, axis=1))
