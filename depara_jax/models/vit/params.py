"""Where a vision transformer's tensors go: torchvision's and timm's names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.models.schemes import Scheme, torch_layer, torch_norm
from depara_jax.models.vit.config import ViTConfig
from depara_jax.weights.mapping import Rule

__all__ = ["configure", "schemes"]


def schemes(config: ViTConfig) -> tuple[Scheme, ...]:
    """The namings that are known."""
    return (_timm(config), _torchvision(config))


def configure(config: ViTConfig, tensors: Mapping[str, Any]) -> ViTConfig:
    """The configuration that a file's tensors ask for: image size, class token, pooling."""
    position = tensors.get("pos_embed", tensors.get("encoder.pos_embedding"))
    if position is None or position.ndim != 3:
        return config
    token = "cls_token" in tensors or "class_token" in tensors
    side = round((position.shape[1] - token) ** 0.5)
    if side * side + token != position.shape[1]:
        raise DeparaError(
            f"{config.architecture}: {position.shape[1]} position embeddings are no square of "
            "patches (and a class token); models with other tokens are not known"
        )
    mean = "fc_norm.weight" in tensors or not token
    return dataclasses.replace(
        config, image=side * config.patch, class_token=token, pool="mean" if mean else "token"
    )


def _timm(config: ViTConfig) -> Scheme:
    rules = [
        *torch_layer(r"patch_embed\.proj", "patches", "conv"),
        Rule("cls_token", "class_token"),
        Rule("pos_embed", "position"),
    ]
    for k in range(config.depth):
        here, there = rf"blocks\.{k}\.", f"blocks.{k}"
        rules += torch_norm(f"{here}norm1", f"{there}.norm1")
        rules += torch_norm(f"{here}norm2", f"{there}.norm2")
        rules += torch_layer(rf"{here}attn\.qkv", f"{there}.attn.qkv")
        rules += torch_layer(rf"{here}attn\.proj", f"{there}.attn.proj")
        rules += torch_layer(rf"{here}mlp\.fc1", f"{there}.fc1")
        rules += torch_layer(rf"{here}mlp\.fc2", f"{there}.fc2")
    rules += torch_norm("(?:fc_)?norm", "norm") + torch_layer("head", "head")
    return Scheme("timm", r"patch_embed\.proj\.weight", rules)


def _torchvision(config: ViTConfig) -> Scheme:
    rules = [
        *torch_layer("conv_proj", "patches", "conv"),
        Rule("class_token", "class_token"),
        Rule(r"encoder\.pos_embedding", "position"),
    ]
    for k in range(config.depth):
        here, there = rf"encoder\.layers\.encoder_layer_{k}\.", f"blocks.{k}"
        rules += torch_norm(f"{here}ln_1", f"{there}.norm1")
        rules += torch_norm(f"{here}ln_2", f"{there}.norm2")
        rules += [
            Rule(rf"{here}self_attention\.in_proj_weight", f"{there}.attn.qkv.kernel", "linear"),
            Rule(rf"{here}self_attention\.in_proj_bias", f"{there}.attn.qkv.bias"),
        ]
        rules += torch_layer(rf"{here}self_attention\.out_proj", f"{there}.attn.proj")
        # Files older than torchvision 0.14 call the two linear layers linear_1 and linear_2.
        rules += torch_layer(rf"{here}mlp\.(?:0|linear_1)", f"{there}.fc1")
        rules += torch_layer(rf"{here}mlp\.(?:3|linear_2)", f"{there}.fc2")
    rules += torch_norm(r"encoder\.ln", "norm") + torch_layer(r"heads\.head", "head")
    return Scheme("torchvision", r"conv_proj\.weight", rules)
