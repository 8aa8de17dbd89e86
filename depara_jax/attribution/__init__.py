"""Attribution maps of any layer's features with regard to the input.

All requested layers of a model come from one compiled program with one shared forward pass.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from depara_jax.attribution.gradients import (
    TARGETS,
    integrated_gradients,
    layer_gradients,
    steps_at_once,
)
from depara_jax.attribution.relevance import with_epsilon_rule
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.recipe import Recipe
from depara_jax.types import Array, Features, Forward, Maps

__all__ = ["METHODS", "TARGETS", "AttributionMethod", "attribute", "with_epsilon_rule"]


class AttributionMethod(NamedTuple):
    """A way to make a map.

    Attributes:
      citation: where it was defined.
      epsilon_rule: whether nonlinearities follow the epsilon rule.
      path: whether the gradient is averaged along the path from the zero image.
      combine: (image, gradient) -> map.
    """

    citation: str
    epsilon_rule: bool = False
    path: bool = False
    combine: Callable[[Array, Array], Array] = operator.mul


METHODS: Mapping[str, AttributionMethod] = MappingProxyType(
    {
        "saliency": AttributionMethod(
            "Simonyan et al., ICLR workshop 2014", combine=lambda _, gradient: jnp.abs(gradient)
        ),
        "gradient_x_input": AttributionMethod("Shrikumar et al., 2016, arXiv:1605.01713"),
        "epsilon_lrp": AttributionMethod(
            "Bach et al., PLoS ONE 2015, in the form of Ancona et al., ICLR 2018",
            epsilon_rule=True,
        ),
        "integrated_gradients": AttributionMethod("Sundararajan et al., ICML 2017", path=True),
    }
)


def attribute(
    forward: Forward,
    variables: Any,
    images: Shaped[Array, "n h w c"],
    layers: tuple[str, ...],
    recipe: Recipe,
) -> tuple[dict[str, Features], dict[str, Maps]]:
    """Features and attribution maps of every requested layer, for a batch of images.

    Each image's map is a gradient of its own (`jax.vmap` over images); nothing is differentiated
    with regard to the variables. Compiled once for each (forward, layers, method, shapes).

    Args:
      forward: `forward(variables, images) -> {layer: features}`; a hashable callable. JAX keeps it
        with its compiled program until `jax.clear_caches()`, so pass weights as variables rather
        than in a closure.
      variables: its weights.
      images: preprocessed images [n, h, w, c].
      layers: names of layers that `forward` returns.
      recipe: `attribution`, `target`, `epsilon` and `steps` act here; magnitude, channel mean and
        grid act when maps become node vectors (`depara_jax.graph.node_vectors`).

    Returns:
      ({layer: features [n, ...]}, {layer: maps [n, h, w, c]}).

    Raises:
      UnknownNameError: a layer that `forward` does not return.
      DeparaError: images of integers, which have no gradient; preprocess them first.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise DeparaError(
            f"attribute: images are {images.dtype}, expected preprocessed floating-point images"
        )
    settings = (recipe.attribution, recipe.target, recipe.epsilon, recipe.steps)
    return _attribute(forward, tuple(layers), settings, variables, images)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _attribute(
    forward: Forward,
    layers: tuple[str, ...],
    settings: tuple[str, str, float | None, int | None],
    variables: Any,
    images: Float[Array, "n h w c"],
) -> tuple[dict[str, Array], dict[str, Array]]:
    name, target, epsilon, steps = settings
    method = METHODS[name]

    def features_of(image: Array) -> dict[str, Array]:
        out = forward(variables, image[None])
        for layer in layers:
            if layer not in out:
                raise UnknownNameError("layer", layer, out)
        return {layer: out[layer][0] for layer in layers}

    if method.epsilon_rule:
        assert epsilon is not None  # the recipe fills it in
        features_of = with_epsilon_rule(features_of, epsilon)

    def one_image(image: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        if method.path:
            assert steps is not None
            features, gradients = integrated_gradients(
                features_of, image, layers, target=target, steps=steps,
                at_once=steps_at_once(steps, images.shape),
            )  # fmt: skip
        else:
            features, gradients = layer_gradients(features_of, image, layers, target=target)
        return features, {k: method.combine(image, g) for k, g in gradients.items()}

    return jax.vmap(one_image)(images)
