"""MobileNetV2, for ImageNet and as the trunk of other networks."""

from depara_jax.models.mobilenet_v2.config import MobileNetV2Config
from depara_jax.models.mobilenet_v2.modeling import MobileNetV2
from depara_jax.models.mobilenet_v2.params import configure, schemes

__all__ = ["MobileNetV2", "MobileNetV2Config", "configure", "schemes"]
