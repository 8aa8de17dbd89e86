"""Where a MobileNetV1's tensors go: Keras's, timm's and the graph format's names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from depara_jax.models.mobilenet_v1.config import MobileNetV1Config
from depara_jax.models.schemes import Scheme, graph_rules, torch_conv_norm, torch_layer
from depara_jax.weights.mapping import Rule

__all__ = ["configure", "schemes"]

_CONVOLUTIONS = 27  # stem and 13 blocks of two
_KERAS_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
# Blocks of timm's stages; they all are "depthwise separable" blocks there.
_TIMM_STAGES = (1, 2, 2, 6, 2)


def schemes(config: MobileNetV1Config) -> tuple[Scheme, ...]:
    """The namings that are known."""
    return (_keras(config), _timm(config), _graph(config))


def configure(config: MobileNetV1Config, tensors: Mapping[str, Any]) -> MobileNetV1Config:
    """The configuration that a file's names ask for: folded, trunks, PyTorch's padding."""
    if "conv_stem.weight" in tensors:
        return dataclasses.replace(config, padding="torch", epsilon=1e-5)
    if any(name.startswith("conv1/") for name in tensors):
        headless = not any(name.startswith("conv_preds/") for name in tensors)
        return dataclasses.replace(config, num_classes=None) if headless else config
    stem = [name for name in tensors if name.startswith("00.conv.")]
    if not stem:
        return config
    strided = sum(".depthwise.s2." in name for name in tensors if name.endswith(".kernel"))
    numbers = {name[:2] for name in tensors}
    # A trunk ends earlier, or has the heads of another task behind it.
    headless = str(_CONVOLUTIONS) not in numbers or str(_CONVOLUTIONS + 1) in numbers
    return dataclasses.replace(
        config,
        num_classes=None if headless else config.num_classes,
        output_stride=32 if strided == 4 else 16,
        activation="relu6" if "relu6" in stem[0] else "relu",
        folded=True,
        padded_stem="padded" in stem[0],
    )


def _keras(config: MobileNetV1Config) -> Scheme:
    def pair(conv: str, target: str, kernel: str = "kernel", kind: str = "identity") -> list[Rule]:
        return [
            Rule(rf"{conv}/{kernel}", f"{target}.conv.kernel", kind),
            *(Rule(rf"{conv}_bn/{k}", f"{target}.norm.{v}") for k, v in _KERAS_NORM.items()),
        ]

    rules = pair("conv1", "stem")
    for k in range(len(config.blocks)):
        there = f"blocks.{k}"
        # Keras 2 calls a depthwise kernel so; Keras 3 calls it a kernel.
        rules += pair(
            f"conv_dw_{k + 1}", f"{there}.depthwise", "(?:depthwise_)?kernel", "depthwise_hwc1"
        )
        rules += pair(f"conv_pw_{k + 1}", f"{there}.pointwise")
    rules += [
        Rule("conv_preds/kernel", "classifier.kernel", "pointwise"),
        Rule("conv_preds/bias", "classifier.bias"),
    ]
    return Scheme("Keras", "conv1/kernel", rules)


def _timm(config: MobileNetV1Config) -> Scheme:
    rules = torch_conv_norm("conv_stem", "bn1", "stem")
    places = [(s, b) for s, count in enumerate(_TIMM_STAGES) for b in range(count)]
    for k, (s, b) in enumerate(places):
        here = rf"blocks\.{s}\.{b}\."
        rules += torch_conv_norm(
            f"{here}conv_dw", f"{here}bn1", f"blocks.{k}.depthwise", "depthwise"
        )
        rules += torch_conv_norm(f"{here}conv_pw", f"{here}bn2", f"blocks.{k}.pointwise")
    rules += torch_layer("classifier", "classifier", "pointwise")
    return Scheme("timm", r"blocks\.0\.0\.conv_dw\.weight", rules)


def _graph(config: MobileNetV1Config) -> Scheme:
    act = config.activation
    stem = f"conv.s2.d1.{act}" + (".padded" if config.padded_stem else "")
    parts = [(stem, "stem.conv", "conv_ohwi")]
    for k, (_, _, stride) in enumerate(config.blocks):
        parts += [
            (f"depthwise.s{stride}.d1.{act}", f"blocks.{k}.depthwise.conv", "depthwise_1hwc"),
            (f"conv.s1.d1.{act}", f"blocks.{k}.pointwise.conv", "conv_ohwi"),
        ]
    return graph_rules(parts, None if config.num_classes is None else "classifier")
