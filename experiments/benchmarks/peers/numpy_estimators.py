"""Transferability estimators as their papers and common code go about them, in plain numpy.

Written for this benchmark from the published descriptions: one decomposition an estimator, a Python
loop over the classes, float64 as those codes use. LogME keeps the common code's order of work but
has the determinant's missing term, so that the values can be compared.
"""

import itertools

import numpy as np


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """You et al., ICML 2021: an SVD through the Gram matrix, then a fixed point for every class."""
    samples, width = features.shape
    if samples > width:
        right, squares, _ = np.linalg.svd(features.T @ features)
        left = features @ right / np.sqrt(squares)
    else:
        left, roots, adjoint = np.linalg.svd(features, full_matrices=False)
        right, squares = adjoint.T, roots**2
    values = []
    for one in range(labels.max() + 1):
        target = (labels == one).astype(features.dtype)
        projected = left.T @ target
        outside = max(target @ target - projected @ projected, 0.0) if samples > width else 0.0
        alpha = beta = 1.0
        for _ in range(11):
            tau = alpha / beta
            gamma = (squares / (squares + tau)).sum()
            norm = (squares * projected**2 / (tau + squares) ** 2).sum()
            residual = (projected**2 / (1 + squares / tau) ** 2).sum() + outside
            alpha, beta = gamma / (norm + 1e-5), (samples - gamma) / (residual + 1e-5)
            if abs(alpha / beta - tau) / tau <= 1e-3:
                break
        weights = right @ (np.sqrt(squares) * projected / (alpha / beta + squares))
        residual = ((features @ weights - target) ** 2).sum()
        evidence = width / 2 * np.log(alpha) + samples / 2 * np.log(beta / (2 * np.pi))
        evidence -= 0.5 * np.log(alpha + beta * squares).sum()
        evidence -= (width - len(squares)) / 2 * np.log(alpha)
        evidence -= beta / 2 * residual + alpha / 2 * (weights @ weights)
        values.append(evidence / samples)
    return float(np.mean(values))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Bao et al., ICIP 2019: pseudo-inverse of one covariance times another."""
    inverse = np.linalg.pinv(np.cov(features, rowvar=False), rcond=1e-15)
    return float(np.trace(inverse @ _between(features, labels)))


def h_score_shrinkage(features: np.ndarray, labels: np.ndarray) -> float:
    """Ibrahim et al., ECML 2022, with scikit-learn's Ledoit-Wolf covariance."""
    from sklearn.covariance import LedoitWolf

    fit = LedoitWolf(assume_centered=False).fit(features)
    between = (1 - fit.shrinkage_) * _between(features, labels)
    return float(np.trace(np.linalg.pinv(fit.covariance_, rcond=1e-15) @ between))


def transrate(features: np.ndarray, labels: np.ndarray) -> float:
    """Huang et al., ICML 2022: a d x d determinant for every class."""
    centred = features - features.mean(axis=0)

    def rate(rows: np.ndarray) -> float:
        gram = np.eye(rows.shape[1], dtype=rows.dtype) + rows.T @ rows / (len(rows) * 1e-4)
        return 0.5 * np.linalg.slogdet(gram)[1]

    classes = range(labels.max() + 1)
    return float(rate(centred) - np.mean([rate(centred[labels == one]) for one in classes]))


def gbc_diagonal(features: np.ndarray, labels: np.ndarray) -> float:
    """Pandy et al., CVPR 2022: scikit-learn's PCA to 64, then a loop over pairs of classes."""
    from sklearn.decomposition import PCA

    # The exact solver: the default one for this shape is randomised, faster, and 20 % off in GBC.
    pca = PCA(min(64, *features.shape), svd_solver="covariance_eigh")
    reduced = pca.fit_transform(features)
    means, variances = [], []
    for one in range(labels.max() + 1):
        rows = reduced[labels == one]
        means.append(rows.mean(axis=0))
        variances.append(np.maximum(rows.var(axis=0), 1e-4))
    total = 0.0
    for i, j in itertools.permutations(range(len(means)), 2):
        pooled = (variances[i] + variances[j]) / 2
        apart = 0.125 * ((means[i] - means[j]) ** 2 / pooled).sum()
        logs = np.log(pooled) - 0.5 * np.log(variances[i]) - 0.5 * np.log(variances[j])
        total += np.exp(-apart - 0.5 * logs.sum())
    return float(-total)


def knn(features: np.ndarray, labels: np.ndarray) -> float:
    """Three neighbours, leave one out, with scikit-learn's brute force."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(features)
    found = near.kneighbors(features, return_distance=False)[:, 1:]
    votes = [np.bincount(labels[row]).argmax() for row in found]
    return float(np.mean(votes == labels))


def cka_linear(features: np.ndarray, other: np.ndarray) -> float:
    """Kornblith et al., ICML 2019, in feature space."""
    left, right = features - features.mean(axis=0), other - other.mean(axis=0)
    below = np.linalg.norm(left.T @ left) * np.linalg.norm(right.T @ right)
    return float(np.linalg.norm(left.T @ right) ** 2 / below)


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Nguyen et al., ICML 2020."""
    joint = np.stack([probabilities[labels == one].sum(axis=0) for one in range(labels.max() + 1)])
    conditional = joint / joint.sum(axis=0)
    pairs = zip(labels, probabilities, strict=True)
    return float(np.mean([np.log(conditional[label] @ row) for label, row in pairs]))


def nce(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Tran et al., ICCV 2019."""
    joint = np.zeros((labels.max() + 1, probabilities.shape[1]))
    for y, z in zip(labels, probabilities.argmax(axis=1), strict=True):
        joint[y, z] += 1 / len(labels)
    marginal = np.broadcast_to(joint.sum(axis=0), joint.shape)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / marginal[there])).sum())


def parc(features: np.ndarray, labels: np.ndarray) -> float:
    """Bolya et al., NeurIPS 2021, with scipy's Spearman."""
    from scipy.stats import spearmanr

    scored = (features - features.mean(axis=0)) / features.std(axis=0)
    pairs = np.triu_indices(len(labels), 1)
    onehot = np.eye(labels.max() + 1)[labels]
    distances = (1 - np.corrcoef(scored))[pairs]
    # Rounded: the noise of corrcoef would break the ties of the label distances.
    return float(100 * spearmanr(distances, np.round(1 - np.corrcoef(onehot), 8)[pairs]).statistic)


def _between(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    means = np.zeros_like(features)
    for one in range(labels.max() + 1):
        means[labels == one] = features[labels == one].mean(axis=0)
    return np.cov(means, rowvar=False)
