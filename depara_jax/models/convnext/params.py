"""Where a ConvNeXt's tensors go: torchvision's and timm's names."""

import numpy as np

from depara_jax.models.convnext.config import ConvNeXtConfig
from depara_jax.models.schemes import Scheme, torch_layer, torch_norm
from depara_jax.weights.mapping import Rule

__all__ = ["schemes"]


def schemes(config: ConvNeXtConfig) -> tuple[Scheme, ...]:
    """The namings that are known."""
    return (_timm(config), _torchvision(config))


def _flat(scale: np.ndarray) -> np.ndarray:
    """Torchvision's layer scale is [c, 1, 1], timm's [c]."""
    return scale.reshape(-1)


def _block(
    here: str, there: str, depthwise: str, norm: str, fc1: str, fc2: str, scale: str
) -> list[Rule]:
    return [
        *torch_layer(f"{here}{depthwise}", f"{there}.depthwise", "depthwise"),
        *torch_norm(f"{here}{norm}", f"{there}.norm"),
        *torch_layer(f"{here}{fc1}", f"{there}.fc1"),
        *torch_layer(f"{here}{fc2}", f"{there}.fc2"),
        Rule(f"{here}{scale}", f"{there}.layer_scale", _flat),
    ]


def _timm(config: ConvNeXtConfig) -> Scheme:
    rules = torch_layer(r"stem\.0", "stem", "conv") + torch_norm(r"stem\.1", "stem_norm")
    parts = ("conv_dw", "norm", r"mlp\.fc1", r"mlp\.fc2", "gamma")
    for s, depth in enumerate(config.depths):
        if s:
            rules += torch_norm(rf"stages\.{s}\.downsample\.0", f"downs.{s - 1}.norm")
            rules += torch_layer(rf"stages\.{s}\.downsample\.1", f"downs.{s - 1}.conv", "conv")
        for b in range(depth):
            rules += _block(rf"stages\.{s}\.blocks\.{b}\.", f"stages.{s}.{b}", *parts)
    rules += torch_norm(r"head\.norm", "norm") + torch_layer(r"head\.fc", "head")
    return Scheme("timm", r"stages\.0\.blocks\.0\.conv_dw\.weight", rules)


def _torchvision(config: ConvNeXtConfig) -> Scheme:
    rules = torch_layer(r"features\.0\.0", "stem", "conv") + torch_norm(
        r"features\.0\.1", "stem_norm"
    )
    parts = (r"block\.0", r"block\.2", r"block\.3", r"block\.5", "layer_scale")
    for s, depth in enumerate(config.depths):
        if s:
            rules += torch_norm(rf"features\.{2 * s}\.0", f"downs.{s - 1}.norm")
            rules += torch_layer(rf"features\.{2 * s}\.1", f"downs.{s - 1}.conv", "conv")
        for b in range(depth):
            rules += _block(rf"features\.{2 * s + 1}\.{b}\.", f"stages.{s}.{b}", *parts)
    rules += torch_norm(r"classifier\.0", "norm") + torch_layer(r"classifier\.2", "head")
    return Scheme("torchvision", r"features\.1\.0\.block\.0\.weight", rules)
