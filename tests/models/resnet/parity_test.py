"""ResNets against PyTorch, narrow, on random weights: block by block, whole, input gradients."""

import pytest

from depara_jax.models.resnet import ResNet, ResNetConfig, schemes
from tests.references.vgg_state import random_images

torch = pytest.importorskip("torch", reason="parity needs PyTorch: the [torch] extra")
pytestmark = pytest.mark.parity

from tests.references import torch_parity, torch_resnet  # noqa: E402 - needs torch


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(18, num_classes=7, width=1 / 8),
        ResNetConfig(50, num_classes=7, width=1 / 8),
        ResNetConfig(20, "cifar", num_classes=7),
    ],
    ids=lambda config: config.architecture,
)
def test_it_computes_what_pytorch_does(config, record_property):
    reference = torch_parity.randomise(torch_resnet.ResNet(config))
    # 65 pixels: odd sizes show where the paddings differ.
    images = random_images(2, 65 if config.family == "imagenet" else 32, seed=1)
    pairs = {
        f"stages.{b}.{u}": f"layer{b + 1}.{u}"
        for b, count in enumerate(config.units)
        for u in range(count)
        if u < 2  # the units after these are all alike
    } | {"fc": "fc"}
    arguments = (ResNet, config, schemes(config), reference, images)
    torch_parity.check(
        record_property,
        torch_parity.block_errors(*arguments, pairs),
        torch_parity.whole_errors(*arguments),
    )


@pytest.mark.parametrize(
    "config",
    [ResNetConfig(d, num_classes=7, width=1 / 16) for d in (34, 101, 152)]
    + [ResNetConfig(d, "cifar", num_classes=7) for d in (32, 44, 56, 110)],
    ids=lambda config: config.architecture,
)
def test_every_depth_s_tensors_have_their_place(config):
    # The units are alike; what differs is how many there are.
    state = torch_parity.state_of(torch_resnet.ResNet(config))
    torch_parity.convert(ResNet, config, schemes(config), state)
