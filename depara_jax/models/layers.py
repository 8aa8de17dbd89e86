"""Layers whose details decide whether a port agrees with its original."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from depara_jax.errors import DeparaError

__all__ = ["ConvNorm", "adaptive_avg_pool", "check_images"]

Padding = Literal["torch", "same"]


class ConvNorm(nnx.Module):
    """A convolution without bias and its batch normalisation with the stored statistics.

    Padding "torch" is (size - 1)/2 on every side whatever the stride, "same" TensorFlow's, which
    pads a strided convolution more on the right and below.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rngs: nnx.Rngs,
        *,
        size: int = 1,
        stride: int = 1,
        padding: Padding = "torch",
        epsilon: float = 1e-5,
    ):
        pad = (size - 1) // 2
        self.conv = nnx.Conv(
            n_in,
            n_out,
            kernel_size=(size, size),
            strides=(stride, stride),
            padding="SAME" if padding == "same" else ((pad, pad), (pad, pad)),
            use_bias=False,
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(n_out, use_running_average=True, epsilon=epsilon, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Output of the convolution and of the normalisation."""
        conv = self.conv(x)
        return conv, self.norm(conv)


def check_images(images: jax.Array, architecture: str) -> None:
    """Refuses what is not a batch of colour images.

    Raises:
      DeparaError: the shape is not [n, h, w, 3].
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise DeparaError(
            f"{architecture} takes images [n, h, w, 3], got shape {tuple(images.shape)}"
        )


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
