"""ResNets: names, weights, and the published CIFAR networks on their pictures."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from depara_jax.data.preprocess import preprocess
from depara_jax.errors import DeparaError
from depara_jax.models import build_model, load_model
from depara_jax.models.port import PureForward, convert, flatten_variables, random_variables
from depara_jax.models.resnet import ResNet, ResNetConfig, schemes
from depara_jax.weights.readers import write_safetensors

NARROW = ResNetConfig(18, num_classes=3, width=1 / 16)
SHARED = Path(os.environ.get("DEPARA_SHARED", "nowhere")) / "data"


def random_state(config):
    """Tensors under torchvision's names, from our own shapes."""
    variables = random_variables(ResNet, config, jax.random.key(0))
    names = {"scale": "weight", "mean": "running_mean", "var": "running_var"}
    state = {}
    for name, value in flatten_variables(variables).items():
        *path, kind = name.split(".")
        if path[0] == "stem":
            base = "conv1" if path[1] == "conv" else "bn1"
        elif path[0] == "fc":
            base = "fc"
        else:
            layer = f"layer{int(path[1]) + 1}.{path[2]}"
            k = "01"[path[4] == "norm"]
            part = f"downsample.{k}" if path[3] == "shortcut" else path[3]
            base = f"{layer}.{part.replace('conv', 'bn') if path[4] == 'norm' else part}"
        if kind == "kernel":
            value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
            kind = "weight"
        state[f"{base}.{names.get(kind, kind)}"] = value
    return state


@pytest.mark.parametrize(
    "config", [NARROW, ResNetConfig(50, width=1 / 16), ResNetConfig(20, "cifar")]
)
def test_the_addresses_are_those_that_the_network_returns(config):
    variables = random_variables(ResNet, config, jax.random.key(0))
    images = np.zeros((2, *config.input.shape), np.float32)
    names = []

    def run(variables, images):
        out = PureForward(ResNet, config)(variables, images)
        names.extend(out)
        return out

    shapes = jax.eval_shape(run, variables, images)
    assert tuple(names) == config.layers
    last = config.widths[-1] * (4 if config.bottleneck else 1)
    assert shapes["avgpool"].shape == (2, last)
    side = 7 if config.family == "imagenet" else 8
    stages = len(config.units)
    assert shapes[f"layer{stages}.0"].shape == (2, side, side, last)


def test_torchvision_s_names_and_our_own_give_the_same_variables(tmp_path):
    state = random_state(NARROW)
    state["bn1.num_batches_tracked"] = np.asarray(3)
    variables = convert(ResNet, NARROW, schemes(NARROW), state)
    own = flatten_variables(variables)
    again = flatten_variables(convert(ResNet, NARROW, schemes(NARROW), own))
    assert own.keys() == again.keys()
    for name, value in own.items():
        np.testing.assert_array_equal(value, again[name])
    np.testing.assert_array_equal(
        own["stages.1.0.shortcut.conv.kernel"][0, 0],
        state["layer2.0.downsample.0.weight"][:, :, 0, 0].T,
    )


def test_what_does_not_fit_is_told_in_one_message():
    state = random_state(NARROW)
    del state["layer2.0.downsample.1.bias"]
    state["layer2.5.conv1.weight"] = state["layer2.1.conv1.weight"]
    state["fc.bias"] = np.zeros(3, np.int64)
    with pytest.raises(DeparaError) as caught:
        convert(ResNet, NARROW, schemes(NARROW), state, source="weights file x.pth")
    for part in (
        "weights file x.pth, read as resnet18-x0.0625 under torchvision's names",
        "1 missing: stages.1.0.shortcut.norm.bias",
        "1 unexpected: layer2.5.conv1.weight",
        "1 wrong dtype: fc.bias (int64, fc.bias is float32)",
    ):
        assert part in str(caught.value)


def test_another_family_s_names_are_refused(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", {"features.0.weight": np.zeros(3, np.float32)})
    with pytest.raises(DeparaError, match="is it another architecture's file"):
        build_model("resnet18", weights=tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((19,), "must be 18, 34, 50, 101 or 152"),
        ((18, "cifar"), "6 n \\+ 2"),
        ((18, "imagenet", 0), "at least 1"),
    ],
)
def test_shapes_that_do_not_exist(arguments, message):
    with pytest.raises(DeparaError, match=message):
        ResNetConfig(*arguments)


def test_grey_images_are_refused():
    variables = random_variables(ResNet, NARROW, jax.random.key(0))
    with pytest.raises(DeparaError, match=r"takes images \[n, h, w, 3\]"):
        PureForward(ResNet, NARROW)(variables, np.zeros((1, 32, 32, 1), np.float32))


@pytest.mark.skipif(not SHARED.is_dir(), reason="DEPARA_SHARED does not point to the shared data")
def test_the_published_cifar_network_knows_its_pictures():
    model = load_model(f"cifar_resnet20={SHARED}/zoo/cifar10_resnet20.npz")
    assert model.spec.logits == "fc"
    with np.load(SHARED / "images/cifar_lossless4k.npz") as file:
        pictures, labels = file["X"][::10], file["Y"][::10]
    images = np.stack([preprocess(picture, model.spec.input) for picture in pictures])
    logits = jax.jit(lambda v, x: model.forward(v, x)["fc"])(model.variables, images)
    # .998 on all 4,000: one mistake, at most three, among these 400.
    assert (np.asarray(logits).argmax(1) == labels).mean() >= 0.99
