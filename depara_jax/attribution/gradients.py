"""Gradients of every requested layer with regard to one image, from one shared forward pass."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from depara_jax.types import Array

__all__ = ["TARGETS", "integrated_gradients", "layer_gradients"]


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


def integrated_gradients(
    features_of: FeaturesOf,
    image: Float[Array, "h w c"],
    layers: tuple[str, ...],
    *,
    target: str,
    steps: int,
) -> tuple[dict[str, Array], dict[str, Float[Array, "h w c"]]]:
    """Mean gradient at the midpoints of `steps` equal pieces of the path from the zero image.

    Times the image this is integrated gradients (Sundararajan et al., ICML 2017), whose entries sum
    to s(x) - s(0) as the steps grow. The steps are a scan, so memory does not grow with them.

    Returns:
      ({layer: features of the image itself}, {layer: mean gradient [h, w, c]}).
    """

    def step(total: dict[str, jax.Array], alpha: jax.Array) -> tuple[dict[str, jax.Array], None]:
        _, gradients = layer_gradients(features_of, alpha * image, layers, target=target)
        return {k: total[k] + gradients[k] for k in layers}, None

    alphas = (jnp.arange(steps, dtype=image.dtype) + 0.5) / steps
    zeros = {layer: jnp.zeros_like(image) for layer in layers}
    total, _ = jax.lax.scan(step, zeros, alphas)
    features: Mapping[str, Any] = features_of(image)
    return {k: features[k] for k in layers}, {k: total[k] / steps for k in layers}
