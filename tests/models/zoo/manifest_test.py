"""Zoos of one's own: TOML manifests, the cache of converted weights, and the verbs over them."""

import dataclasses
import hashlib
import json
import sys

import jax
import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import build_model, list_models, load_model
from depara_jax.models.port import PureForward, flatten_variables, random_variables
from depara_jax.models.resnet import ResNet, ResNetConfig
from depara_jax.weights.readers import write_safetensors

CONFIG = ResNetConfig(8, "cifar", num_classes=3)

FACTORY = """
import jax.numpy as jnp
from depara_jax.models import InputSpec, Model

def colour():
    forward = lambda w, x: {"mean": x.mean(axis=(1, 2)), "out": jnp.tanh(x.mean(axis=(1, 2)) @ w)}
    return Model.from_function(forward, jnp.eye(3), name="whatever", input=InputSpec(size=(16, 16)))

def weighted(weights):
    return Model.from_function(
        lambda w, x: {"out": x.reshape(len(x), -1)[:, :9] * w},
        jnp.asarray(float(weights.read_text())), name="w", input=InputSpec(size=(16, 16)))

def broken():
    raise RuntimeError("no such thing")

def wrong():
    return 3
"""


@pytest.fixture
def zoo(tmp_path):
    """A folder with a manifest of an npz network and two factories."""
    tensors = flatten_variables(random_variables(ResNet, CONFIG, jax.random.key(0)))
    np.savez(tmp_path / "small.npz", **tensors)
    digest = hashlib.sha256((tmp_path / "small.npz").read_bytes()).hexdigest()
    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "scale.txt").write_text("2.5")
    path = tmp_path / "zoo.toml"
    path.write_text(f"""
format = 1
zoo = "mine"
[[model]]
name = "small"
architecture = "cifar_resnet8"
weights = "small.npz"
sha256 = "{digest}"
task = "three things"
licence = "MIT"
input = {{size = [32, 32], scale = [-1.0, 1.0]}}
[[model]]
name = "colour"
factory = "mine.py:colour"
encoder = "mean"
[[model]]
name = "weighted"
factory = "mine.py:weighted"
weights = "scale.txt"
task = "scaling"
""")
    return path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_manifest_s_networks_are_listed_and_loaded(zoo):
    specs = list_models(str(zoo))
    assert [(s.name, s.zoo, s.task) for s in specs] == [
        ("small", "mine", "three things"),
        ("colour", "mine", None),
        ("weighted", "mine", "scaling"),
    ]
    small = load_model("small", zoo=str(zoo))
    assert small.spec == specs[0]
    assert small.spec.input.scale == (-1.0, 1.0)
    assert load_model(f"{zoo}/colour").spec.encoder == "mean"
    weighted = load_model("weighted", zoo=str(zoo))
    assert float(weighted.variables) == 2.5
    assert len(weighted.spec.sha256) == 64


def test_a_changed_file_is_listed_anew(zoo):
    first = list_models(str(zoo))[2].sha256
    (zoo.parent / "scale.txt").write_text("3.25")
    assert list_models(str(zoo))[2].sha256 != first


def test_a_folder_with_a_zoo_toml_stands_for_it(zoo):
    assert list_models(zoo.parent) == list_models(zoo)
    assert load_model(f"{zoo.parent}/colour").spec == load_model("colour", zoo=zoo).spec


def test_weights_are_not_read_where_the_entry_says_enough(zoo):
    edit(zoo, 'licence = "MIT"', "configuration = {num_classes = 3}")
    loaded = load_model("small", zoo=zoo).spec
    whole = list_models(zoo)
    (zoo.parent / "small.npz").rename(zoo.parent / "elsewhere.npz")
    assert list_models(zoo) == whole
    assert whole[0] == loaded
    # The file decides on the layers.
    edit(zoo, "configuration = {num_classes = 3}", 'licence = "MIT"')
    with pytest.raises(DeparaError, match="model 'small': .*small.npz does not exist"):
        list_models(zoo)


def test_a_configuration_is_the_network_s(zoo):
    narrow = dataclasses.replace(CONFIG, width=0.5)
    tensors = flatten_variables(random_variables(ResNet, narrow, jax.random.key(0)))
    write_safetensors(zoo.parent / "narrow.safetensors", tensors)
    with open(zoo, "a") as file:
        file.write("""[[model]]
name = "narrow"
architecture = "cifar_resnet8"
weights = "narrow.safetensors"
[model.configuration]
width = 0.5
""")
    model = load_model("narrow", zoo=zoo)
    assert model.forward == PureForward(ResNet, narrow)
    assert model.spec == list_models(zoo)[-1]
    edit(zoo, "width = 0.5", "width = 1")
    with pytest.raises(DeparaError, match="model 'narrow': .* do not fit the network"):
        load_model("narrow", zoo=zoo)


def test_a_zoo_of_the_format_before_is_told_what_to_do(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["models", "--zoo", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"zoo {tmp_path} has a manifest.json, which is no longer read; write a zoo.toml" in said


@pytest.mark.parametrize(
    "content", [b"{", b"model = 3", b"a = " + b"[" * 99999, b"\xff", b"model = [3]"]
)
def test_what_is_no_manifest_is_refused(zoo, content):
    zoo.write_bytes(b'format = 1\nzoo = "x"\n' + content)
    with pytest.raises(DeparaError, match=f"zoo manifest {zoo}") as caught:
        list_models(zoo)
    assert len(str(caught.value)) < 1000


def test_environment_variables_and_home_are_expanded(zoo, monkeypatch):
    monkeypatch.setenv("MY_WEIGHTS", str(zoo.parent))
    edit(zoo, 'weights = "small.npz"', 'weights = "$MY_WEIGHTS/small.npz"')
    assert load_model("small", zoo=str(zoo)).spec.name == "small"


def test_verbs_take_a_manifest(zoo, capsys):
    assert main(["models", "--zoo", str(zoo), "--json", "-"]) == 0
    assert [m["name"] for m in json.loads(capsys.readouterr().out)["models"]] == [
        "small",
        "colour",
        "weighted",
    ]
    assert main(["models", "small", "--layers", "--zoo", str(zoo), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"]["avgpool"] == [64]
    arguments = ["--zoo", str(zoo), "--target", "small", "--images", "8", "--json", "-"]
    assert main(["rank-models", *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert sorted(row["model"] for row in result["ranking"]) == ["colour", "weighted"]
    # The smallest of 32 and 16 pixels.
    assert result["recipe"]["grid"] is None or result["recipe"]["grid"] == 16


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "the first line must be `format = 1`, found 2"),
        ('zoo = "mine"', "", "it needs a name"),
        ("[[model]]", "[[models]]", "at least one"),
        ('zoo = "mine"', 'zoo = "mine', "is not TOML: "),
        ('name = "colour"', 'name = "small"', "model 'small': the name is there twice"),
        ('name = "colour"', 'name = "a=b"', "it needs a name without"),
        ('licence = "MIT"', "licence = 3", "model 'small': licence cannot be 3"),
        ('licence = "MIT"', 'licens = "MIT"', "unknown field 'licens'; did you mean 'licence'"),
        ('"cifar_resnet8"', '"cifar_resnet9"', "unknown architecture 'cifar_resnet9'; did you"),
        ('factory = "mine.py:colour"', "", "give an architecture or a factory"),
        ('weights = "small.npz"\n', "", "an architecture needs weights"),
        ("size = [32, 32]", "sizes = [32, 32]", "input: .*sizes"),
        ("size = [32, 32]", "size = [0, 32]", "input: InputSpec: size must be at least 1"),
        ("size = [32, 32]", "size = 32", "input: size must be two whole numbers, got 32"),
        ("scale = [-1.0, 1.0]", 'scale = "x"', "input: scale must be a list of numbers"),
        ("scale = [-1.0, 1.0]", 'resize = "x"', "input: resize cannot be 'x'"),
        ('licence = "MIT"', "configuration = 3", "configuration cannot be 3"),
        ('licence = "MIT"', "configuration = {widht = 2}", "unknown field of ResNetConfig 'widht'"),
        ('licence = "MIT"', 'configuration = {width = "x"}', "ResNetConfig: width cannot be 'x'"),
        ('encoder = "mean"', "configuration = {}", "a configuration needs an architecture"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_entry_s_name(zoo, old, new, message):
    edit(zoo, old, new)
    with pytest.raises(DeparaError, match=message) as caught:
        list_models(str(zoo))
    assert str(zoo) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('weights = "small.npz"', 'weights = "gone.npz"', "gone.npz does not exist"),
        ('sha256 = "', 'sha256 = "00', "small.npz has sha256 .*, the manifest says 00"),
        ("mine.py:colour", "mine.py:broken", "failed: RuntimeError: no such thing"),
        ("mine.py:colour", "mine.py:wrong", "returned a int, expected a Model"),
        ("mine.py:colour", "mine.py:gone", "failed: AttributeError"),
        ("mine.py:colour", "gone.py:colour", "expected FILE.py:FUNCTION, found no"),
        ('encoder = "mean"', 'encoder = "meen"', "did you mean 'mean'"),
    ],
)
def test_what_is_wrong_with_a_network_names_it(zoo, old, new, message):
    edit(zoo, old, new)
    name = "colour" if "mine" in old or "encoder" in old else "small"
    with pytest.raises(DeparaError, match=f"model '{name}': .*{message}"):
        load_model(name, zoo=str(zoo))


def test_names_that_are_not_there(zoo, tmp_path):
    with pytest.raises(UnknownNameError, match="model of zoo 'mine' 'smal'; did you mean 'small'"):
        load_model(f"{zoo}/smal")
    with pytest.raises(DeparaError, match="nothing.toml does not exist"):
        list_models(str(tmp_path / "nothing.toml"))


def test_the_command_line_says_it_in_one_line(zoo, capsys):
    edit(zoo, 'sha256 = "', 'sha256 = "00')
    assert main(["models", "--zoo", str(zoo)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_converted_weights_are_kept_and_found_again(zoo, weights_cache, monkeypatch):
    first = build_model("cifar_resnet8", weights=zoo.parent / "small.npz")
    (kept,) = weights_cache.iterdir()
    assert kept.name.startswith("cifar_resnet8-")

    def never(path):
        raise AssertionError(f"{path} was converted again")

    monkeypatch.setitem(vars(sys.modules["depara_jax.weights.readers"])["READERS"], ".npz", never)
    again = build_model("cifar_resnet8", weights=zoo.parent / "small.npz")
    assert again.spec == first.spec
    assert again.forward == first.forward
    for name, value in flatten_variables(first.variables).items():
        np.testing.assert_array_equal(flatten_variables(again.variables)[name], value)
    # The kept file can be named itself, as this architecture alone.
    named = build_model("cifar_resnet8", weights=kept)
    assert named.forward == first.forward
    with pytest.raises(DeparaError, match="holds a cifar_resnet8, not a cifar_resnet20"):
        build_model("cifar_resnet20", weights=kept)


def test_a_damaged_cache_is_converted_anew(zoo, weights_cache):
    build_model("cifar_resnet8", weights=zoo.parent / "small.npz")
    (kept,) = weights_cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert build_model("cifar_resnet8", weights=zoo.parent / "small.npz").spec.logits == "fc"


def test_another_file_of_that_name_is_not_taken_for_the_first(zoo):
    first = build_model("cifar_resnet8", weights=zoo.parent / "small.npz")
    other = flatten_variables(random_variables(ResNet, CONFIG, jax.random.key(1)))
    np.savez(zoo.parent / "small.npz", **other)
    second = build_model("cifar_resnet8", weights=zoo.parent / "small.npz")
    assert first.spec.sha256 != second.spec.sha256
    np.testing.assert_array_equal(
        flatten_variables(second.variables)["fc.kernel"], other["fc.kernel"]
    )


def test_safetensors_of_one_s_own_are_not_copied(tmp_path, weights_cache):
    tensors = flatten_variables(random_variables(ResNet, CONFIG, jax.random.key(0)))
    write_safetensors(tmp_path / "x.safetensors", tensors)
    build_model("cifar_resnet8", weights=tmp_path / "x.safetensors")
    assert not weights_cache.exists()
