"""VGG-11, 13, 16 and 19, with and without batch normalisation."""

from depara_jax.models.vgg.config import VGGConfig
from depara_jax.models.vgg.modeling import VGG
from depara_jax.models.vgg.params import schemes

__all__ = ["VGG", "VGGConfig", "schemes"]
