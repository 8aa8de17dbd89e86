"""Closed-form scores from features and labels: H-score, shrinkage H-score, TransRate.

Shapes: features [n, d] (or their `Spectrum`, where a function says so), labels [n] in 0..c-1.
"""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from depara_jax.errors import DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import Spectrum, as_spectrum, matmul

__all__ = ["h_score", "h_score_shrinkage", "transrate"]


def h_score(features: Any, labels: Any, *, n_classes: int | None = None) -> Float[Array, ""]:
    """H-score: how much of the features' variance lies between the classes.

        H = tr(cov(f)^+ cov(E[f | y]))

    With P the projection on the centred features' columns and Y the class indicators scaled to
    unit length, H = ||P Y||^2: it counts directions and ignores how much variance each has. Once
    d >= n - 1 the projection is the whole space and H = (classes present) - 1 for ANY features.

    Args:
      features: [n, d], or their `Spectrum`.
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    Returns:
      A number in [0, c - 1]; higher is better.

    Warns:
      UserWarning: d >= n - 1, which makes the value meaningless; use `h_score_shrinkage`.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN.

    References:
      Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning",
      ICIP 2019, definition 2.
    """
    parts, labels, count = _spectrum_and_labels(features, labels, n_classes)
    if parts.width >= parts.samples - 1:
        warnings.warn(
            f"h_score: {parts.width} entries for {parts.samples} samples (d >= n - 1): the value "
            "is the number of classes minus 1 for any features; use h_score_shrinkage",
            stacklevel=2,
        )
    return _h_score(parts, labels, count)


@partial(jax.jit, static_argnums=2)
def _h_score(parts: Spectrum, labels: Int[Array, " n"], n_classes: int) -> Float[Array, ""]:
    inner = parts.project_centred(_unit_indicators(labels, n_classes, parts.values.dtype))
    along = matmul(parts.ones[None, :], inner)[0]
    # (I - u u')^-1 = I + u u' / (1 - u'u); where u'u = 1 the features span the constant vector,
    # which centring removes, and `along` is 0 with it.
    gap = 1 - (parts.ones**2).sum()
    spans_ones = gap <= jnp.finfo(gap.dtype).eps ** 0.5
    extra = jnp.where(spans_ones, 0, (along**2).sum() / jnp.where(spans_ones, 1, gap))
    return (inner**2).sum() + extra


def h_score_shrinkage(
    features: Any, labels: Any, *, n_classes: int | None = None
) -> Float[Array, ""]:
    """H-score with the Ledoit-Wolf covariance, which stays meaningful for d >= n.

        S = 1/n sum x_i x_i' (centred), mu = tr S / d, S_a = (1 - a) S + a mu I,
        a = min(1, b / delta), delta = ||S - mu I||^2 / d, b = 1/(n^2 d) sum ||x_i x_i' - S||^2,
        H = tr(S_a^-1 (1 - a) cov(E[f | y]))  with cov over n - 1

    Args:
      features: [n, d], or their `Spectrum`.
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    Returns:
      A number of at least 0; higher is better. Constant features give 0.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN.

    References:
      Ibrahim, Ponomareva, Mazumder, "Newer is not always better: Rethinking transferability
      metrics, their peculiarities, stability and performance", ECML 2022; Ledoit and Wolf, "A
      well-conditioned estimator for large-dimensional covariance matrices", 2004. The factor (1 -
      a) and the two degrees of freedom are those of the authors' code.
    """
    parts, labels, count = _spectrum_and_labels(features, labels, n_classes)
    return _h_score_shrinkage(parts, labels, count)


@partial(jax.jit, static_argnums=2)
def _h_score_shrinkage(
    parts: Spectrum, labels: Int[Array, " n"], n_classes: int
) -> Float[Array, ""]:
    shrinkage, scale = ledoit_wolf(parts)
    weight, ridge = (1 - shrinkage) / parts.samples, shrinkage * scale
    inner = parts.project_centred(_unit_indicators(labels, n_classes, parts.values.dtype))
    root = jnp.sqrt(parts.values)
    lifted = root[:, None] * inner  # coordinates of F'HY
    diagonal = weight * parts.values + ridge
    solved = jnp.where(diagonal > 0, 1 / jnp.where(diagonal > 0, diagonal, 1), 0)
    # (diag - w z z')^-1 by Sherman-Morrison; 1 - w z' diag^-1 z = (1 - u'u) + sum u^2 ridge/diag.
    z = root * parts.ones
    gap = jnp.maximum(1 - (parts.ones**2).sum(), 0) + (parts.ones**2 * ridge * solved).sum()
    along = matmul((z * solved)[None, :], lifted)[0]
    total = (solved[:, None] * lifted**2).sum()
    total += weight * jnp.where(gap > 0, (along**2).sum() / jnp.where(gap > 0, gap, 1), 0)
    return jnp.where(scale > 0, (1 - shrinkage) * total / (parts.samples - 1), 0)


def ledoit_wolf(parts: Spectrum) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The Ledoit-Wolf shrinkage a and the target's scale mu, of the centred features."""
    samples, width = parts.samples, parts.width
    centred = parts.features - parts.features.mean(axis=0, keepdims=True)
    lengths = (centred**2).sum(axis=1)
    scale = lengths.sum() / (samples * width)
    power = (parts.centred_power() / samples) ** 2  # ||S||^2
    distance = jnp.maximum(power - width * scale**2, 0) / width
    error = jnp.maximum((lengths**2).sum() / samples - power, 0) / (samples * width)
    shrinkage = jnp.where(distance > 0, error / jnp.where(distance > 0, distance, 1), 1)
    return jnp.minimum(shrinkage, 1), scale


def transrate(
    features: Any,
    labels: Any,
    *,
    epsilon: float = 1e-4,
    n_classes: int | None = None,
    max_per_class: int | None = None,
) -> Float[Array, ""]:
    """TransRate: the coding rate of the features minus the mean coding rate of a class's.

        R(Z) = 1/2 logdet(I + Z'Z / (n epsilon)),   TransRate = R(Z) - 1/c sum_y R(Z_y)

    Z is centred once, over all samples; classes that do not occur are left out of the mean. The
    weights are 1/c, as in the paper's listing (its text weighs by n_y / n).

    Args:
      features: [n, d], or their `Spectrum`.
      labels: [n] target classes.
      epsilon: distortion of the rate.
      n_classes: static number of classes; needed only where the labels are traced.
      max_per_class: static bound on a class's size; only where the labels are traced, default n.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN, epsilon not positive.

    References:
      Huang, Huang, Rong, Yang, Wei, "Frustratingly Easy Transferability Estimation", ICML 2022.
    """
    if not epsilon > 0:
        raise DeparaError(f"epsilon: expected a positive number, got {epsilon}")
    parts, labels, count = _spectrum_and_labels(features, labels, n_classes)
    return _transrate(parts, labels, epsilon, count, validate.largest_class(labels, max_per_class))


@partial(jax.jit, static_argnums=(2, 3, 4))
def _transrate(
    parts: Spectrum, labels: Int[Array, " n"], epsilon: float, n_classes: int, most: int
) -> Float[Array, ""]:
    scaled = parts.values / (parts.samples * epsilon)
    share = parts.ones**2
    # det(I + S - z z') = prod(1 + s) (1 - sum u^2 s/(1+s)), and the last factor without
    # cancellation
    last = jnp.maximum(1 - share.sum(), 0) + (share / (1 + scaled)).sum()
    whole = 0.5 * (jnp.log1p(scaled).sum() + jnp.log(last))
    centred = parts.features - parts.features.mean(axis=0, keepdims=True)
    rows, valid = class_blocks(labels, n_classes, most)
    sizes = valid.sum(axis=1)

    def rate(index: Int[Array, " m"], mask: Bool[Array, " m"]) -> Float[Array, ""]:
        block = jnp.where(mask[:, None], centred[index], 0)
        block = block / jnp.sqrt(jnp.maximum(mask.sum(), 1).astype(block.dtype) * epsilon)
        tall = block.T if block.shape[0] <= block.shape[1] else block
        # The R of [A; I] has R'R = A'A + I without squaring the condition number as the Gram does.
        stacked = jnp.concatenate([tall, jnp.eye(tall.shape[1], dtype=tall.dtype)])
        return jnp.log(jnp.abs(jnp.diagonal(jnp.linalg.qr(stacked, mode="r")))).sum()

    rates = jax.lax.map(lambda pair: rate(*pair), (rows, valid), batch_size=8)
    present = sizes > 0
    return whole - jnp.where(present, rates, 0).sum() / present.sum(dtype=whole.dtype)


def class_blocks(
    labels: Int[Array, " n"], n_classes: int, most: int
) -> tuple[Int[Array, "c m"], Bool[Array, "c m"]]:
    """Row indices of every class, padded to `most` columns, and which of them are real."""
    order = jnp.argsort(labels, stable=True).astype(jnp.int32)
    sizes = jnp.bincount(labels, length=n_classes).astype(jnp.int32)
    starts = jnp.cumsum(sizes) - sizes
    offsets = jnp.arange(most, dtype=jnp.int32)
    place = jnp.minimum(starts[:, None] + offsets, labels.shape[0] - 1)
    return order[place], offsets < sizes[:, None]


def _spectrum_and_labels(
    features: Any, labels: Any, n_classes: int | None
) -> tuple[Spectrum, Array, int]:
    parts = as_spectrum(features)
    labels = validate.as_labels(labels, parts.samples)
    return parts, labels, validate.count_classes(labels, n_classes)


def _unit_indicators(labels: Int[Array, " n"], n_classes: int, dtype: Any) -> Float[Array, "n c"]:
    onehot = jax.nn.one_hot(labels, n_classes, dtype=dtype)
    return onehot / jnp.sqrt(jnp.maximum(onehot.sum(axis=0, keepdims=True), 1))
