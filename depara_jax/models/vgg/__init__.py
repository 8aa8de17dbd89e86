"""VGG-11, 13, 16 and 19, with and without batch normalisation."""

from depara_jax.models.vgg.config import VGGConfig
from depara_jax.models.vgg.modeling import VGG, forward, vgg, vgg_spec
from depara_jax.models.vgg.params import convert, count_classes, load, random_variables, rules

__all__ = [
    "VGG",
    "VGGConfig",
    "convert",
    "count_classes",
    "forward",
    "load",
    "random_variables",
    "rules",
    "vgg",
    "vgg_spec",
]
