"""Where a ResNet's tensors go: torchvision's and timm's names are the same, CIFAR's nearly so."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from depara_jax.models.resnet.config import ResNetConfig
from depara_jax.models.schemes import Scheme, graph_rules, torch_conv_norm, torch_layer

__all__ = ["configure", "schemes"]


def schemes(config: ResNetConfig) -> tuple[Scheme, ...]:
    """The names of torchvision and timm, which agree, and of akamaster's CIFAR ResNets."""
    rules = torch_conv_norm("conv1", "bn1", "stem")
    for b, count in enumerate(config.units):
        for u in range(count):
            here, there = rf"layer{b + 1}\.{u}\.", f"stages.{b}.{u}"
            for k in (1, 2, 3) if config.bottleneck else (1, 2):
                rules += torch_conv_norm(f"{here}conv{k}", f"{here}bn{k}", f"{there}.conv{k}")
            rules += torch_conv_norm(
                rf"{here}downsample\.0", rf"{here}downsample\.1", f"{there}.shortcut"
            )
    rules += torch_layer("(?:fc|linear)", "fc")
    return (Scheme("torchvision", r"layer1\.0\.conv1\.weight", rules), _graph(config))


def configure(config: ResNetConfig, tensors: Mapping[str, Any]) -> ResNetConfig:
    """The configuration that a file's names ask for: the graph format's is TensorFlow's variant."""
    graph = any(name.startswith("00.conv.") for name in tensors)
    return dataclasses.replace(config, tensorflow=True) if graph else config


def _graph(config: ResNetConfig) -> Scheme:
    """MLPerf Tiny's ResNet-8 in the order of its execution."""
    parts = [("conv.s1.d1.relu", "stem.conv", "conv_ohwi")]
    for b, count in enumerate(config.units):
        for u in range(count):
            there, stride = f"stages.{b}.{u}", 2 if b and not u else 1
            parts.append((f"conv.s{stride}.d1.relu", f"{there}.conv1.conv", "conv_ohwi"))
            parts.append(("conv.s1.d1.linear", f"{there}.conv2.conv", "conv_ohwi"))
            if stride == 2:
                parts.append(("conv.s2.d1.linear", f"{there}.shortcut.conv", "conv_ohwi"))
    return graph_rules(parts, "fc")
