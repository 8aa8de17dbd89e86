"""N-LEEP: LEEP read through a Gaussian mixture of the features instead of a source classifier."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.labels import leep
from depara_jax.estimators.spectrum import matmul, spectrum

__all__ = ["Mixture", "fit_mixture", "kmeans", "nleep", "posterior"]

REGULARIZATION = 1e-6  # on the diagonal of every covariance, as scikit-learn's
TOLERANCE = 1e-3  # of the mean log-likelihood between two steps, as scikit-learn's
MAX_STEPS = 100


class Mixture(NamedTuple):
    """A Gaussian mixture with full covariances.

    Attributes:
      log_weights: [m] logarithms of the shares.
      means: [m, d].
      cholesky: [m, d, d] lower factors of the covariances.
    """

    log_weights: Float[Array, " m"]
    means: Float[Array, "m d"]
    cholesky: Float[Array, "m d d"]


def nleep(
    features: Any,
    labels: Any,
    *,
    components_per_class: int = 5,
    energy: float = 0.8,
    responsibilities: Any = None,
    seed: int = 0,
) -> Float[Array, ""]:
    """N-LEEP: LEEP with the posterior of a Gaussian mixture in place of the source's softmax.

    The features are projected on the principal components that hold `energy` of the variance; a
    mixture of `components_per_class` x c Gaussians (full covariances) is fitted by EM from a seeded
    k-means. EM finds a local optimum, so the value depends on the seed; it is not traceable,
    because the number of components kept depends on the data. Higher is better.

    Args:
      features: [n, d].
      labels: [n] target classes.
      components_per_class: mixture components for each class that occurs.
      energy: share of the variance to keep, in (0, 1].
      responsibilities: [n, m] start of EM instead of the k-means (then the seed has no effect).
      seed: of the k-means.

    Raises:
      DeparaError: lengths differ, labels that are no integers, NaN, energy outside (0, 1].
      DegenerateError: fewer samples than components, or features without variance.

    References:
      Li et al., "Ranking Neural Checkpoints", CVPR 2021, section 3.2.
    """
    features = validate.as_matrix("features", features)
    labels = validate.as_labels(labels, features.shape[0])
    reduced = _keep_energy(features, energy)
    if responsibilities is None:
        count = components_per_class * np.unique(np.asarray(labels)).size
        if count > features.shape[0]:
            raise DegenerateError(
                f"nleep: {count} mixture components for {features.shape[0]} samples; give more "
                "samples or a smaller components_per_class"
            )
        nearest = kmeans(reduced, count, seed=seed)
        start = jax.nn.one_hot(nearest, count, dtype=reduced.dtype)
    else:
        start = validate.as_probabilities(responsibilities, name="responsibilities")
        validate.same_length("features", features, "responsibilities", start)
    return leep(posterior(fit_mixture(reduced, start), reduced), labels)


def _keep_energy(features: Float[Array, "n d"], energy: float) -> Float[Array, "n c"]:
    if not 0 < energy <= 1:
        raise DeparaError(f"energy: expected a share in (0, 1], got {energy}")
    parts = spectrum(features - features.mean(axis=0, keepdims=True))
    values = np.asarray(parts.values)[::-1]
    if values[0] <= 0:
        raise DegenerateError("nleep: the features are the same for every sample")
    share = np.cumsum(values) / values.sum()
    kept = min(int(np.searchsorted(share, energy, side="right")) + 1, int((values > 0).sum()))
    return (parts.left() * jnp.sqrt(parts.values))[:, ::-1][:, :kept]


@partial(jax.jit, static_argnames=("n_clusters", "steps", "seed"))
def kmeans(
    points: Float[Array, "n d"], n_clusters: int, *, seed: int = 0, steps: int = 50
) -> Int[Array, " n"]:
    """Cluster indices by Lloyd's algorithm from a seeded k-means++ start."""
    key = jax.random.key(seed)
    lengths = (points**2).sum(axis=1)

    def squared(centres: Float[Array, "m d"]) -> Float[Array, "n m"]:
        crossed = lengths[:, None] - 2 * matmul(points, centres.T) + (centres**2).sum(axis=1)
        return jnp.maximum(crossed, 0)

    def seed_one(index: Int[Array, ""], state: tuple[Array, Array]) -> tuple[Array, Array]:
        centres, nearest = state
        # Where every point is a centre already (duplicates), any point will do.
        weights = jnp.where(nearest.sum() > 0, nearest, 1)
        chosen = jax.random.choice(
            jax.random.fold_in(key, index), points.shape[0], p=weights / weights.sum()
        )
        centre = points[chosen]
        return centres.at[index].set(centre), jnp.minimum(nearest, squared(centre[None])[:, 0])

    blank = jnp.zeros((n_clusters, points.shape[1]), points.dtype)
    everywhere = jnp.ones(points.shape[0], points.dtype)
    first = jax.random.choice(key, points.shape[0])
    start = (blank.at[0].set(points[first]), everywhere * squared(points[first][None])[:, 0])
    centres, _ = jax.lax.fori_loop(1, n_clusters, seed_one, start)

    def lloyd(_: Int[Array, ""], centres: Float[Array, "m d"]) -> Float[Array, "m d"]:
        nearest = squared(centres).argmin(axis=1)
        sizes = jnp.bincount(nearest, length=n_clusters).astype(points.dtype)[:, None]
        sums = jax.ops.segment_sum(points, nearest, n_clusters)
        return jnp.where(sizes > 0, sums / jnp.maximum(sizes, 1), centres)

    return squared(jax.lax.fori_loop(0, steps, lloyd, centres)).argmin(axis=1).astype(jnp.int32)


def _maximise(points: Float[Array, "n d"], weights: Float[Array, "n m"]) -> Mixture:
    sizes = weights.sum(axis=0) + 10 * jnp.finfo(points.dtype).eps
    means = matmul(weights.T, points) / sizes[:, None]

    def factor(one: tuple[Array, Array, Array]) -> Float[Array, "d d"]:
        column, mean, size = one
        # QR of the weighted rows over the regularisation's root, not Cholesky of the covariance: a
        # component of fewer points than dimensions rests on the regularisation alone, which float32
        # loses beside large variances, and then Cholesky gives NaN.
        rows = jnp.sqrt(column / size)[:, None] * (points - mean)
        root = REGULARIZATION**0.5 * jnp.eye(mean.shape[0], dtype=mean.dtype)
        upper = jnp.linalg.qr(jnp.concatenate([rows, root]), mode="r")
        return jnp.where(jnp.diagonal(upper) < 0, -upper.T, upper.T)

    cholesky = jax.lax.map(factor, (weights.T, means, sizes))
    return Mixture(jnp.log(sizes / sizes.sum()), means, cholesky)


def _log_joint(mixture: Mixture, points: Float[Array, "n d"]) -> Float[Array, "n m"]:
    def one(part: tuple[Array, Array, Array]) -> Float[Array, " n"]:
        log_weight, mean, cholesky = part
        whitened = jax.scipy.linalg.solve_triangular(cholesky, (points - mean).T, lower=True)
        log_scale = jnp.log(jnp.diagonal(cholesky)).sum()
        constant = 0.5 * points.shape[1] * jnp.log(jnp.asarray(2 * jnp.pi, points.dtype))
        return log_weight - 0.5 * (whitened**2).sum(axis=0) - log_scale - constant

    return jax.lax.map(one, tuple(mixture)).T


@jax.jit
def fit_mixture(points: Float[Array, "n d"], start: Float[Array, "n m"]) -> Mixture:
    """Expectation maximisation from given responsibilities, at most MAX_STEPS steps."""

    def unfinished(state: tuple[Mixture, Array, Array, Array]) -> Array:
        return (state[3] < MAX_STEPS) & (jnp.abs(state[1] - state[2]) >= TOLERANCE)

    def step(state: tuple[Mixture, Array, Array, Array]) -> tuple[Mixture, Array, Array, Array]:
        mixture, likelihood, _, count = state
        joint = _log_joint(mixture, points)
        total = jax.nn.logsumexp(joint, axis=1)
        found = _maximise(points, jnp.exp(joint - total[:, None]))
        return found, total.mean(), likelihood, count + 1

    infinite = jnp.asarray(jnp.inf, points.dtype)
    start_state = (_maximise(points, start), -infinite, infinite, jnp.int32(0))
    return jax.lax.while_loop(unfinished, step, start_state)[0]


@jax.jit
def posterior(mixture: Mixture, points: Float[Array, "n d"]) -> Float[Array, "n m"]:
    """Probability of every component for every point."""
    return jax.nn.softmax(_log_joint(mixture, points), axis=1)
