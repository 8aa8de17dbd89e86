"""Gradients of every requested layer with regard to one image, from one shared forward pass."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from depara_jax.host.platform import platform
from depara_jax.types import Array

__all__ = ["TARGETS", "integrated_gradients", "layer_gradients", "steps_at_once"]


def _l2(features: Array) -> Array:
    square = jnp.sum(features * features)
    # The norm has no derivative at 0; a dead layer gets the subgradient 0 rather than NaN.
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _largest(features: Array) -> Array:
    spatial = tuple(range(features.ndim - 1))
    return (features.max(axis=spatial) if spatial else features).sum()


# The scalar whose gradient makes the map. DEPARA eq. 3: ||F(x)||^2; TAM: the sum over the units of
# the representation (its 1/D is the mean); ModelGiF (ICCV 2023): each channel's largest activation,
# summed over channels (the last axis).
TARGETS: Mapping[str, Callable[[Array], Array]] = {
    "l2": _l2,
    "l2sq": lambda features: jnp.sum(features * features),
    "sum": jnp.sum,
    "mean": jnp.mean,
    "max": _largest,
}

# Of images times steps of a path: 20 of 224 x 224 pixels, 1,024 of 32 x 32.
PIXELS_AT_ONCE = 2**20
MOST_PARTS = 8  # each is compiled by itself

FeaturesOf = Callable[[Array], Mapping[str, Array]]


def layer_gradients(
    features_of: FeaturesOf, image: Float[Array, "h w c"], layers: tuple[str, ...], *, target: str
) -> tuple[dict[str, Array], dict[str, Float[Array, "h w c"]]]:
    """Features of each layer, and the gradient of their scalar with regard to the image.

    The forward pass is linearised once; each layer then transposes only the part of the linear map
    that leads to it, so a shallow layer costs a shallow pullback. Weights are constants here.

    Args:
      features_of: image -> {layer: features}, without an image axis.
      image: one image.
      layers: what to return.
      target: a key of `TARGETS`.

    Returns:
      ({layer: features}, {layer: gradient [h, w, c]}).
    """
    scalar = TARGETS[target]

    def heads(image: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        features = features_of(image)
        chosen = {layer: features[layer] for layer in layers}
        # In float32 whatever the features' type: a sum over a feature map in bfloat16 is noise.
        return {k: scalar(v.astype(jnp.float32)) for k, v in chosen.items()}, chosen

    _, pushforward, features = jax.linearize(heads, image, has_aux=True)

    def pullback(layer: str) -> Array:
        one = jnp.ones((), jnp.float32)
        (gradient,) = jax.linear_transpose(lambda t: pushforward(t)[layer], image)(one)
        return gradient

    return features, {layer: pullback(layer) for layer in layers}


def steps_at_once(steps: int, images: tuple[int, ...], backend: str | None = None) -> int:
    """How many steps of the path are computed side by side, as if they were images.

    On a CPU, XLA runs a convolution inside a loop by its slowest algorithm (7 times as long for the
    packaged encoders), so there as many as make up `PIXELS_AT_ONCE`, in at most `MOST_PARTS` parts
    written one after the other. Where that is not enough, and elsewhere: one, in a loop.

    Args:
      steps: of the whole path.
      images: shape [n, h, w, c] of the batch.
      backend: of JAX; by default the one that the program is made for.
    """
    at_once = min(steps, PIXELS_AT_ONCE // (images[0] * images[1] * images[2]))
    if (backend or platform()) != "cpu" or at_once * MOST_PARTS < steps:
        return 1
    return at_once


def integrated_gradients(
    features_of: FeaturesOf,
    image: Float[Array, "h w c"],
    layers: tuple[str, ...],
    *,
    target: str,
    steps: int,
    at_once: int = 1,
) -> tuple[dict[str, Array], dict[str, Float[Array, "h w c"]]]:
    """Mean gradient at the midpoints of `steps` equal pieces of the path from the zero image.

    Times the image this is integrated gradients (Sundararajan et al., ICML 2017), whose entries sum
    to s(x) - s(0) as the steps grow. Memory does not grow with the steps beyond those at once.

    Args:
      features_of: as for `layer_gradients`.
      image: one image.
      layers: what to return.
      target: a key of `TARGETS`.
      steps: of the path.
      at_once: how many of them are computed side by side; see `steps_at_once`.

    Returns:
      ({layer: features of the image itself}, {layer: mean gradient [h, w, c]}).
    """

    def gradients(alpha: jax.Array) -> dict[str, Array]:
        return layer_gradients(features_of, alpha * image, layers, target=target)[1]

    def several(alphas: jax.Array) -> dict[str, Array]:
        return {k: v.sum(axis=0) for k, v in jax.vmap(gradients)(alphas).items()}

    alphas = (jnp.arange(steps, dtype=image.dtype) + 0.5) / steps
    if at_once == 1:

        def step(
            total: dict[str, jax.Array], alpha: jax.Array
        ) -> tuple[dict[str, jax.Array], None]:
            return jax.tree.map(jnp.add, total, gradients(alpha)), None

        zeros = {layer: jnp.zeros_like(image) for layer in layers}
        total, _ = jax.lax.scan(step, zeros, alphas)
    else:
        # Written out rather than looped over, for the same reason that they are at once.
        parts = [several(alphas[i : i + at_once]) for i in range(0, steps, at_once)]
        total = jax.tree.map(lambda *xs: functools.reduce(jnp.add, xs), *parts)
    features: Mapping[str, Any] = features_of(image)
    return {k: features[k] for k in layers}, {k: total[k] / steps for k in layers}
