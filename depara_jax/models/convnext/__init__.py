"""ConvNeXt T, S, B and L."""

from depara_jax.models.convnext.config import ConvNeXtConfig
from depara_jax.models.convnext.modeling import ConvNeXt
from depara_jax.models.convnext.params import schemes

__all__ = ["ConvNeXt", "ConvNeXtConfig", "schemes"]
