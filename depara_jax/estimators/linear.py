"""Scores that fit a linear softmax head: the cross-validated probe and PACTran-Gaussian.

Both minimise  sum_i xent_i + l2/2 ||W||^2  (bias free) with scipy's L-BFGS on the host, over a loss
and gradient compiled by JAX; they are therefore not traceable. The optimum is unique, so the start
(zeros) does not matter. With an L2 penalty the weights lie in the span of the samples, so for d > n
the fit runs in the n-dimensional isometric coordinates of the samples: the same optimum, fewer
unknowns.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.spectrum import matmul, spectrum

__all__ = ["ProbeScore", "linear_probe", "pactran_gaussian"]

MAX_STEPS = 200


class ProbeScore(NamedTuple):
    """A cross-validated accuracy.

    Attributes:
      value: mean accuracy over the folds.
      standard_error: sample deviation of the folds' accuracies over the root of their number.
      folds: [f] accuracy on every held-out fold.
    """

    value: float
    standard_error: float
    folds: np.ndarray


def linear_probe(
    features: Any, labels: Any, *, folds: int = 5, l2: float = 1.0, seed: int = 0
) -> ProbeScore:
    """Accuracy of a multinomial logistic head on held-out folds, with its standard error.

    The folds are stratified and seeded; which samples share a fold depends on their order. The
    folds' training sets overlap, so the standard error is a little too small, as with any
    cross-validation.

    Args:
      features: [n, d], used as they are: standardise them first if their entries differ in scale.
      labels: [n] target classes.
      folds: how many parts, 2 to n.
      l2: weight of ||W||^2 / 2 beside the summed cross-entropy (1 / C of scikit-learn).
      seed: of the assignment to folds.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN, folds outside 2..n, l2 <= 0.
      DegenerateError: no class has two samples, so no held-out class was ever trained on.
    """
    points, classes = _prepare(features, labels, l2)
    if not 2 <= folds <= len(classes):
        raise DeparaError(f"folds: expected 2..{len(classes)}, got {folds}")
    if np.bincount(classes).max() < 2:
        raise DegenerateError("linear_probe: every class has one sample; none can be held out")
    part = _stratify(classes, folds, seed)
    scores = np.empty(folds)
    for fold in range(folds):
        held_out = part == fold
        weights, bias, _ = _fit(points, classes, l2, (~held_out).astype(points.dtype))
        guesses = np.asarray(_logits(weights, bias, points)).argmax(axis=1)
        scores[fold] = (guesses == classes)[held_out].mean()
    return ProbeScore(float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(folds)), scores)


def pactran_gaussian(
    features: Any, labels: Any, *, prior_factor: float = 1.0, variance_factor: float = 10.0
) -> Float[Array, ""]:
    """PACTran-Gaussian: a PAC-Bayes bound on the loss of a softmax head; lower is better.

        L* = min 1/n sum xent + ||W||^2 / (2 lambda), lambda = prior_factor * n  (features centred)
        bound = L* + D/(2 lambda) * variance_factor/d * ln(lambda tr(H) / D + 1e-10),   D = d c

    with tr(H) the trace of the Hessian at the optimum of the cross-entropy SUMMED over the samples
    plus the penalty. That is what the authors' code computes; a bound for the mean would divide the
    first part by n, which changes the value but, for one n, hardly the order.

    Args:
      features: [n, d].
      labels: [n] target classes; those that do not occur are left out.
      prior_factor: lambda / n; the authors use 0.1, 1 and 10.
      variance_factor: d times the prior's variance; the authors use 10 and 100 times prior_factor.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN, a factor that is not positive.

    References:
      Ding, Chen, Levinboim, Changpinyo, Soricut, "PACTran: PAC-Bayesian Metrics for Estimating the
      Transferability of Pretrained Models to Classification Tasks", ECCV 2022; constants from
      google-research/pactran_metrics, compute_metrics.py. Deviation: it starts from 0.03 * normal,
      which makes its result vary from run to run; this one starts from zeros.
    """
    if not variance_factor > 0:
        raise DeparaError(f"variance_factor: expected a positive number, got {variance_factor}")
    if not prior_factor > 0:
        raise DeparaError(f"prior_factor: expected a positive number, got {prior_factor}")
    original = validate.as_matrix("features", features)
    points, classes = _prepare(features, labels, 1 / prior_factor)
    samples, width = original.shape
    unknowns = width * (int(classes.max()) + 1)
    scale = prior_factor * samples
    every = np.ones(samples, points.dtype)
    weights, bias, loss = _fit(points, classes, 1 / prior_factor, every)
    spread = jax.nn.softmax(_logits(weights, bias, points), axis=1)
    spread = (spread * (1 - spread)).sum(axis=1)
    # sum over entries of x^2 and over classes of p - p^2; rotations keep the former.
    trace = (spread * ((points**2).sum(axis=1) + 1)).sum() + unknowns / scale
    flatness = jnp.log(trace * scale / unknowns + 1e-10)
    return loss / samples + 0.5 * unknowns / scale * (variance_factor / width) * flatness


def _prepare(features: Any, labels: Any, l2: float) -> tuple[Array, np.ndarray]:
    """Centred features in at most n coordinates, and the labels renumbered without gaps."""
    features = validate.as_matrix("features", features)
    labels = validate.as_labels(labels, features.shape[0])
    if not l2 > 0:
        raise DeparaError(f"l2: expected a positive number, got {l2}")
    # The bias is free, so centring changes no optimum; it makes the fit better conditioned.
    centred = features - features.mean(axis=0, keepdims=True)
    if features.shape[1] > features.shape[0]:
        parts = spectrum(centred)
        centred = parts.left() * jnp.sqrt(parts.values)
    return centred, np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)


def _stratify(classes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of every sample: shuffled, then dealt out class by class."""
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    dealt = shuffled[np.argsort(classes[shuffled], kind="stable")]
    part = np.empty(len(classes), int)
    part[dealt] = np.arange(len(classes)) % folds
    return part


@jax.jit
def _logits(
    weights: Float[Array, "d c"], bias: Float[Array, " c"], points: Float[Array, "n d"]
) -> Float[Array, "n c"]:
    return matmul(points, weights) + bias


@jax.jit
@jax.value_and_grad
def _loss(
    parameters: tuple[Float[Array, "d c"], Float[Array, " c"]],
    points: Float[Array, "n d"],
    classes: Int[Array, " n"],
    l2: Float[Array, ""],
    counted: Float[Array, " n"],
) -> Float[Array, ""]:
    weights, bias = parameters
    logs = jax.nn.log_softmax(_logits(weights, bias, points), axis=1)
    picked = jnp.take_along_axis(logs, classes[:, None], axis=1)[:, 0]
    return -(counted * picked).sum() + 0.5 * l2 * (weights**2).sum()


def _fit(
    points: Array, classes: np.ndarray, l2: float, counted: np.ndarray
) -> tuple[Array, Array, Array]:
    """Weights, bias and the objective at the optimum over the samples that count."""
    width, count = points.shape[1], int(classes.max()) + 1
    labels, penalty = jnp.asarray(classes, jnp.int32), jnp.asarray(l2, points.dtype)
    weight = jnp.asarray(counted, points.dtype)

    def unflatten(flat: np.ndarray) -> tuple[Array, Array]:
        both = jnp.asarray(flat.reshape(width + 1, count), points.dtype)
        return both[:-1], both[-1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, (weights, bias) = _loss(unflatten(flat), points, labels, penalty, weight)
        gradient = np.concatenate([np.asarray(weights), np.asarray(bias)[None]])
        return float(value), gradient.reshape(-1).astype(np.float64)

    start = np.zeros((width + 1) * count)
    options = {"maxiter": MAX_STEPS, "ftol": 1e-12, "gtol": 1e-6}
    best = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    weights, bias = unflatten(best.x)
    return weights, bias, jnp.asarray(best.fun, points.dtype)
