"""Slow, obvious versions of the evaluation metrics."""

import itertools

import numpy as np


def ranking(similarity, target, candidates):
    """Candidates by descending similarity; Python's sort is stable, so ties keep their order."""
    return sorted(candidates, key=lambda j: -similarity[target][j])


def hits(similarity, target, candidates, relevant, k):
    """Relevant candidates among the first k."""
    return len(set(ranking(similarity, target, candidates)[:k]) & set(relevant))


def random_hits(candidates, relevant, k):
    """Mean hits over every ordering of the candidates."""
    counts = [len(set(o[:k]) & set(relevant)) for o in itertools.permutations(candidates)]
    return sum(counts) / len(counts)


def regret(similarity, affinity, target, candidates, k):
    """Best affinity of all minus the best among the first k."""
    chosen = ranking(similarity, target, candidates)[:k]
    return max(affinity[j] for j in candidates) - max(affinity[j] for j in chosen)


def average_ranks(values):
    """Ranks from 1; equal values share the mean of theirs."""
    return np.array(
        [
            1 + sum(other < v for other in values) + (sum(other == v for other in values) - 1) / 2
            for v in values
        ]
    )


def spearman(a, b):
    """Correlation of average ranks."""
    return np.corrcoef(average_ranks(a), average_ranks(b))[0, 1]


def kendall(a, b):
    """Kendall's tau-b by counting pairs."""
    concordant = discordant = ties_a = ties_b = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        concordant += x * y > 0
        discordant += x * y < 0
        ties_a += x == 0 and y != 0
        ties_b += y == 0 and x != 0
    judged = concordant + discordant
    return (concordant - discordant) / np.sqrt((judged + ties_a) * (judged + ties_b))


def resampled_similarity(node_cosines, edge_cosines, drawn, lam):
    """Similarity [m, m] on the drawn images; `edge_cosines` are full [m, n, n] matrices."""
    m = node_cosines.shape[1]
    result = np.zeros((m, m))
    pairs = [(p, q) for p, q in itertools.combinations(drawn, 2) if p != q]
    for i, j in itertools.product(range(m), repeat=2):
        node = np.mean([node_cosines[p, i, j] for p in drawn])
        a = [edge_cosines[i, p, q] for p, q in pairs]
        b = [edge_cosines[j, p, q] for p, q in pairs]
        result[i, j] = node + lam * spearman(a, b)
    return result
