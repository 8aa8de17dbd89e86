"""Image filters as matrices: out = rows @ patch @ columns^T crops and filters at once.

Written so because a kernel that differs from image to image would be a grouped convolution under
`vmap`, which is slow on a CPU, while a batched matrix product is fast everywhere. No padding ever
enters: the patch is larger than the image that is cut from it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.mini_taskonomy.config import PATCH

Matrix = Float[Array, "out size"]


def band(
    centres: Float[Array, " out"], kernel: Callable[[jax.Array], jax.Array], size: int = PATCH
) -> Matrix:
    """Rows k(j - centres[i]) for the columns j = 0..size-1."""
    return kernel(jnp.arange(size, dtype=jnp.float32) - centres[:, None])


def crop(centres: Float[Array, " out"]) -> Matrix:
    """Linear interpolation at `centres`; a plain crop where they are whole numbers."""
    return band(centres, lambda d: jnp.maximum(1.0 - jnp.abs(d), 0.0))


def gaussian(centres: Float[Array, " out"], sigma: jax.Array | float, size: int = PATCH) -> Matrix:
    """Gaussian weights of `sigma` pixels around `centres`, each row summing to 1."""
    # 0.05 px stands for no blur at all: the neighbours' weights vanish in float32.
    sigma = jnp.maximum(jnp.asarray(sigma, jnp.float32), 0.05)
    weights = band(centres, lambda d: jnp.exp(-0.5 * jnp.square(d / sigma)), size)
    return weights / weights.sum(axis=1, keepdims=True)


def magnify(start: jax.Array, side: jax.Array, out: int) -> Matrix:
    """Resizes the stretch [start, start + side) to `out` pixels with an antialiased triangle."""
    step = side / out
    centres = start + (jnp.arange(out, dtype=jnp.float32) + 0.5) * step - 0.5
    support = jnp.maximum(step, 1.0)
    weights = band(centres, lambda d: jnp.maximum(1.0 - jnp.abs(d) / support, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def apply(rows: jax.Array, columns: jax.Array, image: jax.Array) -> jax.Array:
    """rows[a, h] and columns[b, w] on image[h, w] or [h, w, c]: [a, b] or [a, b, c]."""
    half = jnp.tensordot(rows, image, 1)
    return jnp.moveaxis(jnp.tensordot(half, columns, [[1], [1]]), -1, 1)


def luma(image: Float[Array, "h w 3"]) -> Float[Array, "h w"]:
    """ITU-R 601 luma."""
    return image @ jnp.array([0.299, 0.587, 0.114], jnp.float32)


def opponent(image: Float[Array, "h w 3"]) -> Float[Array, "h w 2"]:
    """Red against green, and yellow against blue."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return jnp.stack([red - green, 0.5 * (red + green) - blue], axis=-1)
