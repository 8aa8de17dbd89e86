"""Label-free similarity of all pairs of many networks: each network once, then products.

RSA, CKA and DDS are inner products of one unit vector a network; SVCCA compares one orthonormal
basis a network. So a hundred networks are compared in the time of a few pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.estimators import validate
from depara_jax.estimators.representation import Kernel, kernel_vector, rsa_vector
from depara_jax.estimators.spectrum import matmul
from depara_jax.estimators.subspaces import directions

__all__ = ["PAIRWISE", "estimate_pairs"]


_directions = jax.jit(directions, static_argnums=1)


def _inner_products(
    vector: Callable[[Array], Array], features: Sequence[Array]
) -> Float[np.ndarray, "m m"]:
    rows = jnp.stack([vector(one) for one in features])
    return np.asarray(matmul(rows, rows.T))


def _svcca(features: Sequence[Array], energy: float = 0.99) -> Float[np.ndarray, "m m"]:
    found = [_directions(one, energy) for one in features]
    bases = [np.asarray(one.left)[:, np.asarray(one.kept)] for one in found]
    matrix = np.zeros((len(bases), len(bases)))
    for i, left in enumerate(bases):
        for j, right in enumerate(bases[: i + 1]):
            correlations = np.linalg.svd(left.T @ right, compute_uv=False)
            count = max(1, min(left.shape[1], right.shape[1]))
            matrix[i, j] = matrix[j, i] = np.minimum(correlations, 1).sum() / count
    return matrix


def _kernel(kernel: Kernel, least: int, debiased: bool) -> tuple[int, Callable[..., Any]]:
    vector = partial(kernel_vector, kernel=kernel, debiased=debiased)
    return least, partial(_inner_products, jax.jit(vector))


# {estimator: (how many samples it needs, [n, d] of every network -> [m, m])}
PAIRWISE: Mapping[str, tuple[int, Callable[[Sequence[Array]], np.ndarray]]] = MappingProxyType(
    {
        "rsa": (3, partial(_inner_products, jax.jit(rsa_vector))),
        "cka_linear": _kernel("linear", 2, debiased=False),
        "cka_linear_debiased": _kernel("linear", 4, debiased=True),
        "cka_rbf": _kernel("rbf", 2, debiased=False),
        "cka_rbf_debiased": _kernel("rbf", 4, debiased=True),
        "dds_cosine": _kernel("cosine", 4, debiased=True),
        "dds_laplacian": _kernel("laplacian", 4, debiased=True),
        "svcca": (2, _svcca),
    }
)


def estimate_pairs(name: str, features: Sequence[Any]) -> Float[np.ndarray, "m m"]:
    """One estimator's value for every two of many networks, at its default settings.

    ModelGiF, which needs the networks themselves, is `modelgif_pairs`.

    Args:
      name: a key of `PAIRWISE`.
      features: [n, d] of each of m networks, row k of all about the same sample; d may differ.

    Returns:
      [m, m], symmetric; the order is that of `features`.

    Raises:
      UnknownNameError: an estimator without such a form.
      DeparaError: no networks, lengths differ, NaN.
      DegenerateError: too few samples.

    Example:
      >>> x = np.arange(12.0).reshape(6, 2)
      >>> estimate_pairs("cka_linear", [x, 3 * x + 1]).round(4).tolist()
      [[1.0, 1.0], [1.0, 1.0]]
    """
    if name not in PAIRWISE:
        raise UnknownNameError("estimator of all pairs", name, PAIRWISE)
    least, matrix = PAIRWISE[name]
    given = [validate.as_matrix(f"features[{i}]", one) for i, one in enumerate(features)]
    if not given:
        raise DeparaError(f"{name} of all pairs: expected the features of at least one network")
    for i, one in enumerate(given):
        validate.same_length("features[0]", given[0], f"features[{i}]", one)
    if len(given[0]) < least:
        raise DegenerateError(f"{name}: needs {least} samples or more, got {len(given[0])}")
    return matrix(given)
