"""EfficientNet-Lite0..4."""

from depara_jax.models.efficientnet_lite.config import EfficientNetLiteConfig
from depara_jax.models.efficientnet_lite.modeling import EfficientNetLite
from depara_jax.models.efficientnet_lite.params import schemes

__all__ = ["EfficientNetLite", "EfficientNetLiteConfig", "schemes"]
