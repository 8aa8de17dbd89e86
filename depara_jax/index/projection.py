"""A seeded random projection that keeps dot products, at the cost of one pass over the vector.

Every coordinate is added, with a random sign, to one random entry of the projection (the count
sketch of Charikar, Chen and Farach-Colton, 2002; feature hashing of Weinberger et al., 2009). The
dot product of two projections has the mean <x, y> and the variance

    (|x|^2 |y|^2 + <x, y>^2 - 2 sum_i x_i^2 y_i^2) / dim

over the seeds, which is that of a dense matrix of random signs; a dense one would cost dim times as
much (5 GB of random numbers for a graph of 300,000 entries and dim 4,096).
"""

import functools
import math

import numpy as np
from jaxtyping import Float

__all__ = ["Projection", "standard_error"]


def standard_error(dim: int, norm_a: float, norm_b: float, product: float = 0.0) -> float:
    """Bound of the root mean square error of a projected dot product.

    Args:
      dim: of the projection.
      norm_a: length of one vector; sqrt(node_weight + lam) for a graph without zero maps.
      norm_b: of the other.
      product: their dot product.

    Example:
      >>> round(standard_error(4096, 2**0.5, 2**0.5, 1.0), 4)
      0.0349
    """
    return math.sqrt((norm_a**2 * norm_b**2 + product**2) / dim)


class Projection:
    """Projects vectors of `length` entries to `dim`.

    The random numbers are raw words of Philox, a counter-based generator whose stream is fixed by
    its definition: seed and sizes alone decide the projection, on any machine, by any version.

    Args:
      length: of the vectors.
      dim: of the projection.
      seed: of the random numbers.
    """

    def __init__(self, length: int, dim: int, seed: int = 0):
        self.length, self.dim, self.seed = length, dim, seed

    @functools.cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        words = np.random.Philox(key=self.seed).random_raw(self.length)
        # The upper half by multiplication instead of a remainder; the lowest bit is the sign.
        buckets = ((words >> np.uint64(32)) * np.uint64(self.dim)) >> np.uint64(32)
        signs = 1.0 - 2.0 * (words & np.uint64(1)).astype(np.float32)
        return buckets.astype(np.intp), signs.astype(np.float32)

    def __call__(self, vector: Float[np.ndarray, " z"]) -> Float[np.ndarray, " dim"]:
        """The projection of one vector; summed in float64."""
        if vector.shape != (self.length,):
            raise ValueError(f"expected {self.length} entries, got {vector.shape}")
        buckets, signs = self._places
        return np.bincount(buckets, vector * signs, self.dim).astype(np.float32)
