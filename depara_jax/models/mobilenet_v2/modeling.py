"""MobileNetV2 in Flax NNX, inference mode, images [n, h, w, 3]."""

from depara_jax.models.layers.inverted import InvertedNetwork

__all__ = ["MobileNetV2"]


class MobileNetV2(InvertedNetwork):
    """Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018."""
