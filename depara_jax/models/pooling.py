"""Max-pooling in the form whose pullback is fast on the device at hand."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from depara_jax.host.platform import platform
from depara_jax.models.layers import Padding, window_padding
from depara_jax.types import Array

__all__ = ["max_pool"]


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
    values = [jax.lax.stop_gradient(pixel) for pixel in pixels]
    largest = functools.reduce(jnp.maximum, values)
    taken, out = jnp.zeros(largest.shape, bool), jnp.zeros_like(largest)
    for pixel, value in zip(pixels, values, strict=True):
        wins = (value == largest) & ~taken
        out += jnp.where(wins, pixel, 0)
        taken |= wins
    # NaN equals nothing, so no pixel has won there.
    return jnp.where(jnp.isnan(largest), largest, out)
