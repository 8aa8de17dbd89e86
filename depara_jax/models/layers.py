"""Layers whose details decide whether a port agrees with its original."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["adaptive_avg_pool"]


def adaptive_avg_pool(
    x: Float[Array, "n h w c"], height: int, width: int
) -> Float[Array, "n {height} {width} c"]:
    """Averages over `height` x `width` bins, as `torch.nn.AdaptiveAvgPool2d` cuts them.

    Bin i of k over an axis of size s is [floor(i s / k), ceil((i + 1) s / k)): bins overlap where k
    does not divide s, and repeat entries where s < k.

    Args:
      x: features.
      height: bins over the height.
      width: bins over the width.
    """
    if x.shape[1:3] == (height, width):
        return x
    rows = jnp.asarray(_bins(x.shape[1], height), x.dtype)
    columns = jnp.asarray(_bins(x.shape[2], width), x.dtype)
    # An average in less than the precision of its input would be a needless error.
    return jnp.einsum("ph,qw,nhwc->npqc", rows, columns, x, precision=jax.lax.Precision.HIGHEST)


def _bins(size: int, count: int) -> np.ndarray:
    """The averaging matrix [count, size]."""
    matrix = np.zeros((count, size))
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix
