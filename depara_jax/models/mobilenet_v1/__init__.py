"""MobileNetV1, for ImageNet and as the trunk of other networks."""

from depara_jax.models.mobilenet_v1.config import MobileNetV1Config
from depara_jax.models.mobilenet_v1.modeling import MobileNetV1
from depara_jax.models.mobilenet_v1.params import configure, schemes

__all__ = ["MobileNetV1", "MobileNetV1Config", "configure", "schemes"]
