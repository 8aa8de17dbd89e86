"""Features of a network's layers over a whole probe set: a walk without gradients."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from depara_jax.types import ModelLike, ProbeLike
from depara_jax.walk.placement import Placement, to_host
from depara_jax.walk.views import View
from depara_jax.walk.walk import Progress, Walk

__all__ = ["layer_features"]


def layer_features(
    model: ModelLike,
    probe: ProbeLike,
    layers: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> dict[str, Float32[np.ndarray, "n d"]]:
    """Flattened features of some layers over the whole probe set, on the host.

    NaN is returned as it is: what it means is for whoever scores the features.

    Args:
      model: the network.
      probe: images.
      layers: names.
      batch_size: images a step; by default from the input size.
      progress: called with (steps done, steps in all).
      placement: devices to spread images and parameters over; by default JAX's first.

    Raises:
      UnknownNameError: a layer that the model does not have.
      DeparaError: an empty probe set.
    """
    view = View(model, tuple(model.spec.check_layer(layer) for layer in layers))
    walk = Walk([view], probe, batch_size=batch_size, progress=progress, placement=placement)
    chunks = [[to_host(values) for values in chunk.features] for chunk in walk]
    return {
        layer: np.concatenate(parts)
        for layer, parts in zip(view.layers, zip(*chunks, strict=True), strict=True)
    }
