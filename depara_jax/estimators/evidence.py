"""LogME: the maximum of the Bayesian linear regression evidence, exact whatever n and d.

    t ~ N(0, beta^-1 I + alpha^-1 F F'),     LogME = mean over targets of max_{alpha, beta} L / n

With F = U S^(1/2) V', x = U't, tau = alpha/beta the evidence needs S and x alone:

    L = 1/2 sum_i log(alpha / (alpha + beta s_i)) + n/2 log(beta / 2 pi) - beta/2 r2 - alpha/2 m2
    r2 = ||F m - t||^2 = sum_i (x_i tau / (tau + s_i))^2 + ||t||^2 - ||x||^2
    m2 = ||m||^2 = sum_i s_i x_i^2 / (tau + s_i)^2

Directions outside the span of F contribute log(alpha/alpha) = 0, so n < d needs no extra case. The
authors' default code and its descendants sum d/2 log(alpha) without the matching (d-k)/2 log(alpha)
of the determinant, and are wrong for n < d.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import Spectrum, as_spectrum

__all__ = ["Evidence", "evidence", "log_evidence", "logme", "logme_multilabel", "logme_regression"]

# The published fixed point's stopping rule and guard, kept so that scores compare with others'.
MAX_STEPS = 11
TOLERANCE = 1e-3
GUARD = 1e-5


class Evidence(NamedTuple):
    """The maximised evidence of every target column.

    Attributes:
      value: [t] L / n at (alpha, beta), in nats per sample.
      alpha: [t] precision of the prior over weights.
      beta: [t] precision of the noise.
      steps: [t] fixed-point steps taken; MAX_STEPS means that the rule stopped it.
    """

    value: Float[Array, " t"]
    alpha: Float[Array, " t"]
    beta: Float[Array, " t"]
    steps: Float[Array, " t"]


class _Moments(NamedTuple):
    """What the fixed point needs of one target: x_i^2 and the squared length outside the span."""

    squared: Float[Array, " k"]
    outside: Float[Array, ""]


def log_evidence(features: Any, targets: Any, alpha: Any, beta: Any) -> Float[Array, " t"]:
    """Log density N(t; 0, I/beta + F F'/alpha) for every column t of the targets, in nats.

    Args:
      features: [n, d], or their `Spectrum`.
      targets: [n, t].
      alpha: [t] or a number.
      beta: [t] or a number.
    """
    parts = as_spectrum(features)
    targets = validate.as_targets(targets, parts.samples).astype(parts.values.dtype)
    shape, dtype = targets.shape[1:], targets.dtype
    alpha = jnp.broadcast_to(jnp.asarray(alpha, dtype), shape)
    beta = jnp.broadcast_to(jnp.asarray(beta, dtype), shape)
    return _columns(_log_evidence, parts, targets, alpha, beta)


def evidence(features: Any, targets: Any) -> Evidence:
    """Maximises the evidence of every target column by the fixed point of the paper.

    Args:
      features: [n, d], or their `Spectrum`.
      targets: [n, t] real numbers.

    References:
      You, Liu, Wang, Long, "LogME: Practical Assessment of Pre-trained Models for Transfer
      Learning", ICML 2021, equation 2; You et al., "Ranking and Tuning Pre-trained Models", JMLR
      2022, algorithm 3 (the fixed point).
    """
    parts = as_spectrum(features)
    targets = validate.as_targets(targets, parts.samples).astype(parts.values.dtype)
    return _evidence(parts, targets)


def logme(features: Any, labels: Any, *, n_classes: int | None = None) -> Float[Array, ""]:
    """LogME for classification: the mean evidence per sample of the one-hot columns.

    Classes that do not occur are left out of the mean, so neither their number nor the order of the
    classes matters. Higher is better; it is a log density, so it may be above 0.

    Args:
      features: [n, d], or their `Spectrum`.
      labels: [n] target classes.
      n_classes: static number of classes; needed only where the labels are traced.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN.

    References:
      You, Liu, Wang, Long, ICML 2021, algorithm 1.
    """
    parts = as_spectrum(features)
    labels = validate.as_labels(labels, parts.samples)
    count = validate.count_classes(labels, n_classes)
    return _masked_mean(parts, jax.nn.one_hot(labels, count, dtype=parts.values.dtype))


def logme_multilabel(features: Any, targets: Any) -> Float[Array, ""]:
    """LogME for multi-label tasks: the mean evidence of the 0/1 columns that have a positive.

    Args:
      features: [n, d], or their `Spectrum`.
      targets: [n, t] zeros and ones.

    Raises:
      DeparaError: entries other than 0 and 1.
      DegenerateError: no column has a positive.
    """
    parts = as_spectrum(features)
    targets = validate.as_targets(targets, parts.samples).astype(parts.values.dtype)
    if validate.is_concrete(targets) and not bool(((targets == 0) | (targets == 1)).all()):
        raise DeparaError("targets: multi-label targets are zeros and ones; see logme_regression")
    return _mean_of_nonzero(parts, targets)


def logme_regression(features: Any, targets: Any) -> Float[Array, ""]:
    """LogME for regression: the mean evidence per sample of the target columns, as they are.

    The model has no intercept, as published: centre and scale the targets alike for every source.

    Args:
      features: [n, d], or their `Spectrum`.
      targets: [n, t] or [n] real numbers.

    Raises:
      DegenerateError: every target is 0.
    """
    parts = as_spectrum(features)
    targets = validate.as_targets(targets, parts.samples).astype(parts.values.dtype)
    return _mean_of_nonzero(parts, targets)


def _mean_of_nonzero(parts: Spectrum, targets: Float[Array, "n t"]) -> Float[Array, ""]:
    if validate.is_concrete(targets) and not bool(targets.any()):
        raise DegenerateError("targets: all are zero, so the evidence has no maximum")
    return _masked_mean(parts, targets)


@jax.jit
def _masked_mean(parts: Spectrum, targets: Float[Array, "n t"]) -> Float[Array, ""]:
    # A column of zeros is explained by beta -> infinity; it is a class that does not occur.
    present = (targets != 0).any(axis=0)
    values = jnp.where(present, _evidence(parts, targets).value, 0)
    return values.sum() / present.sum(dtype=values.dtype)


@jax.jit
def _evidence(parts: Spectrum, targets: Float[Array, "n t"]) -> Evidence:
    alpha, beta, steps = _columns(_fixed_point, parts, targets)
    value = _columns(_log_evidence, parts, targets, alpha, beta) / parts.samples
    return Evidence(value, alpha, beta, steps)


def _columns(function: Any, parts: Spectrum, targets: Float[Array, "n t"], *extra: Any) -> Any:
    """`function` of every target column at once; the projection U'T is one matrix product."""
    squared = parts.project(targets) ** 2
    length = (targets**2).sum(axis=0)
    outside = jnp.maximum(length - squared.sum(axis=0), 0)
    if parts.samples <= parts.width:
        # F of full row rank leaves nothing outside; the difference would only be rounding.
        outside = jnp.where((parts.values > 0).all(), 0, outside)
    # vmap puts the classes last, so that every step of the fixed point is one [k, t] operation.
    mapped = jax.vmap(
        lambda s, o, *rest: function(parts.values, parts.samples, _Moments(s, o), *rest),
        in_axes=(1, 0) + (0,) * len(extra),
    )
    return mapped(squared, outside, *extra)


def _residual_and_norm(values: Array, moments: _Moments, tau: Array) -> tuple[Array, Array]:
    shrink = moments.squared / (tau + values) ** 2
    return (shrink.sum() * tau**2 + moments.outside, (values * shrink).sum())


def _log_evidence(
    values: Array, samples: int, moments: _Moments, alpha: Array, beta: Array
) -> Array:
    residual, norm = _residual_and_norm(values, moments, alpha / beta)
    determinant = -0.5 * jnp.log1p(values * (beta / alpha)).sum()
    fit = -0.5 * (beta * residual + alpha * norm)
    return determinant + 0.5 * samples * jnp.log(beta / (2 * jnp.pi)) + fit


def _fixed_point(values: Array, samples: int, moments: _Moments) -> tuple[Array, Array, Array]:
    def unfinished(state: tuple[Array, Array, Array, Bool[Array, ""]]) -> Array:
        return (state[2] < MAX_STEPS) & ~state[3]

    def step(state: tuple[Array, Array, Array, Bool[Array, ""]]) -> Any:
        tau = state[0] / state[1]
        residual, norm = _residual_and_norm(values, moments, tau)
        effective = (values / (tau + values)).sum()
        # n - effective, without the cancellation that n < d would bring
        spare = samples - values.shape[0] + (tau / (tau + values)).sum()
        alpha, beta = effective / (norm + GUARD), spare / (residual + GUARD)
        done = jnp.abs(alpha / beta - tau) <= TOLERANCE * tau
        return alpha, beta, state[2] + 1, done

    one = jnp.ones((), values.dtype)
    alpha, beta, steps, _ = jax.lax.while_loop(
        unfinished, step, (one, one, jnp.zeros((), values.dtype), jnp.asarray(False))
    )
    return alpha, beta, steps
