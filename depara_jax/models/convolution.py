"""Convolutions in the form that is fastest on the device at hand."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from depara_jax.host.platform import platform
from depara_jax.types import Array

__all__ = ["convolution"]


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
