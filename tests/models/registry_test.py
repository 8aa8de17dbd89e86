"""Architectures by name: from a seed, from a file, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.registry import ARCHITECTURES, build_model, list_architectures
from depara_jax.models.vgg import VGGConfig
from depara_jax.spec import InputSpec
from depara_jax.weights.readers import READERS, file_sha256, write_safetensors
from tests.references.vgg_state import random_images, random_state


@pytest.fixture
def narrow(monkeypatch):
    """vgg11_bn at a 32nd of its width: the full one would be 500 MB."""
    entry = ARCHITECTURES["vgg11_bn"]

    def config(num_classes):
        return dataclasses.replace(entry.config(num_classes), width=1 / 32)

    table = {**ARCHITECTURES, "vgg11_bn": dataclasses.replace(entry, config=config)}
    monkeypatch.setattr("depara_jax.models.registry.ARCHITECTURES", table)


@pytest.fixture
def weights(tmp_path):
    config = VGGConfig(11, batch_norm=True, num_classes=7, width=1 / 32)
    write_safetensors(tmp_path / "seven.safetensors", random_state(config, seed=0))
    return tmp_path / "seven.safetensors"


def test_the_table_names_its_entries():
    assert list_architectures() == tuple(ARCHITECTURES)
    assert "vgg19_bn" in list_architectures()
    for name, entry in ARCHITECTURES.items():
        assert entry.name == entry.spec().name == name


def test_the_preprocessing_is_the_caller_s_or_imagenet_s():
    entry = ARCHITECTURES["vgg13"]
    assert entry.spec().input == InputSpec.imagenet()
    assert entry.spec(input=InputSpec.imagenet(64, 64)).input == InputSpec.imagenet(64, 64)


def test_classes_are_counted_in_the_file(narrow, weights):
    model = build_model("vgg11_bn", weights=weights, input=InputSpec.imagenet(32, 32))
    assert model.feature_shapes()["classifier.6"] == (7,)
    assert model.spec.sha256 == file_sha256(weights)


def test_another_number_of_classes_than_the_file_has_is_refused(narrow, weights):
    with pytest.raises(DeparaError, match=r"wrong shape: classifier\.6\.bias"):
        build_model("vgg11_bn", weights=weights, num_classes=5)


def test_a_seed_gives_the_same_network_again(narrow):
    first, again = (build_model("vgg11_bn", random_seed=2, num_classes=4) for _ in range(2))
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


def test_a_vgg_is_converted_once(narrow, weights_cache, tmp_path, monkeypatch):
    config = VGGConfig(11, batch_norm=True, num_classes=7, width=1 / 32)
    np.savez(tmp_path / "seven.npz", allow_pickle=False, **random_state(config, seed=0))
    first = build_model("vgg11_bn", weights=tmp_path / "seven.npz")
    (kept,) = weights_cache.iterdir()
    assert kept.name.startswith("vgg11_bn-")

    def never(path):
        raise AssertionError(f"{path} was converted again")

    monkeypatch.setitem(READERS, ".npz", never)
    again = build_model("vgg11_bn", weights=tmp_path / "seven.npz")
    assert (again.spec, again.forward) == (first.spec, first.forward)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.variables, first.variables))
