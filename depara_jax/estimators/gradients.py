"""Label-free scores from gradients with respect to the input: ModelGiF and the Jacobian angle.

A model here is any function from images [n, ...] to outputs [n, ...] whose row k depends on image k
alone. Two models are compared on the same images.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from depara_jax import stats
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import validate

__all__ = ["Readout", "input_gradients", "jacobian_angle", "modelgif", "modelgif_pairs"]

Readout = Literal["max", "sum", "l2"]
ModelFunction = Callable[[Any], Any]


def input_gradients(
    model: ModelFunction, images: Any, *, readout: str = "sum"
) -> Float[Array, "n ..."]:
    """Gradient of a scalar read-out of every image's output with respect to that image.

    Args:
      model: images [n, ...] -> outputs [n, ...].
      images: [n, ...], preprocessed.
      readout: "sum" of the outputs, their "l2" norm, or "max": the sum over channels (last axis) of
        the largest activation in each.

    Raises:
      DeparaError: an unknown read-out, images that are not finite.
    """
    return _slope(Partial(model), _known(readout), as_images(images))


def jacobian_angle(gradients: Any, target_gradients: Any) -> Float[Array, ""]:
    """Mean angle between two models' input-output Jacobians, in radians; smaller is more alike.

        angle = mean_k arccos(<J_k, J'_k> / (||J_k|| ||J'_k||))

    A sample whose gradient is zero in either model has no direction and counts as a right angle.

    Args:
      gradients: [n, ...] Jacobians, or gradients of a read-out (`input_gradients`), of the source.
      target_gradients: [n, ...] of the same shape, of the target.

    Raises:
      DeparaError: shapes differ, NaN.
      DegenerateError: one of the models has a zero gradient everywhere.

    References:
      Adam, Smirnov, Haibe-Kains, Goldenberg, "Reducing Adversarial Example Transferability Using
      Gradient Regularization", arXiv 1904.07980, 2019: the angle between the gradients of two
      models as what governs the transfer of adversarial examples. There they are gradients of the
      loss; with no labels, those of a read-out of the outputs take their place.
    """
    left = _flat("gradients", gradients)
    right = _flat("target_gradients", target_gradients)
    if left.shape != right.shape:
        raise DeparaError(
            f"target_gradients: shape {right.shape} flattened, but gradients has {left.shape}; "
            "both must be with respect to the same images"
        )
    for name, value in (("gradients", left), ("target_gradients", right)):
        if validate.is_concrete(value) and not bool(value.any()):
            raise DegenerateError(f"{name}: zero for every sample, so there is no angle")
    return _mean_angle(left, right.astype(left.dtype))


@jax.jit
def _mean_angle(left: Float[Array, "n p"], right: Float[Array, "n p"]) -> Float[Array, ""]:
    first, second = stats.normalize_rows(left), stats.normalize_rows(right)
    apart = jnp.sqrt(((first - second) ** 2).sum(axis=1))
    together = jnp.sqrt(((first + second) ** 2).sum(axis=1))
    # arccos loses half the digits near 0 and pi; this form loses none.
    angles = 2 * jnp.arctan2(apart, together)
    defined = first.any(axis=1) & second.any(axis=1)
    return jnp.where(defined, angles, jnp.pi / 2).mean()


def modelgif(
    source_model: ModelFunction,
    target_model: ModelFunction,
    images: Any,
    *,
    steps: int = 50,
    readout: str = "max",
    baseline: float = 0.0,
) -> Float[Array, ""]:
    """ModelGiF: cosine similarity of two models' path-integrated gradient fields.

        x(a) = x0 + a (x - x0),   field_t(x) = (x - x0) * sum_{s <= t} w_s dr/dx(x(a_s)),
        score = mean over images and steps t of cos(field_t, field'_t)

    with Gauss-Legendre nodes a_s and weights w_s on [0, 1], the field averaged over channels (last
    axis of [n, h, w, c] images), and the read-out r. Both fields are carried along the path
    together, so memory does not grow with `steps`.

    Args:
      source_model: images [n, ...] -> outputs [n, ...].
      target_model: the same, on the same images.
      images: [n, ...] reference samples, preprocessed.
      steps: nodes of the path.
      readout: as in `input_gradients`.
      baseline: value of x0's entries.

    Returns:
      A number in [-1, 1]; higher is more alike (1 minus the distance of the authors' code).

    Raises:
      DeparaError: fewer than one step, an unknown read-out, images that are not finite.

    References:
      Song, Xu, Wu, Chen, Song, "ModelGiF: Gradient Fields for Model Functional Distance", ICCV
      2023. The definition follows the authors' code (zju-vipa/modelgif, task_relatedness:
      field_generator and get_field_cosdis), since the paper's text was not at hand.
    """
    images, nodes, weights = _path(images, steps, readout)
    run = partial(_field_similarity, (source_model, target_model), readout)
    return jax.jit(run)(images, jnp.asarray(baseline, images.dtype), nodes, weights)


def modelgif_pairs(
    models: Sequence[ModelFunction],
    images: Any,
    *,
    steps: int = 50,
    readout: str = "max",
    baseline: float = 0.0,
    batch_size: int = 50,
) -> Float[np.ndarray, "m m"]:
    """`modelgif` of every two of many models; each is differentiated once a step of the path.

    Args:
      models: m functions, images [n, ...] -> outputs [n, ...]. Networks of one architecture share
        a compiled program where each is a `jax.tree_util.Partial(function, variables)`.
      images: [n, ...] reference samples, preprocessed.
      steps: nodes of the path.
      readout: as in `input_gradients`.
      baseline: value of the path's start.
      batch_size: images whose fields of all models are in memory at a time.

    Returns:
      [m, m], symmetric.

    Raises:
      DeparaError: as for `modelgif`, or a batch of no image.
    """
    images, nodes, weights = _path(images, steps, readout)
    if batch_size < 1:
        raise DeparaError(f"batch_size: expected at least 1, got {batch_size}")
    given = [model if isinstance(model, Partial) else Partial(model) for model in models]
    total = np.zeros((len(given), len(given)))
    for start in range(0, len(images), batch_size):
        offset = images[start : start + batch_size] - baseline
        fields = [jnp.zeros_like(offset) for _ in given]
        for node, weight in zip(nodes, weights, strict=True):
            point = baseline + node * offset
            for i, model in enumerate(given):
                fields[i] = fields[i] + weight * _slope(model, readout, point)
            total += np.asarray(_sum_of_cosines(jnp.stack(fields), offset))
    return total / (len(images) * steps)


def _path(images: Any, steps: int, readout: str) -> tuple[Array, Array, Array]:
    """The images, and nodes and weights of the path to them."""
    images = as_images(images)
    if steps < 1:
        raise DeparaError(f"steps: expected at least 1, got {steps}")
    _known(readout)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (jnp.asarray(part, images.dtype) for part in ((nodes + 1) / 2, weights / 2))
    return images, nodes, weights


def _known(readout: str) -> str:
    if readout not in get_args(Readout):
        raise DeparaError(f"readout: expected one of {get_args(Readout)}, got {readout!r}")
    return readout


def _field_similarity(
    models: tuple[ModelFunction, ModelFunction],
    readout: str,
    images: Float[Array, "n ..."],
    baseline: Float[Array, ""],
    nodes: Float[Array, " t"],
    weights: Float[Array, " t"],
) -> Float[Array, ""]:
    offset = images - baseline

    def step(fields: list[Array], node: tuple[Array, Array]) -> tuple[list[Array], Array]:
        point = baseline + node[0] * offset
        slopes = [_slope(Partial(model), readout, point) for model in models]
        fields = [field + node[1] * slope for field, slope in zip(fields, slopes, strict=True)]
        rows = [_channel_mean(field * offset) for field in fields]
        return fields, stats.cosine(*rows).mean()

    start = [jnp.zeros_like(images), jnp.zeros_like(images)]
    return jax.lax.scan(step, start, (nodes, weights))[1].mean()


@jax.jit(static_argnums=1)
def _slope(model: ModelFunction, readout: str, images: Float[Array, "n ..."]) -> Array:
    """Gradient of the read-out of every image's output with respect to that image."""
    # Rows are independent, so the gradient of the sum holds every image's own gradient.
    return jax.grad(lambda x: _read(model(x), readout).sum())(images)


@jax.jit
def _sum_of_cosines(
    fields: Float[Array, "m n ..."], offset: Float[Array, "n ..."]
) -> Float[Array, "m m"]:
    units = stats.normalize_rows(jax.vmap(lambda field: _channel_mean(field * offset))(fields))
    return jnp.einsum("ikp,jkp->ij", units, units, precision=jax.lax.Precision.HIGHEST)


def as_images(images: Any, *, name: str = "images") -> Float[Array, "n ..."]:
    """[n, ...] floating point, finite where the values are known."""
    array = jnp.asarray(images)
    if array.ndim < 2 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise DeparaError(
            f"{name}: expected floating point [n, ...], got {array.dtype} {array.shape}"
        )
    if validate.is_concrete(array) and not bool(jnp.isfinite(array).all()):
        raise DeparaError(f"{name}: NaN or infinity found")
    return array


def _read(outputs: Array, readout: str) -> Float[Array, " n"]:
    if readout == "max" and outputs.ndim > 2:
        return outputs.max(axis=tuple(range(1, outputs.ndim - 1))).sum(axis=1)
    rows = outputs.reshape(outputs.shape[0], -1)
    if readout != "l2":
        return rows.sum(axis=1)
    power = (rows**2).sum(axis=1)
    # The norm has no gradient at 0; the constant 0 it is replaced by there has gradient 0.
    return jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1)), 0)


def _channel_mean(field: Float[Array, "n ..."]) -> Float[Array, "n p"]:
    reduced = field.mean(axis=-1) if field.ndim == 4 else field
    return reduced.reshape(field.shape[0], -1)


def _flat(name: str, value: Any) -> Float[Array, "n p"]:
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.ndim < 2:
        raise DeparaError(f"{name}: expected [n, ...], got shape {array.shape}")
    return validate.as_matrix(name, array.reshape(array.shape[0], -1))
