"""ConvNeXt against PyTorch, narrow, on random weights."""

import jax
import pytest

from depara_jax.models.convnext import ConvNeXt, ConvNeXtConfig, schemes
from depara_jax.models.port import PureForward
from tests.references.vgg_state import random_images

torch = pytest.importorskip("torch", reason="parity needs PyTorch: the [torch] extra")
pytestmark = pytest.mark.parity

from tests.references import torch_convnext, torch_parity  # noqa: E402 - needs torch

SMALL = ConvNeXtConfig("tiny", 7, narrow=1 / 12, blocks=(1, 1, 2, 1))


def test_it_computes_what_pytorch_does(record_property):
    reference = torch_parity.randomise(torch_convnext.Timm(SMALL))
    pairs = {f"stages.{s}.0": f"stages.{s}.blocks.0" for s in range(4)}  # the others are alike
    pairs |= {"head": "head.fc"}
    arguments = (ConvNeXt, SMALL, schemes(SMALL), reference, random_images(2, 70, seed=1))
    torch_parity.check(
        record_property,
        torch_parity.block_errors(*arguments, pairs),
        torch_parity.whole_errors(*arguments),
    )


def test_torchvision_s_names_give_the_same_network():
    reference = torch_parity.randomise(torch_convnext.Torchvision(SMALL))
    images = random_images(2, 70, seed=1)
    state = torch_parity.state_of(reference)
    variables = torch_parity.convert(ConvNeXt, SMALL, schemes(SMALL), state)
    got = jax.jit(lambda v, x: PureForward(ConvNeXt, SMALL)(v, x)["head"])(variables, images)
    want = reference(torch_parity.to_torch(images)).numpy()
    # The blocks' errors of 1e-6 add up.
    assert torch_parity.relative(got, want) < 1e-4


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_every_size_s_tensors_have_their_place(size):
    config = ConvNeXtConfig(size, 7, narrow=1 / 16)
    state = torch_parity.state_of(torch_convnext.Timm(config))
    torch_parity.convert(ConvNeXt, config, schemes(config), state)
