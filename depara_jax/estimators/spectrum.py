"""One eigendecomposition of the smaller Gram matrix, shared by the scores that need it.

With F = U S^(1/2) V' (uncentred features, S the eigenvalues of the Gram), LogME needs S and U't.
The H-scores, TransRate, linear CKA and Procrustes need the CENTRED features HF, H = I - 11'/n.
Centring is a rank-one change of this basis: with u = U'1/sqrt(n),

    U' H U = I - u u',    (HF)'(HF) = V (S - z z') V' with z = S^(1/2) u,

so each of them is solved in closed form (Sherman-Morrison, the determinant lemma) from the one
decomposition, whichever side it was taken on.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from depara_jax.estimators import validate

__all__ = ["Spectrum", "as_spectrum", "matmul", "spectrum"]

matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Spectrum(NamedTuple):
    """Eigendecomposition of the smaller Gram matrix of uncentred features; k = min(n, d).

    Directions that rounding cannot tell from zero have value 0 and a zero column in `left`.

    Attributes:
      features: [n, d] F itself.
      basis: [k, k] eigenvectors: of F F' (columns of U) if n <= d, else of F'F (columns of V).
      values: [k] eigenvalues, squared singular values of F.
      ones: [k] u = U'1/sqrt(n), what centring removes.
    """

    features: Float[Array, "n d"]
    basis: Float[Array, "k k"]
    values: Float[Array, " k"]
    ones: Float[Array, " k"]

    @property
    def samples(self) -> int:
        """The number of samples n."""
        return self.features.shape[0]

    @property
    def width(self) -> int:
        """The number of feature entries d."""
        return self.features.shape[1]

    def project(self, targets: Float[Array, "n t"]) -> Float[Array, "k t"]:
        """U' targets, without forming U where d < n."""
        if self.samples <= self.width:
            return jnp.where(self.values[:, None] > 0, matmul(self.basis.T, targets), 0)
        coordinates = matmul(self.basis.T, matmul(self.features.T, targets))
        return coordinates * _inverse_sqrt(self.values)[:, None]

    def project_centred(self, targets: Float[Array, "n t"]) -> Float[Array, "k t"]:
        """U' H targets."""
        return self.project(targets - targets.mean(axis=0, keepdims=True))

    def left(self) -> Float[Array, "n k"]:
        """U, orthonormal columns (zero where the value is 0)."""
        if self.samples <= self.width:
            return jnp.where(self.values > 0, self.basis, 0)
        return matmul(self.features, self.basis) * _inverse_sqrt(self.values)

    def centred_power(self) -> Float[Array, ""]:
        """||(HF)(HF)'||_F, the Frobenius norm of the centred Gram matrix."""
        root = jnp.sqrt(self.values)
        lifted = root * self.ones
        # Entry by entry: the closed form of the trace would subtract the square of the mean's
        # eigenvalue, by far the largest for features that are not centred, from itself.
        return jnp.linalg.norm(jnp.diag(self.values) - jnp.outer(lifted, lifted))


def spectrum(features: Any) -> Spectrum:
    """Decomposes the smaller Gram matrix of [n, d] features. Traceable, and maps under `jax.vmap`.

    Raises:
      DeparaError: features that are no finite matrix.
    """
    return _spectrum(validate.as_matrix("features", features))


def as_spectrum(features: Any) -> Spectrum:
    """`features` if it is a `Spectrum` already, else its decomposition."""
    return features if isinstance(features, Spectrum) else spectrum(features)


@jax.jit
def _spectrum(features: Float[Array, "n d"]) -> Spectrum:
    samples, width = features.shape
    # Eigenvalues overflow float32 for features of about 1e17; the scale of real features is left as
    # it is, because LogME's published stopping rule depends on it.
    side = features if samples <= width else features.T
    values, basis = jnp.linalg.eigh(matmul(side, side.T))
    # A Gram matrix squares the condition number: what is below its rounding error is noise. Errors
    # of independent roundings grow with the square root of the number of terms.
    cutoff = jnp.finfo(features.dtype).eps * max(samples, width) ** 0.5 * values[-1]
    values = jnp.where(values > cutoff, values, 0)
    partly = Spectrum(features, basis, values, values)
    ones = jnp.full((samples, 1), samples**-0.5, features.dtype)
    return partly._replace(ones=partly.project(ones)[:, 0])


def _inverse_sqrt(values: Array) -> Array:
    return jnp.where(values > 0, jax.lax.rsqrt(jnp.where(values > 0, values, 1)), 0)
