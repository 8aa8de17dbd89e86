"""MobileNets and EfficientNet-Lite against PyTorch, narrow, on random weights."""

import pytest

from depara_jax.models import efficientnet_lite, mobilenet_v1, mobilenet_v2
from tests.references.vgg_state import random_images

torch = pytest.importorskip("torch", reason="parity needs PyTorch: the [torch] extra")
pytestmark = pytest.mark.parity

from tests.references import torch_mobile, torch_parity  # noqa: E402 - needs torch


def check(record_property, network, config, schemes, reference, pairs):
    reference = torch_parity.randomise(reference)
    # 65 pixels: odd sizes show where the paddings differ.
    arguments = (network, config, schemes(config), reference, random_images(2, 65, seed=1))
    torch_parity.check(
        record_property,
        torch_parity.block_errors(*arguments, pairs),
        torch_parity.whole_errors(*arguments),
    )


def test_mobilenet_v1(record_property):
    config = mobilenet_v1.MobileNetV1Config(1 / 8, num_classes=7, padding="torch", epsilon=1e-5)
    places = [(s, b) for s, count in enumerate((1, 2, 2, 6, 2)) for b in range(count)]
    pairs = {f"blocks.{k}": f"blocks.{s}.{b}" for k, (s, b) in enumerate(places)}
    check(
        record_property,
        mobilenet_v1.MobileNetV1,
        config,
        mobilenet_v1.schemes,
        torch_mobile.MobileNetV1(config),
        pairs | {"classifier": "classifier"},
    )


def test_mobilenet_v2_under_torchvision_s_names(record_property):
    config = mobilenet_v2.MobileNetV2Config(1 / 4, num_classes=7)
    pairs, k = {}, 0
    for s, stage in enumerate(config.blocks):
        for b in range(len(stage)):
            k += 1
            pairs[f"stages.{s}.{b}"] = f"features.{k}"
    check(
        record_property,
        mobilenet_v2.MobileNetV2,
        config,
        mobilenet_v2.schemes,
        torch_mobile.Torchvision(config),
        pairs | {"classifier": "classifier.1"},
    )


def test_efficientnet_lite_under_timm_s_names(record_property):
    config = efficientnet_lite.EfficientNetLiteConfig(0, num_classes=7, narrow=1 / 4)
    pairs = {
        f"stages.{s}.{b}": f"blocks.{s}.{b}"
        for s, stage in enumerate(config.blocks)
        for b in range(len(stage))
    }
    check(
        record_property,
        efficientnet_lite.EfficientNetLite,
        config,
        efficientnet_lite.schemes,
        torch_mobile.Timm(config),
        pairs | {"classifier": "classifier"},
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_size_s_tensors_have_their_place(size):
    # The blocks are alike; what differs is how many there are and how wide.
    config = efficientnet_lite.EfficientNetLiteConfig(size, num_classes=7, narrow=1 / 8)
    state = torch_parity.state_of(torch_mobile.Timm(config))
    torch_parity.convert(
        efficientnet_lite.EfficientNetLite, config, efficientnet_lite.schemes(config), state
    )
