"""Architectures by name: from a seed, from a file, and what is refused."""

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.schemes import count_classes
from depara_jax.models.vgg import VGGConfig
from depara_jax.models.zoo.architectures import ARCHITECTURES, build_model
from depara_jax.spec import InputSpec
from depara_jax.weights.readers import READERS, file_sha256, write_safetensors
from tests.references.vgg_state import random_images, random_state

NARROW = {"width": 1 / 32}  # the full vgg11_bn would be 500 MB


@pytest.fixture
def weights(tmp_path):
    config = VGGConfig(11, batch_norm=True, num_classes=7, width=1 / 32)
    write_safetensors(tmp_path / "seven.safetensors", random_state(config, seed=0))
    return tmp_path / "seven.safetensors"


def test_the_table_names_its_entries():
    assert "vgg19_bn" in ARCHITECTURES
    for name, entry in ARCHITECTURES.items():
        assert entry.name == entry.spec().name == name


def test_the_preprocessing_is_the_caller_s_or_imagenet_s():
    entry = ARCHITECTURES["vgg13"]
    assert entry.spec().input == InputSpec.imagenet()
    assert entry.spec(input=InputSpec.imagenet(64, 64)).input == InputSpec.imagenet(64, 64)


def test_classes_are_counted_in_the_file(weights):
    model = build_model(
        "vgg11_bn", weights=weights, configuration=NARROW, input=InputSpec.imagenet(32, 32)
    )
    assert model.feature_shapes()["classifier.6"] == (7,)
    assert model.spec.sha256 == file_sha256(weights)


def test_another_number_of_classes_than_the_file_has_is_refused(weights):
    with pytest.raises(DeparaError, match=r"wrong shape: classifier\.6\.bias"):
        build_model("vgg11_bn", weights=weights, configuration=NARROW, num_classes=5)


def test_a_seed_gives_the_same_network_again():
    first, again = (
        build_model("vgg11_bn", random_seed=2, num_classes=4, configuration=NARROW)
        for _ in range(2)
    )
    images = random_images(1, 32, seed=0)
    np.testing.assert_array_equal(
        first.forward(first.variables, images)["classifier.6"],
        again.forward(again.variables, images)["classifier.6"],
    )
    assert first.forward == again.forward
    assert first.spec == again.spec


def test_an_unknown_architecture_is_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match="unknown architecture 'vgg19bn'.*'vgg19_bn'"):
        build_model("vgg19bn", random_seed=0)


@pytest.mark.parametrize(
    ("given", "word"), [({}, "neither"), ({"weights": "w.npz", "random_seed": 0}, "both")]
)
def test_weights_or_a_seed_must_be_given(given, word):
    with pytest.raises(DeparaError, match=f"give a weights file or a random seed, got {word}"):
        build_model("vgg11", **given)


def test_a_vgg_is_converted_once(weights_cache, tmp_path, monkeypatch):
    config = VGGConfig(11, batch_norm=True, num_classes=7, width=1 / 32)
    np.savez(tmp_path / "seven.npz", allow_pickle=False, **random_state(config, seed=0))
    first = build_model("vgg11_bn", weights=tmp_path / "seven.npz", configuration=NARROW)
    (kept,) = weights_cache.iterdir()
    assert kept.name.startswith("vgg11_bn-")

    def never(path):
        raise AssertionError(f"{path} was converted again")

    monkeypatch.setitem(READERS, ".npz", never)
    again = build_model("vgg11_bn", weights=tmp_path / "seven.npz", configuration=NARROW)
    assert (again.spec, again.forward) == (first.spec, first.forward)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.variables, first.variables))
    # Another configuration is not taken for it.
    monkeypatch.undo()
    with pytest.raises(DeparaError, match="the tensors do not fit the network"):
        build_model("vgg11_bn", weights=tmp_path / "seven.npz", configuration={"width": 1 / 16})


@pytest.mark.parametrize(
    ("name", "configuration", "message"),
    [
        ("vgg11", {"widht": 0.5}, "unknown field of VGGConfig 'widht'; did you mean 'width'"),
        ("vgg11", {"width": "wide"}, "VGGConfig: width cannot be 'wide'"),
        ("vgg11", {"depth": 12}, "VGGConfig: depth must be"),
        ("convnext_tiny", {"blocks": [[1], [1], [1], [1]]}, "ConvNeXtConfig: .* is not one"),
    ],
)
def test_a_configuration_that_there_is_not_is_refused(name, configuration, message):
    with pytest.raises(DeparaError, match=message):
        build_model(name, random_seed=0, configuration=configuration)


def test_preprocessing_with_other_channels_is_refused():
    with pytest.raises(DeparaError, match=r"vgg13 takes 3 channel\(s\), but .* gives 1"):
        ARCHITECTURES["vgg13"].spec(input=InputSpec(channels="gray", mean=(0.0,), std=(1.0,)))


@pytest.mark.parametrize(
    ("name", "tensors", "count"),
    [
        ("vgg11", {"classifier.6.bias": np.zeros(7)}, 7),
        ("resnet18", {"linear.bias": np.zeros(7)}, 7),
        ("resnet18", {"fc.bias": np.zeros((7, 1))}, None),
        ("cifar_resnet8", {"09.linear.s1.d1.linear.bias": np.zeros(7)}, 7),
        ("mobilenet_v1_0.25", {"conv_preds/bias": np.zeros(7)}, 7),
        ("mobilenet_v1_0.25", {"27.conv.s1.d1.linear.bias": np.zeros(7)}, 7),
        ("mobilenet_v2_0.5", {"classifier.1.bias": np.zeros(7), "classifier.bias": 1}, 7),
        ("mobilenet_v2_0.5", {"52.conv.s1.d1.linear.bias": np.zeros(7)}, 7),
        ("efficientnet_lite0", {"_fc.bias": np.zeros(7)}, 7),
        ("vit_s16", {"heads.head.bias": np.zeros(7)}, 7),
        ("convnext_tiny", {"head.fc.bias": np.zeros(7)}, 7),
        ("convnext_tiny", {"head.bias": np.zeros(7)}, 7),  # converted weights
        ("taskonomy/curvature", {"compress.norm.bias": np.zeros(7)}, None),
    ],
)
def test_classes_are_counted_under_every_naming(name, tensors, count):
    row = ARCHITECTURES[name]
    tensors = {key: np.asarray(value) for key, value in tensors.items()}
    assert count_classes(row.config.logits, row.schemes(row.config), tensors) == count
