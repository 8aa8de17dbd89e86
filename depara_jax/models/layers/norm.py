"""Normalisations, and convolutions with theirs."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.models.layers.convolution import Depthwise, Padding, convolution

__all__ = ["ConvNorm", "LayerNorm"]


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


_EPSILON = 1e-6  # of vision transformers and ConvNeXt, as their weights were trained


class LayerNorm(nnx.Module):
    """Normalisation of the last axis, in the precision of its input (Flax's mixes two in float64).

    The variance is that of the differences from the mean, as PyTorch computes it.
    """

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] -> [..., width]."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + _EPSILON) * self.scale[...] + self.bias[...]
