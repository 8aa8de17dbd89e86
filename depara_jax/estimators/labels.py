"""Scores from labels and a source model's predictions, and PARC from labels and features.

Shapes: probabilities [n, z] (source classes z), labels [n] in 0..c-1, features [n, d].
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from depara_jax import stats
from depara_jax.errors import DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import matmul, spectrum

__all__ = ["energy", "leep", "nce", "parc", "principal_components", "task_hardness"]


def leep(probabilities: Any, labels: Any, *, n_classes: int | None = None) -> Float[Array, ""]:
    """Log expected empirical prediction: the log-likelihood of labels read through the source.

        P(y, z) = 1/n sum_{i: y_i = y} p_iz,   LEEP = 1/n sum_i log sum_z P(y_i | z) p_iz

    A source class that is never predicted has P(z) = 0 and contributes nothing (the common code
    divides 0 by 0 there). At most 0; higher is better.

    Args:
      probabilities: [n, z] source softmax outputs on the target samples.
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    Raises:
      DeparaError: rows that do not sum to one, labels of another length or that are no integers.

    References:
      Nguyen, Hassner, Seeger, Archambeau, "LEEP: A New Measure to Evaluate Transferability of
      Learned Representations", ICML 2020, equations 1-2.
    """
    probabilities = validate.as_probabilities(probabilities)
    labels = validate.as_labels(labels, probabilities.shape[0])
    return _leep(probabilities, labels, validate.count_classes(labels, n_classes))


@partial(jax.jit, static_argnums=2)
def _leep(
    probabilities: Float[Array, "n z"], labels: Int[Array, " n"], n_classes: int
) -> Float[Array, ""]:
    joint = jax.ops.segment_sum(probabilities, labels, n_classes)
    marginal = joint.sum(axis=0)
    conditional = joint / jnp.where(marginal > 0, marginal, 1)
    return jnp.log((conditional[labels] * probabilities).sum(axis=1)).mean()


def nce(probabilities: Any, labels: Any, *, n_classes: int | None = None) -> Float[Array, ""]:
    """Negative conditional entropy -H(Y | Z) of the labels given the source's hard predictions.

        z_i = argmax_z p_iz,   NCE = sum_{y,z} P(y, z) log(P(y, z) / P(z))

    At most 0; higher is better.

    Args:
      probabilities: [n, z]; only their argmax (the first of equals) is used.
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    Raises:
      DeparaError: as `leep`.

    References:
      Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks",
      ICCV 2019, section 3.
    """
    probabilities = validate.as_probabilities(probabilities)
    labels = validate.as_labels(labels, probabilities.shape[0])
    return _nce(probabilities, labels, validate.count_classes(labels, n_classes))


@partial(jax.jit, static_argnums=2)
def _nce(
    probabilities: Float[Array, "n z"], labels: Int[Array, " n"], n_classes: int
) -> Float[Array, ""]:
    width = probabilities.shape[1]
    cell = labels * width + probabilities.argmax(axis=1).astype(labels.dtype)
    counts = jnp.bincount(cell, length=n_classes * width).reshape(n_classes, width)
    joint = counts.astype(probabilities.dtype)
    safe = jnp.where(joint > 0, joint, 1)
    return (joint * jnp.log(safe / jnp.maximum(joint.sum(axis=0), 1))).sum() / labels.shape[0]


def task_hardness(labels: Any, *, n_classes: int | None = None) -> Float[Array, ""]:
    """Entropy H(Y) of the labels in nats: how hard the target is with no source at all.

    It is the conditional entropy that NCE gives for a trivial source (one constant label), so
    `nce + task_hardness` is the mutual information of labels and predictions. It says nothing about
    a source, only about the target; a higher value is a harder task.

    Args:
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    References:
      Tran, Nguyen, Hassner, ICCV 2019, section 4.
    """
    labels = validate.as_labels(labels, len(labels))
    return _entropy(labels, validate.count_classes(labels, n_classes))


@partial(jax.jit, static_argnums=1)
def _entropy(labels: Int[Array, " n"], n_classes: int) -> Float[Array, ""]:
    share = jnp.bincount(labels, length=n_classes).astype(jnp.result_type(float)) / labels.shape[0]
    return -(share * jnp.log(jnp.where(share > 0, share, 1))).sum()


def energy(logits: Any, *, percent: float = 100.0, tail: str = "top") -> Float[Array, ""]:
    """Mean free energy log sum_z exp(logit_z) over a share of the samples. Needs no labels.

    Only models whose logits have a comparable scale can be compared. Higher is better.

    Args:
      logits: [n, z] outputs of the source head, before the softmax.
      percent: how many of the samples to average over, in (0, 100].
      tail: the "top" (highest energy) or the "bottom" of them.

    Raises:
      DeparaError: a percentage outside (0, 100], or an unknown tail.

    References:
      Gholami, Akbari, Wang, Kamranian, Zhang, "ETran: Energy-Based Transferability Estimation",
      ICCV 2023.
    """
    logits = validate.as_matrix("logits", logits)
    if not 0 < percent <= 100:
        raise DeparaError(f"percent: expected a number in (0, 100], got {percent}")
    if tail not in ("top", "bottom"):
        raise DeparaError(f"tail: expected 'top' or 'bottom', got {tail!r}")
    count = max(1, round(logits.shape[0] * percent / 100))
    ordered = jnp.sort(jax.nn.logsumexp(logits, axis=1))
    return (ordered[-count:] if tail == "top" else ordered[:count]).mean()


def parc(features: Any, labels: Any, *, n_components: int | None = None) -> Float[Array, ""]:
    """PARC: 100 times Spearman's correlation of two dissimilarity matrices, of features and labels.

        PARC = 100 * Spearman(triu(1 - corr(zscore(F))), triu(1 - corr(onehot(y))))

    The label side has two values only, so it is all ties: averaged ranks are required.

    Args:
      features: [n, d]; entries constant over the samples are ignored.
      labels: [n] target classes.
      n_components: project on this many principal components first (the paper's own setting is 32).

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN.

    References:
      Bolya, Mittapalli, Hoffman, "Scalable Diverse Model Selection for Accessible Transfer
      Learning", NeurIPS 2021, section 4.
    """
    features = validate.as_matrix("features", features)
    labels = validate.as_labels(labels, features.shape[0])
    if n_components is not None:
        features = principal_components(features, n_components)
    return _parc(features, labels)


@jax.jit
def _parc(features: Float[Array, "n d"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    distances = stats.upper_triangle(1 - correlation_rows(zscore(features)))
    # 1 - corr of two one-hot rows is 0 for equal classes and c/(c-1) for others: the same ranks.
    differ = stats.upper_triangle((labels[:, None] != labels[None, :]).astype(features.dtype))
    return jnp.asarray(100 * stats.spearman(distances, differ))


def zscore(features: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Zero mean and unit variance of every entry over the samples; a constant entry becomes 0."""
    # In units of the largest value, so that tiny features do not lose their variance.
    centred = features - features.mean(axis=0, keepdims=True)
    spread = jnp.sqrt((centred**2).mean(axis=0, keepdims=True))
    # The mean of equal numbers is off by rounding, and dividing that by itself would make signal.
    noise = 10 * jnp.finfo(features.dtype).eps * jnp.abs(features).max(axis=0, keepdims=True)
    return jnp.where(spread > noise, centred / jnp.where(spread > noise, spread, 1), 0)


def correlation_rows(rows: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """Pearson's correlation of every pair of rows."""
    unit = stats.standardize(rows)
    return matmul(unit, unit.T)


def principal_components(features: Any, n_components: int) -> Float[Array, "n c"]:
    """[n, c] scores on the leading principal components, c at most min(n, d).

    The largest loading of every component is positive, as in scikit-learn: PARC's correlations over
    the components depend on their signs.

    Raises:
      DeparaError: fewer than one component asked for.
    """
    if n_components < 1:
        raise DeparaError(f"n_components: expected at least 1, got {n_components}")
    features = validate.as_matrix("features", features)
    centred = features - features.mean(axis=0, keepdims=True)
    parts = spectrum(centred)
    kept = min(n_components, parts.values.shape[0])
    left, values = parts.left()[:, ::-1][:, :kept], parts.values[::-1][:kept]
    loadings = matmul(centred.T, left)
    largest = jnp.take_along_axis(loadings, jnp.abs(loadings).argmax(axis=0)[None], axis=0)
    return left * jnp.sqrt(values) * jnp.where(largest < 0, -1, 1).astype(features.dtype)
