"""VGG-19 with random weights: what accumulation leaves of a clean map, and the ReLU alias."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.attribution import attribute
from depara_jax.data import Probe
from depara_jax.graph import edge_similarity, edges_of
from depara_jax.models.vgg import VGGConfig, forward, random_variables
from depara_jax.recipe import Recipe
from depara_jax.spec import InputSpec
from experiments.fidelity.authors import OVERWRITTEN, accumulated
from experiments.fidelity.layer_half import layer_cosines

__all__ = ["measure"]

CONFIG = VGGConfig(depth=19, batch_norm=True, num_classes=12)


def measure(
    probe: Probe,
    *,
    size: int,
    map_images: int,
    progress: Callable[[str], None],
    config: VGGConfig = CONFIG,
) -> dict[str, Any]:
    """Two networks in the authors' order, on the same images.

    Args:
      probe: images; edges are of all of them.
      size: pixels of the images' sides.
      map_images: images of which maps are made, 19 gradients each.
      progress: told what comes next.
      config: the shape of both.
    """
    layers = dict(config.points)["conv"]
    images = jnp.asarray(probe.array(InputSpec.imagenet(size, size)))
    few, recipe = images[:map_images], Recipe(target="mean")
    cosines, before, edges = {}, None, {}
    for label, seed in (("first network", 0), ("second network", 1)):
        progress(f"{config.architecture} at {size} pixels: {label}")
        variables = random_variables(config, jax.random.key(seed))
        _, maps = attribute(forward(config), variables, few, layers, recipe)
        clean = [maps[layer] for layer in layers]
        walked = accumulated(clean, before)
        before, cosines[label] = walked[-1], layer_cosines(clean, walked)
        if label == "first network":
            constant = _spread(maps[layers[0]], few)
            edges = _alias(config, variables, images)
    return {
        "size": size,
        "layers": list(layers),
        "images": map_images,
        "cosine of accumulated and clean maps": {
            label: {kind: np.round(values, 3).tolist() for kind, values in kinds.items()}
            for label, kinds in cosines.items()
        },
        "first layer's gradient, largest difference between images / largest entry": constant,
        "edges before against after the in-place ReLU, Spearman": edges,
        "images of the edges": len(images),
    }


def _spread(maps: Any, images: jax.Array) -> float:
    """How far the gradients behind maps x * gradient differ between images."""
    gradient = maps / jnp.where(jnp.abs(images) > 0.1, images, jnp.nan)
    differences = jnp.nanmax(gradient, axis=0) - jnp.nanmin(gradient, axis=0)
    return float(f"{float(jnp.nanmax(differences) / jnp.nanmax(jnp.abs(gradient))):.1e}")


def _alias(config: VGGConfig, variables: Any, images: jax.Array) -> dict[str, float]:
    names = [name for pair in OVERWRITTEN.items() for name in pair]

    @jax.jit
    def chosen(images: jax.Array) -> list[jax.Array]:
        out = forward(config)(variables, images)
        return [out[name] for name in names]

    parts = [chosen(images[i : i + 8]) for i in range(0, len(images), 8)]
    features = [jnp.concatenate(column) for column in zip(*parts, strict=True)]
    of = dict(zip(names, (edges_of(f) for f in features), strict=True))
    return {a: round(float(edge_similarity(of[a], of[b])), 3) for a, b in OVERWRITTEN.items()}
