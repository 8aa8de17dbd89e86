"""Layers whose details decide whether a port agrees with its original."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.host.platform import platform
from depara_jax.models.convolution import convolution
from depara_jax.types import Array

__all__ = [
    "ConvNorm",
    "Depthwise",
    "LayerNorm",
    "Padding",
    "adaptive_avg_pool",
    "check_images",
    "depthwise_conv",
    "window_padding",
]

Padding = Literal["torch", "same"]


class ConvNorm(nnx.Module):
    """A convolution without bias and its batch normalisation with the stored statistics.

    Padding "torch" is (size - 1)/2 times the dilation on every side whatever the stride, "same"
    TensorFlow's, which pads a strided convolution more on the right and below. Folded, the
    normalisation is part of the convolution, which then has a bias.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rngs: nnx.Rngs,
        *,
        size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "torch",
        epsilon: float = 1e-5,
        depthwise: bool = False,
        folded: bool = False,
    ):
        pad = dilation * (size - 1) // 2
        around = ((pad, pad), (pad, pad))
        if depthwise:
            self.conv = Depthwise(
                n_out, rngs, size=size, stride=stride, dilation=dilation,
                padding=padding, use_bias=folded,
            )  # fmt: skip
        else:
            self.conv = nnx.Conv(
                n_in,
                n_out,
                kernel_size=(size, size),
                strides=(stride, stride),
                padding="SAME" if padding == "same" else around,
                kernel_dilation=dilation,
                use_bias=folded,
                conv_general_dilated=convolution,
                rngs=rngs,
            )
        norm = functools.partial(nnx.BatchNorm, use_running_average=True, epsilon=epsilon)
        self.norm = None if folded else norm(n_out, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Output of the convolution and of the normalisation."""
        conv = self.conv(x)
        return conv, conv if self.norm is None else self.norm(conv)


class Depthwise(nnx.Module):
    """A depthwise convolution; see `depthwise_conv`."""

    def __init__(
        self,
        channels: int,
        rngs: nnx.Rngs,
        *,
        size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "torch",
        use_bias: bool = False,
    ):
        draw = nnx.initializers.he_normal()
        self.kernel = nnx.Param(draw(rngs.params(), (size, size, 1, channels)))
        self.bias = nnx.Param(jnp.zeros(channels)) if use_bias else None
        self.stride, self.dilation = stride, dilation
        self.padding: Padding = padding

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, h', w', c]."""
        y = depthwise_conv(
            x, self.kernel[...], stride=self.stride, dilation=self.dilation, padding=self.padding
        )
        return y if self.bias is None else y + self.bias[...]


def depthwise_conv(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw 1 c"],
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = "same",
    shifted: bool | None = None,
) -> Float[jax.Array, "n h2 w2 c"]:
    """Each channel convolved with its own kernel.

    Args:
      x: features.
      kernel: one kernel a channel.
      stride: of the output's pixels.
      dilation: distance of the kernel's taps.
      padding: see `ConvNorm`.
      shifted: whether to write it as a sum of shifted images, one a tap, rather than as XLA's
        grouped convolution. By default where that is faster: on a CPU, where the grouped form
        takes several times as long (experiments/pretrained_zoo/README.md has the times).
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    taps = kernel.shape[:2]
    pads = [
        window_padding(n, k, stride, dilation, padding)
        for n, k in zip(x.shape[1:3], taps, strict=True)
    ]
    if shifted is None:
        shifted = platform() == "cpu"
    if not shifted:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), pads, rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1],
        )  # fmt: skip
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = (
        (n - dilation * (k - 1) - 1) // stride * stride + 1
        for n, k in zip(x.shape[1:3], taps, strict=True)
    )
    parts = [
        x[:, i : i + height : stride, j : j + width : stride] * kernel[i // dilation, j // dilation]
        for i in range(0, dilation * taps[0], dilation)
        for j in range(0, dilation * taps[1], dilation)
    ]
    return functools.reduce(jnp.add, parts)


def window_padding(
    n: int, taps: int, stride: int, dilation: int, padding: Padding
) -> tuple[int, int]:
    """Pixels to add before and after an axis of n pixels; see `ConvNorm`."""
    reach = dilation * (taps - 1)
    if padding == "torch":
        return reach // 2, reach // 2
    total = max((-(-n // stride) - 1) * stride + reach + 1 - n, 0)
    return total // 2, total - total // 2


class LayerNorm(nnx.Module):
    """Normalisation of the last axis, in the precision of its input (Flax's mixes two in float64).

    The variance is that of the differences from the mean, as PyTorch computes it.
    """

    def __init__(self, width: int, *, epsilon: float = 1e-6):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.epsilon = epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] -> [..., width]."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon) * self.scale[...] + self.bias[...]


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
