"""ConvNeXt against PyTorch, narrow, on random weights."""

import pytest

from depara_jax.models.convnext import ConvNeXt, ConvNeXtConfig, schemes
from tests.references.vgg_state import random_images

torch = pytest.importorskip("torch", reason="parity needs PyTorch: the [torch] extra")
pytestmark = pytest.mark.parity

from tests.references import torch_convnext, torch_parity  # noqa: E402 - needs torch

SMALL = ConvNeXtConfig("tiny", 7, narrow=1 / 12)


@pytest.mark.parametrize("build", [torch_convnext.Torchvision, torch_convnext.Timm])
def test_it_computes_what_pytorch_does(build, record_property):
    reference = torch_parity.randomise(build(SMALL))
    timm = build is torch_convnext.Timm
    pairs = {
        f"stages.{s}.{b}": f"stages.{s}.blocks.{b}" if timm else f"features.{2 * s + 1}.{b}"
        for s, depth in enumerate(SMALL.depths)
        for b in range(depth)
        if b in (0, depth - 1)  # the blocks between are all alike
    }
    pairs |= {"head": "head.fc" if timm else "classifier.2"}
    arguments = (ConvNeXt, SMALL, schemes(SMALL), reference, random_images(2, 70, seed=1))
    torch_parity.check(
        record_property,
        torch_parity.block_errors(*arguments, pairs),
        torch_parity.whole_errors(*arguments),
    )


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_every_size_s_tensors_have_their_place(size):
    config = ConvNeXtConfig(size, 7, narrow=1 / 16)
    state = torch_parity.state_of(torch_convnext.Timm(config))
    torch_parity.convert(ConvNeXt, config, schemes(config), state)
