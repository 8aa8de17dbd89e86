"""ConvNeXt in Flax NNX, inference mode, images [n, h, w, 3].

Liu et al., "A ConvNet for the 2020s", CVPR 2022.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.models.convnext.config import ConvNeXtConfig
from depara_jax.models.layers.convolution import Depthwise
from depara_jax.models.layers.norm import LayerNorm
from depara_jax.models.port import check_images

__all__ = ["ConvNeXt"]


class Block(nnx.Module):
    """A 7x7 depthwise convolution, normalisation and two linear layers over the channels."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.depthwise = Depthwise(width, rngs, size=7, use_bias=True)
        self.norm = LayerNorm(width)
        self.fc1 = nnx.Linear(width, 4 * width, rngs=rngs)
        self.fc2 = nnx.Linear(4 * width, width, rngs=rngs)
        self.layer_scale = nnx.Param(jnp.full(width, 1e-6))

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The convolution, its normalisation, and the block's output."""
        conv = self.depthwise(x)
        norm = self.norm(conv)
        y = self.fc2(jax.nn.gelu(self.fc1(norm), approximate=False))
        return conv, norm, x + self.layer_scale[...] * y


class Down(nnx.Module):
    """Normalisation and a 2x2 convolution of stride 2."""

    def __init__(self, n_in: int, n_out: int, rngs: nnx.Rngs):
        self.norm = LayerNorm(n_in)
        self.conv = nnx.Conv(n_in, n_out, (2, 2), strides=(2, 2), padding="VALID", rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, n_in] -> [n, h/2, w/2, n_out]."""
        return self.conv(self.norm(x))


class ConvNeXt(nnx.Module):
    """The network; any image size of at least 32 works."""

    def __init__(self, config: ConvNeXtConfig, rngs: nnx.Rngs):
        self.config = config
        widths = config.widths
        self.stem = nnx.Conv(3, widths[0], (4, 4), strides=(4, 4), padding="VALID", rngs=rngs)
        self.stem_norm = LayerNorm(widths[0])
        self.downs = nnx.List([Down(a, b, rngs) for a, b in zip(widths, widths[1:], strict=False)])
        self.stages = nnx.List(
            [
                nnx.List([Block(width, rngs) for _ in range(depth)])
                for width, depth in zip(widths, config.depths, strict=True)
            ]
        )
        self.norm = LayerNorm(widths[-1])
        self.head = nnx.Linear(widths[-1], config.num_classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        check_images(images, self.config.architecture)
        x = self.stem_norm(self.stem(images))
        out = {"stem": x}
        for s, stage in enumerate(self.stages):
            if s:
                x = out[f"stages.{s}.down"] = self.downs[s - 1](x)
            for b, block in enumerate(stage):
                name = f"stages.{s}.{b}"
                out[f"{name}.conv"], out[f"{name}.norm"], x = block(x)
                out[name] = x
        out["avgpool"] = x.mean(axis=(1, 2))
        out["norm"] = self.norm(out["avgpool"])
        out["head"] = self.head(out["norm"])
        return out
