"""Vision transformers against PyTorch, narrow, on random weights."""

import dataclasses

import pytest

from depara_jax.models.vit import ViT, ViTConfig, configure, schemes
from tests.references.vgg_state import random_images

torch = pytest.importorskip("torch", reason="parity needs PyTorch: the [torch] extra")
pytestmark = pytest.mark.parity

from tests.references import torch_parity, torch_vit  # noqa: E402 - needs torch

SMALL = ViTConfig("b", 16, 7, image=48, blocks=3, narrow=1 / 6)


@pytest.mark.parametrize(
    ("config", "build"),
    [
        (SMALL, torch_vit.Torchvision),
        (dataclasses.replace(SMALL, patch=8, size="s", narrow=1 / 3), torch_vit.Timm),
        (dataclasses.replace(SMALL, pool="mean"), torch_vit.Timm),
        (dataclasses.replace(SMALL, pool="mean", class_token=False), torch_vit.Timm),
    ],
    ids=["torchvision", "timm", "mean", "no_token"],
)
def test_it_computes_what_pytorch_does(config, build, record_property):
    reference = torch_parity.randomise(build(config))
    state = torch_parity.state_of(reference)
    plain = dataclasses.replace(config, image=224, pool="token", class_token=True)
    assert configure(plain, state) == config
    blocks = "encoder.layers.encoder_layer_" if build is torch_vit.Torchvision else "blocks."
    head = "heads.head" if build is torch_vit.Torchvision else "head"
    pairs = {f"blocks.{k}": f"{blocks}{k}" for k in range(config.depth)} | {"head": head}
    arguments = (ViT, config, schemes(config), reference, random_images(2, 48, seed=1))
    torch_parity.check(
        record_property,
        torch_parity.block_errors(*arguments, pairs),
        torch_parity.whole_errors(*arguments),
    )
