"""Bootstrap confidence intervals: over targets, and over probe images.

Over targets, a resample draws targets with replacement; the mean of per-target values is then one
matrix product of counts and values. Over probe images, the similarity itself is drawn again:

- The node term is a mean over images, so all resamples are one product of weights [B, n] with the
  per-image cosines [n, m m].
- The edge term is a correlation over pairs of images. Drawing image p w_p times repeats pair (p, q)
  w_p w_q times; pairs of an image with its own copy are left out, since every model gives them
  cosine 1. The repeated edges need not be built: each model's edges are sorted once, and a
  resample's average ranks are running sums of the weights in that order (exact: they are whole
  numbers).

Intervals are percentiles of the resamples (Efron 1979). They say how far the result depends on the
targets, or the images, that happened to be drawn, not whether the method is biased.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.stats import rankdata

from depara_jax.errors import DegenerateError, DeparaError

__all__ = [
    "Interval",
    "bootstrap_over_images",
    "bootstrap_over_targets",
    "resampled_similarities",
]


@dataclasses.dataclass(frozen=True, eq=False)
class Interval:
    """A percentile interval; `low` and `high` have the shape of the statistic."""

    low: np.ndarray
    high: np.ndarray
    level: float
    resamples: int


def bootstrap_over_targets(
    values: Any, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of the mean over targets of per-target values, such as `precision_at_k` gives.

    Args:
      values: [t, ...], finite.
      resamples: how many times t targets are drawn.
      level: coverage, between 0 and 1.
      seed: of the draw.

    Raises:
      DeparaError: fewer than 2 targets, values that are not finite, `level` or `resamples` out of
        range.
    """
    values = np.asarray(values, np.float64)
    if values.ndim < 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DeparaError(
            f"bootstrap over targets: expected finite values [at least 2 targets, ...], got shape "
            f"{values.shape}"
        )
    counts = draw_counts(len(values), resamples, seed)
    means = counts @ values.reshape(len(values), -1) / len(values)
    return percentile_interval(means.reshape(-1, *values.shape[1:]), level)


def bootstrap_over_images(
    node_cosines: Any,
    statistic: Callable[[np.ndarray], Any],
    *,
    edges: Any = None,
    lam: float = 0.0,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of any statistic of the similarity matrix, over the draw of probe images.

    Args:
      node_cosines: [n, m, m], cosine of the maps of every two models for each image.
      statistic: maps a similarity matrix [m, m] to a number or an array, e.g.
        `lambda s: precision_at_k(s, truth).mean(0)`.
      edges: [m, n(n-1)/2], each graph's edges in the order of `stats.upper_triangle`; needed where
        `lam` is not 0.
      lam: weight of the edge term.
      resamples: how many times n images are drawn.
      level: coverage, between 0 and 1.
      seed: of the draw.

    Raises:
      DeparaError: wrong shapes, values that are not finite, `level` or `resamples` out of range.
      DegenerateError: constant edges.
    """
    node_cosines, edges = check_parts(node_cosines, edges, lam)
    weights = draw_counts(len(node_cosines), resamples, seed)
    drawn = np.asarray(resampled_similarities(node_cosines, weights, edges=edges, lam=lam))
    if not np.isfinite(drawn).all():
        raise DegenerateError(
            "bootstrap over images: the edges of a resample are constant, so its edge term is "
            "undefined; use more probe images or lam=0"
        )
    return percentile_interval(np.stack([np.asarray(statistic(s)) for s in drawn]), level)


def resampled_similarities(
    node_cosines: Any, weights: Any, *, edges: Any = None, lam: float = 0.0
) -> Float[Array, "b m m"]:
    """Similarity matrices of resampled probe sets, all resamples in one compiled program.

    Args:
      node_cosines: [n, m, m].
      weights: int [b, n], how often each resample holds each image; rows add up to n.
      edges: [m, n(n-1)/2] or None, as for `bootstrap_over_images`.
      lam: weight of the edge term.

    Returns:
      [b, m, m]: weighted mean of the cosines + lam * Spearman of the repeated edges. All weights
      one gives the similarity itself. NaN where the edges of a resample are constant.

    Raises:
      DeparaError: wrong shapes or values that are not finite.
      DegenerateError: constant edges.
    """
    node_cosines, edges = check_parts(node_cosines, edges, lam)
    weights = jnp.asarray(weights, jnp.int32)
    if weights.ndim != 2 or weights.shape[1] != len(node_cosines):
        raise DeparaError(
            f"weights have shape {weights.shape}, expected [resamples, {len(node_cosines)} images]"
        )
    nodes = resampled_nodes(jnp.asarray(node_cosines, jnp.float32), weights)
    if not lam:
        return nodes
    return nodes + lam * resampled_edges(edges, weights)


@jax.jit
def resampled_nodes(
    node_cosines: Float[Array, "n m m"], weights: Int[Array, "b n"]
) -> Float[Array, "b m m"]:
    """Weighted means over images."""
    count, models, _ = node_cosines.shape
    flat = node_cosines.reshape(count, -1)
    means = jnp.matmul(weights.astype(flat.dtype), flat, precision=jax.lax.Precision.HIGHEST)
    return means.reshape(-1, models, models) / count


def resampled_edges(
    edges: Float[np.ndarray, "m e"], weights: Int[Array, "b n"]
) -> Float[Array, "b m m"]:
    """Spearman's correlation between all models' edges, repeated by the weights of their images."""
    order = np.argsort(edges, axis=1, kind="stable")
    # Sorted positions at which each edge's run of equal values begins and ends.
    first, last = (rankdata(edges, method=end, axis=1) - 1 for end in ("min", "max"))
    return _resampled_edges(*(jnp.asarray(x, jnp.int32) for x in (order, first, last)), weights)


@jax.jit
def _resampled_edges(
    order: Int[Array, "m e"],
    first: Int[Array, "m e"],
    last: Int[Array, "m e"],
    weights: Int[Array, "b n"],
) -> Float[Array, "b m m"]:
    p, q = jnp.triu_indices(weights.shape[1], k=1)

    def one(weight: Int[Array, " n"]) -> Float[Array, "m m"]:
        repeats = weight[p] * weight[q]
        ranks = jax.vmap(partial(repeated_ranks, repeats))(order, first, last)
        total = repeats.sum().astype(jnp.float32)
        # Centred on the mean rank (total + 1) / 2 and scaled into [-1, 1]: float32 then suffices.
        centred = (ranks - (total + 1)) / total
        weighted = centred * repeats.astype(jnp.float32)
        gram = jnp.matmul(weighted, centred.T, precision=jax.lax.Precision.HIGHEST)
        scale = jnp.sqrt(jnp.diagonal(gram))
        return gram / (scale[:, None] * scale[None, :])

    return jax.lax.map(one, weights)


def repeated_ranks(
    repeats: Int[Array, " e"],
    order: Int[Array, " e"],
    first: Int[Array, " e"],
    last: Int[Array, " e"],
) -> Float[Array, " e"]:
    """Twice the average rank of each edge when edge i occurs `repeats[i]` times."""
    running = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(repeats[order])])
    # Before an edge's tied run lie running[first], up to its end running[last + 1].
    return (running[first] + running[last + 1] + 1).astype(jnp.float32)


def draw_counts(size: int, resamples: int, seed: int) -> np.ndarray:
    """Int [resamples, size], how often each of `size` things is drawn in `size` draws."""
    if resamples < 1:
        raise DeparaError(f"bootstrap: resamples must be at least 1, got {resamples}")
    if seed < 0:
        raise DeparaError(f"bootstrap: seed must be at least 0, got {seed}")
    generator = np.random.default_rng(seed)
    return generator.multinomial(size, np.full(size, 1 / size), size=resamples)


def percentile_interval(samples: np.ndarray, level: float) -> Interval:
    """The central `level` of the resamples [b, ...]."""
    if not 0 < level < 1:
        raise DeparaError(f"bootstrap: level must be between 0 and 1, got {level}")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(np.asarray(low), np.asarray(high), level, len(samples))


def check_parts(node_cosines: Any, edges: Any, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Shapes and finiteness of the two terms; edges of a zero `lam` are not looked at."""
    nodes = np.asarray(node_cosines)
    if nodes.ndim != 3 or nodes.shape[1] != nodes.shape[2] or not np.isfinite(nodes).all():
        raise DeparaError(
            f"node_cosines has shape {nodes.shape}, expected finite values [images, models, models]"
        )
    if not lam:
        return nodes, np.zeros((nodes.shape[1], 0), np.float32)
    return nodes, check_edges(edges, nodes.shape[1], len(nodes))


def check_edges(edges: Any, models: int, images: int) -> np.ndarray:
    """All edges of every model, finite and not constant."""
    expected = (models, images * (images - 1) // 2)
    values = np.asarray(edges)
    if edges is None or values.shape != expected or not np.isfinite(values).all():
        got = "none" if edges is None else f"shape {values.shape}"
        raise DeparaError(f"edges: expected finite values of shape {expected}, got {got}")
    if (np.ptp(values, axis=1) == 0).any():
        raise DegenerateError("edges: all edges of a graph are equal, so it has no edge ranks")
    return values
