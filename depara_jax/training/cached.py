"""Features computed once: with everything below a cut frozen they are the same in every epoch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.spec import InputSpec
from depara_jax.training.loop import predict
from depara_jax.training.prepare import Data, Images
from depara_jax.training.units import Network, Values

__all__ = ["CachedFeatures", "ChosenView", "cached_features"]


@dataclasses.dataclass(frozen=True, eq=False)
class CachedFeatures:
    """Features at a cut of each image as it is and mirrored.

    Attributes:
      labels: int [n].
      take: rows -> float32 [b, views, ...].
    """

    labels: np.ndarray
    take: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class ChosenView:
    """[b, views, ...] -> one view of each image, by chance when training, otherwise the first."""

    def __call__(self, raw: Any, key: jax.Array | None) -> jax.Array:
        """See `Prepare`."""
        views = jnp.asarray(raw)
        if key is None:
            return views[:, 0]
        chosen = jax.random.randint(key, (views.shape[0],), 0, views.shape[1])
        return views[jnp.arange(views.shape[0]), chosen]


def cached_features(
    network: Network,
    frozen: Values,
    data: Data,
    input: InputSpec,
    *,
    stop: int,
    start: int = 0,
    mirrored: bool = True,
) -> CachedFeatures:
    """Runs units `start` to `stop` in inference mode over all images once.

    Args:
      network: the chain.
      frozen: values of these units at least.
      data: images (`start` 0), or the features of a cut below.
      input: how images are normalised.
      stop: position of the first unit above the cut.
      start: position of the first unit that the data enter.
      mirrored: keep each image's mirror image as a second view.
    """
    values = {**{n: jnp.zeros(s) for n, s in network.shapes.items() if n not in frozen}, **frozen}
    if start == 0:
        plain = Images(input, flip=False)
        views = [predict(network, values, data, plain, stop=stop)]
        if mirrored:
            turned = CachedFeatures(data.labels, lambda rows: data.take(rows)[:, :, ::-1])
            views.append(predict(network, values, turned, plain, stop=stop))
    else:
        count = data.take(np.arange(1)).shape[1]
        views = [
            predict(network, values, _view(data, i), ChosenView(), start=start, stop=stop)
            for i in range(count)
        ]
    features = np.stack(views, axis=1)
    return CachedFeatures(data.labels, lambda rows: features[rows])


def _view(data: Data, index: int) -> CachedFeatures:
    return CachedFeatures(data.labels, lambda rows: data.take(rows)[:, index : index + 1])
