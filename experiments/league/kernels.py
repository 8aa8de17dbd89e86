"""All-pairs forms of the label-free estimators: each network once, then products.

`depara_jax.estimators` compares two networks a call. RSA, CKA and DDS are inner products of one
vector a network, SVCCA compares one orthonormal basis a network, ModelGiF one field a network and
step; a hundred networks are compared so in seconds. Tests hold them against `ESTIMATORS`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax import stats
from depara_jax.models.model import Model
from depara_jax.types import Array

__all__ = ["PAIRWISE", "modelgif_matrix", "svcca_matrix", "vector_matrix"]

HIGHEST = jax.lax.Precision.HIGHEST
ENERGY = 0.99  # of SVCCA


def vector_matrix(
    features: Sequence[np.ndarray], vector: Callable[[Array], Array]
) -> Float[np.ndarray, "m m"]:
    """Inner products of one unit vector a network.

    Args:
      features: [n, d] of every network.
      vector: a function of `PAIRWISE`.
    """
    rows = jnp.stack([vector(jnp.asarray(one)) for one in features])
    return np.asarray(jnp.matmul(rows, rows.T, precision=HIGHEST))


@jax.jit
def _rsa(features: Float[Array, "n d"]) -> Float[Array, " e"]:
    """Standardised ranks of 1 - the correlation of every two images' features."""
    rows = stats.standardize(features)
    distances = 1 - jnp.matmul(rows, rows.T, precision=HIGHEST)
    return stats.standardize(stats.ranks(stats.upper_triangle(distances)))


@jax.jit
def _cka(features: Float[Array, "n d"]) -> Float[Array, " p"]:
    """The centred Gram matrix at unit length."""
    centred = features - features.mean(axis=0)
    return stats.normalize_rows(jnp.matmul(centred, centred.T, precision=HIGHEST).reshape(-1))


@jax.jit
def _dds_cosine(features: Float[Array, "n d"]) -> Float[Array, " p"]:
    """Cosines of z-scored features, centred without their diagonal, at unit length."""
    return _unbiased(stats.pairwise_cosine(_zscored(features)))


@jax.jit
def _dds_laplacian(features: Float[Array, "n d"]) -> Float[Array, " p"]:
    """The same of Laplacian kernels exp(-mean |x - y|)."""
    scored = _zscored(features)
    rows = jax.lax.map(
        lambda row: jnp.exp(-jnp.abs(scored - row).mean(axis=1)), scored, batch_size=16
    )
    return _unbiased(rows)


PAIRWISE: Mapping[str, Callable[[Array], Array]] = {
    "rsa": _rsa,
    "cka_linear": _cka,
    "dds_cosine": _dds_cosine,
    "dds_laplacian": _dds_laplacian,
}


def _zscored(features: Float[Array, "n d"]) -> Float[Array, "n d"]:
    centred = features - features.mean(axis=0)
    deviation = jnp.sqrt((centred**2).mean(axis=0))
    return jnp.where(deviation > 0, centred / jnp.where(deviation > 0, deviation, 1), 0)


def _unbiased(gram: Float[Array, "n n"]) -> Float[Array, " p"]:
    count = gram.shape[0]
    off = ~jnp.eye(count, dtype=bool)
    gram = jnp.where(off, gram, 0)
    gram = jnp.where(off, gram - gram.sum() / (count * (count - 1)), 0)
    columns = gram.sum(axis=0) / (count - 2)
    centred = gram - columns - columns[:, None] + columns.sum() / (count - 1)
    return stats.normalize_rows(jnp.where(off, centred, 0).reshape(-1))


def svcca_matrix(features: Sequence[np.ndarray]) -> Float[np.ndarray, "m m"]:
    """Mean canonical correlation of the directions that hold 99% of each network's variance."""
    bases = [np.asarray(_basis(jnp.asarray(one))) for one in features]
    kept = [basis[:, np.abs(basis).max(axis=0) > 0] for basis in bases]
    matrix = np.eye(len(kept))
    for i, left in enumerate(kept):
        for j in range(i):
            correlations = np.linalg.svd(left.T @ kept[j], compute_uv=False)
            count = max(1, min(left.shape[1], kept[j].shape[1]))
            matrix[i, j] = matrix[j, i] = np.minimum(correlations, 1).sum() / count
    return matrix


@jax.jit
def _basis(features: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Left singular vectors; those beyond the share of the variance are zero."""
    left, values, _ = jnp.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    power = values**2
    noise = jnp.finfo(features.dtype).eps * max(features.shape) * values[0]
    kept = (jnp.cumsum(power) - power < ENERGY * power.sum()) & (values > noise)
    return jnp.where(kept, left, 0)


def modelgif_matrix(
    models: Sequence[Model], images: Float[np.ndarray, "n h w c"], *, steps: int, chunk: int = 50
) -> Float[np.ndarray, "m m"]:
    """ModelGiF's similarity of all pairs; see `depara_jax.estimators.modelgif`.

    Args:
      models: of one input.
      images: preprocessed.
      steps: nodes of the path.
      chunk: images whose fields exist at a time.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros((len(models), len(models)))
    for start in range(0, len(images), chunk):
        part = jnp.asarray(images[start : start + chunk])
        fields = [jnp.zeros_like(part) for _ in models]
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            for i, model in enumerate(models):
                slope = _slope(model.forward, model.spec.encoder, model.variables, part * point)
                fields[i] = fields[i] + weight * slope
            total += np.asarray(_sum_of_cosines(jnp.stack(fields), part))
    return total / (len(images) * steps)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _slope(forward, layer, variables, images):
    """Gradient of the sum over channels of each one's largest activation."""

    def read(images):
        out = forward(variables, images)[layer]
        return out.max(axis=tuple(range(1, out.ndim - 1))).sum()

    return jax.grad(read)(images)


@jax.jit
def _sum_of_cosines(fields: Float[Array, "m k h w c"], images: Float[Array, "k h w c"]):
    rows = (fields * images).mean(axis=-1)
    unit = stats.normalize_rows(rows.reshape(*rows.shape[:2], -1))
    return jnp.einsum("ikp,jkp->ij", unit, unit, precision=HIGHEST)
