"""Where a MobileNetV2's tensors go: torchvision's, timm's and the graph format's names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from depara_jax.models.layers.inverted import graph_scheme, timm_scheme
from depara_jax.models.mobilenet_v2.config import MobileNetV2Config
from depara_jax.models.schemes import Scheme, torch_conv_norm, torch_layer

__all__ = ["configure", "schemes"]

_CONVOLUTIONS = 52  # stem, 17 blocks (the first without expansion) and the last


def schemes(config: MobileNetV2Config) -> tuple[Scheme, ...]:
    """The namings that are known."""
    return (_torchvision(config), timm_scheme(config), graph_scheme(config))


def configure(config: MobileNetV2Config, tensors: Mapping[str, Any]) -> MobileNetV2Config:
    """The configuration that a file's names ask for: TensorFlow's padding, folded, trunks."""
    if not any(name.startswith("00.conv.") for name in tensors):
        return config
    kernels = [name for name in tensors if name.endswith(".kernel")]
    dilated = any(".d2." in name for name in kernels)
    trunk = f"{_CONVOLUTIONS - 1:02d}.conv.s1.d1.relu6.kernel" not in tensors
    # Twelve channels in the second stage of DeepLab's half as wide trunk: not a multiple of 8.
    channels = next(v.shape[0] for k, v in tensors.items() if k.startswith("05.conv."))
    fits = [
        divisor
        for divisor in (8, 1)
        if dataclasses.replace(config, divisor=divisor).blocks[1][0].n_out == channels
    ]
    return dataclasses.replace(
        config,
        num_classes=None if trunk else config.num_classes,
        head=not trunk,
        output_stride=16 if dilated else 32,
        divisor=fits[0] if fits else 8,
        padding="same",
        folded=True,
    )


def _torchvision(config: MobileNetV2Config) -> Scheme:
    rules = torch_conv_norm(r"features\.0\.0", r"features\.0\.1", "stem")
    k = 0
    for s, stage in enumerate(config.blocks):
        for b, shape in enumerate(stage):
            k += 1
            here, there = rf"features\.{k}\.conv\.", f"stages.{s}.{b}"
            inner = ["depthwise"] if shape.expansion == 1 else ["expand", "depthwise"]
            for i, part in enumerate(inner):
                kind = "depthwise" if part == "depthwise" else "conv"
                rules += torch_conv_norm(
                    rf"{here}{i}\.0", rf"{here}{i}\.1", f"{there}.{part}", kind
                )
            i = len(inner)
            rules += torch_conv_norm(f"{here}{i}", f"{here}{i + 1}", f"{there}.project")
    rules += torch_conv_norm(rf"features\.{k + 1}\.0", rf"features\.{k + 1}\.1", "head")
    rules += torch_layer(r"classifier\.1", "classifier", "pointwise")
    return Scheme("torchvision", r"features\.1\.conv\.0\.0\.weight", rules)
