"""Pooling: adaptive averages, and maxima in the form whose pullback is fast here."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from depara_jax.host.platform import platform
from depara_jax.models.layers.convolution import Padding, window_padding
from depara_jax.types import Array

__all__ = ["adaptive_avg_pool", "max_pool"]


def max_pool(
    x: Float[Array, "n h w c"],
    size: int,
    *,
    stride: int,
    padding: Padding | None = None,
    shifted: bool | None = None,
) -> Float[jax.Array, "n h2 w2 c"]:
    """The largest value of each window; its gradient goes to the first such value, row by row.

    Args:
      x: features; a NaN makes the largest value of its windows NaN.
      size: of the square windows.
      stride: distance between windows.
      padding: how the image is surrounded with -infinity, see `ConvNorm`; by default not at all.
      shifted: whether to write it as a selection among shifted images, one a pixel of the window,
        rather than as XLA's windowed reduction: equal values, equal gradients. By default where
        that is faster: on a CPU, where XLA's reduction finds the winners pixel by pixel
        (experiments/benchmarks/README.md has the times).
    """
    x = jnp.asarray(x)
    if shifted is None:
        shifted = platform() == "cpu"
    if padding is not None:
        around = [window_padding(n, size, stride, 1, padding) for n in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *around, (0, 0)), constant_values=-jnp.inf)
    if not shifted:
        return nnx.max_pool(x, (size, size), strides=(stride, stride))
    height, width = ((n - size) // stride * stride + 1 for n in x.shape[1:3])
    pixels = [
        x[:, i : i + height : stride, j : j + width : stride]
        for i in range(size)
        for j in range(size)
    ]
    # Not by equality with the largest value: a pixel that XLA computes twice, rounded otherwise
    # (fused multiply-adds of a normalisation), would equal it nowhere, and its window would be 0.
    largest = pixels[0]
    for pixel in pixels[1:]:
        largest = jnp.where((pixel > largest) | jnp.isnan(pixel), pixel, largest)
    return largest


def adaptive_avg_pool(
    x: Float[Array, "n h w c"], height: int, width: int
) -> Float[jax.Array, "n {height} {width} c"]:
    """Averages over `height` x `width` bins, as `torch.nn.AdaptiveAvgPool2d` cuts them.

    Bin i of k over an axis of size s is [floor(i s / k), ceil((i + 1) s / k)): bins overlap where k
    does not divide s, and repeat entries where s < k.

    Args:
      x: features.
      height: bins over the height.
      width: bins over the width.
    """
    x = jnp.asarray(x)
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
