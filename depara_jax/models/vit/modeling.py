"""Vision transformer in Flax NNX, inference mode, images [n, h, w, 3].

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021: normalisation before attention and
before the two linear layers, exact GELU, epsilon 1e-6.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models.layers.norm import LayerNorm
from depara_jax.models.vit.config import ViTConfig

__all__ = ["ViT"]

_MLP = 4  # inner width of the linear layers over the token's


class Attention(nnx.Module):
    """Self-attention of all tokens, [n, t, w] -> [n, t, w]."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.proj = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Heads are cut from the channels in order."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        weights = jax.nn.softmax(
            jnp.einsum("nqhc,nkhc->nhqk", q * (width // self.heads) ** -0.5, k), axis=-1
        )
        return self.proj(jnp.einsum("nhqk,nkhc->nqhc", weights, v).reshape(n, tokens, width))


class Block(nnx.Module):
    """Attention and two linear layers, each with a shortcut."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.norm1 = LayerNorm(width)
        self.attn = Attention(width, heads, rngs)
        self.norm2 = LayerNorm(width)
        self.fc1 = nnx.Linear(width, _MLP * width, rngs=rngs)
        self.fc2 = nnx.Linear(_MLP * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """After the attention, and the block's output."""
        x = x + self.attn(self.norm1(x))
        return x, x + self.fc2(jax.nn.gelu(self.fc1(self.norm2(x)), approximate=False))


class ViT(nnx.Module):
    """The network; the image size is the configuration's."""

    def __init__(self, config: ViTConfig, rngs: nnx.Rngs):
        self.config = config
        width, side = config.width, config.patch
        self.patches = nnx.Conv(
            3, width, (side, side), strides=(side, side), padding="VALID", rngs=rngs
        )
        self.class_token = nnx.Param(jnp.zeros((1, 1, width))) if config.class_token else None
        self.position = nnx.Param(jnp.zeros((1, config.tokens, width)))
        self.blocks = nnx.List([Block(width, config.heads, rngs) for _ in range(config.depth)])
        self.norm = LayerNorm(width)
        self.head = nnx.Linear(width, config.num_classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not of the size that the position embeddings are for.
        """
        config = self.config
        if images.shape[1:] != (config.image, config.image, 3):
            raise DeparaError(
                f"{config.architecture} takes images [n, {config.image}, {config.image}, 3], "
                f"got shape {tuple(images.shape)}"
            )
        n = images.shape[0]
        x = self.patches(images).reshape(n, -1, config.width)
        out = {"patches": x}
        if self.class_token is not None:
            token = jnp.broadcast_to(self.class_token[...], (n, 1, config.width))
            x = jnp.concatenate([token, x], axis=1)
        x = out["tokens"] = x + self.position[...]
        for k, block in enumerate(self.blocks):
            out[f"blocks.{k}.attention"], x = block(x)
            out[f"blocks.{k}"] = x
        if config.pool == "token":
            out["norm"] = self.norm(x)
            out["pooled"] = out["norm"][:, 0]
        else:
            out["pooled"] = self.norm(x[:, int(config.class_token) :].mean(axis=1))
        out["head"] = self.head(out["pooled"])
        return out
