"""Where a ResNet's tensors go: torchvision's and timm's names are the same, CIFAR's nearly so."""

from collections.abc import Mapping
from typing import Any

from depara_jax.models.port import Scheme, count_outputs, torch_conv_norm
from depara_jax.models.resnet.config import ResNetConfig
from depara_jax.weights.mapping import Rule

__all__ = ["count_classes", "schemes"]


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
    rules += [
        Rule(r"(?:fc|linear)\.weight", "fc.kernel", "linear"),
        Rule(r"(?:fc|linear)\.bias", "fc.bias"),
    ]
    return (Scheme("torchvision", r"layer1\.0\.conv1\.weight", rules),)


def count_classes(tensors: Mapping[str, Any]) -> int | None:
    """Outputs of the last linear layer; None where there is none to be seen."""
    return count_outputs(tensors, "fc.bias", "linear.bias")
