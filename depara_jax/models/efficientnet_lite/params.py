"""Where an EfficientNet-Lite's tensors go: efficientnet-lite-pytorch's and timm's names."""

from depara_jax.models.efficientnet_lite.config import EfficientNetLiteConfig
from depara_jax.models.layers.inverted import timm_scheme
from depara_jax.models.schemes import Scheme, torch_conv_norm, torch_layer

__all__ = ["schemes"]


def schemes(config: EfficientNetLiteConfig) -> tuple[Scheme, ...]:
    """The namings that are known."""
    rules = torch_conv_norm("_conv_stem", "_bn0", "stem")
    k = 0
    for s, stage in enumerate(config.blocks):
        for b, shape in enumerate(stage):
            here, there = rf"_blocks\.{k}\.", f"stages.{s}.{b}"
            if shape.expansion != 1:
                rules += torch_conv_norm(f"{here}_expand_conv", f"{here}_bn0", f"{there}.expand")
            rules += torch_conv_norm(
                f"{here}_depthwise_conv", f"{here}_bn1", f"{there}.depthwise", "depthwise"
            )
            rules += torch_conv_norm(f"{here}_project_conv", f"{here}_bn2", f"{there}.project")
            k += 1
    rules += torch_conv_norm("_conv_head", "_bn1", "head")
    rules += torch_layer("_fc", "classifier", "pointwise")
    own = Scheme("efficientnet-lite-pytorch", r"_conv_stem\.weight", rules)
    return (own, timm_scheme(config))
