"""EfficientNet-Lite in Flax NNX, inference mode, images [n, h, w, 3]."""

from depara_jax.models.layers.inverted import InvertedNetwork

__all__ = ["EfficientNetLite"]


class EfficientNetLite(InvertedNetwork):
    """EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6."""
