"""VGG-19 with random weights: what accumulation leaves of a clean map, and the ReLU alias."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.data import Probe
from depara_jax.graph import edge_similarity, edges_of
from depara_jax.models import Model
from depara_jax.models.port import port_model, port_spec, random_variables
from depara_jax.models.vgg import VGG, VGGConfig
from depara_jax.spec import InputSpec
from depara_jax.types import Maps
from depara_jax.walk import layer_features
from experiments.fidelity.authors import OVERWRITTEN, accumulated, signed_maps
from experiments.fidelity.layer_half import layer_cosines

CONFIG = VGGConfig(depth=19, batch_norm=True, num_classes=12)


def measure(
    probe: Probe,
    progress: Callable[[str], None],
    *,
    size: int,
    map_images: int,
    config: VGGConfig = CONFIG,
) -> dict[str, Any]:
    """Two networks in the authors' order, on the same images.

    Args:
      probe: images; edges are of all of them.
      progress: told what comes next.
      size: pixels of the images' sides.
      map_images: images of which maps are made, 19 gradients each.
      config: the shape of both.
    """
    spec = port_spec(config, input=InputSpec.imagenet(size, size))
    layers = spec.layers_at("conv")
    few = probe.subset(range(map_images))
    cosines, before, edges, constant = {}, None, {}, 0.0
    for label, seed in (("first network", 0), ("second network", 1)):
        progress(f"{config.architecture} at {size} pixels: {label}")
        variables = random_variables(VGG, config, jax.random.key(seed))
        model = port_model(VGG, config, variables=variables, spec=spec)
        clean = list(signed_maps(model, few, layers).values())
        walked = accumulated(clean, before)
        before, cosines[label] = walked[-1], layer_cosines(clean, walked)
        if label == "first network":
            constant = _spread(clean[0], jnp.asarray(few.array(spec.input)))
            edges = _alias(model, probe)
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
        "images of the edges": len(probe),
    }


def _spread(maps: Maps, images: jax.Array) -> float:
    """How far the gradients behind maps x * gradient differ between images."""
    gradient = maps / jnp.where(jnp.abs(images) > 0.1, images, jnp.nan)
    differences = jnp.nanmax(gradient, axis=0) - jnp.nanmin(gradient, axis=0)
    return float(f"{float(jnp.nanmax(differences) / jnp.nanmax(jnp.abs(gradient))):.1e}")


def _alias(model: Model, probe: Probe) -> dict[str, float]:
    features = layer_features(model, probe, [*OVERWRITTEN, *OVERWRITTEN.values()])
    of = {layer: edges_of(jnp.asarray(values)) for layer, values in features.items()}
    return {a: round(float(edge_similarity(of[a], of[b])), 3) for a, b in OVERWRITTEN.items()}
