"""EfficientNet-Lite in Flax NNX, inference mode, images [n, h, w, 3]."""

from flax import nnx

from depara_jax.models.efficientnet_lite.config import EfficientNetLiteConfig
from depara_jax.models.layers.inverted import InvertedNetwork

__all__ = ["EfficientNetLite"]


class EfficientNetLite(InvertedNetwork):
    """EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6."""

    def __init__(self, config: EfficientNetLiteConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
