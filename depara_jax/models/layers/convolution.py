"""Convolutions in the form that is fastest on the device at hand."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from depara_jax.host.platform import platform
from depara_jax.types import Array

__all__ = ["Depthwise", "Padding", "convolution", "depthwise_conv", "window_padding"]

Padding = Literal["torch", "same"]


def convolution(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c2 o"],
    strides: Any,
    padding: Any,
    *,
    as_product: bool | None = None,
    **settings: Any,
) -> Float[jax.Array, "n h2 w2 o"]:
    """`jax.lax.conv_general_dilated` of channels-last images; `nnx.Conv` takes it in its place.

    Args:
      x: features.
      kernel: [kh, kw, channels a group, outputs].
      strides: a pair.
      padding: "SAME", "VALID" or ((before, after), (before, after)).
      as_product: whether a convolution of single pixels is written as a matrix product of those
        that its strides meet: equal sums in another order. By default on a CPU, where XLA
        multiplies matrices faster than it convolves (BUILD.md, Decisions).
      **settings: of `jax.lax.conv_general_dilated`.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    if as_product is None:
        as_product = platform() == "cpu"
    if not (as_product and _of_single_pixels(kernel, padding, settings)):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **settings)
    down, right = strides
    return jnp.einsum(
        "nhwc,co->nhwo", x[:, ::down, ::right], kernel[0, 0], precision=settings.get("precision")
    )


def _of_single_pixels(kernel: Array, padding: Any, settings: dict[str, Any]) -> bool:
    """Whether each output is a linear map of one pixel, and nothing is padded or dilated."""
    none = isinstance(padding, str) or all(tuple(p) == (0, 0) for p in padding)
    dilated = settings.get("lhs_dilation")
    return (
        tuple(kernel.shape[:2]) == (1, 1)
        and none
        and settings.get("feature_group_count", 1) == 1
        and (dilated is None or all(d == 1 for d in dilated))
    )


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
