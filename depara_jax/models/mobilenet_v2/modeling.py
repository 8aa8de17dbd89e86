"""MobileNetV2 in Flax NNX, inference mode, images [n, h, w, 3]."""

from flax import nnx

from depara_jax.models.layers.inverted import InvertedNetwork
from depara_jax.models.mobilenet_v2.config import MobileNetV2Config

__all__ = ["MobileNetV2"]


class MobileNetV2(InvertedNetwork):
    """Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018."""

    def __init__(self, config: MobileNetV2Config, rngs: nnx.Rngs):
        super().__init__(config, rngs)
