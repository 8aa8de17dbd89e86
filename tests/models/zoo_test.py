"""The packaged zoo: whole, readable, and really trained; and what a damaged one says."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.data import photographs
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import zoo
from depara_jax.models.encoder import EncoderConfig, forward, init_variables
from depara_jax.weights.readers import read_tensors, write_safetensors

NAMES = [spec.name for spec in zoo.list_zoo("mini")]


@pytest.fixture
def copy(tmp_path):
    """A copy of the packaged zoo that a test may damage."""
    return shutil.copytree(zoo.zoo_folder("mini"), tmp_path / "mini")


def edit(folder, change) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_the_zoo_is_as_large_and_as_small_as_promised():
    manifest = zoo.read_manifest("mini")
    assert len(NAMES) == len(set(NAMES)) >= 12
    assert len({entry["family"] for entry in manifest["models"]}) >= 4
    folder = zoo.zoo_folder("mini")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        *(entry["file"] for entry in manifest["models"]),
    }


def test_every_packaged_network_beats_its_baselines_by_its_manifest():
    for entry in zoo.read_manifest("mini")["models"]:
        sign = 1 if entry["higher_is_better"] else -1
        numbers = entry["validation"]
        for baseline in ("trivial", "random"):
            assert sign * (numbers["trained"] - numbers[baseline]) > 0, entry["name"]
            assert entry["z"][baseline] >= 3, entry["name"]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_loads_and_answers(name):
    model = zoo.load_zoo_model(name)
    assert model.spec in zoo.list_zoo("mini")
    assert model.spec.sha256 is not None
    out = model.forward(model.variables, jnp.zeros((1, *model.spec.input.shape)))
    assert tuple(out) == model.spec.layers
    assert out["encoder"].shape == (1, 8, 8, 16)


def test_no_two_networks_share_their_weights():
    digests = {spec.sha256 for spec in zoo.list_zoo("mini")}
    assert len(digests) == len(NAMES)


# Recomputed quality: the heads are not packaged, so a linear readout is fitted on the features.


def ridge_score(features, targets, held_out, held_out_targets, strength: float) -> float:
    """R^2 on held-out rows of a ridge regression on standardised features."""
    mean, std = features.mean(0), features.std(0) + 1e-6
    x, z = (features - mean) / std, (held_out - mean) / std
    centre = targets.mean(0)
    gram = x.T @ x + strength * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (targets - centre))
    residual = held_out_targets - centre - z @ weights
    return 1 - (residual**2).sum() / ((held_out_targets - centre) ** 2).sum()


def features_of(variables, images):
    pixels = jnp.asarray(images, jnp.float32) / 127.5 - 1.0
    out = jax.jit(forward(EncoderConfig()))(variables, pixels)["encoder"]
    return np.asarray(out, np.float64).reshape(len(images), -1)


def pixel_edges(images):
    """Mean absolute differences in 4 x 4 cells: a plain edge map."""
    grey = np.asarray(images, np.float64).mean(-1) / 255
    dx = np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:]))
    dy = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    return (dx + dy).reshape(len(grey), 8, 4, 8, 4).mean((2, 4)).reshape(len(grey), -1)


def identity(patches):
    return np.eye(len(photographs.NAMES))[patches.photograph]


def colours(images):
    """Mean saturation in 4 x 4 cells."""
    pixels = np.asarray(images, np.float64) / 255
    values = pixels.max(-1) - pixels.min(-1)
    return values.reshape(len(pixels), 8, 4, 8, 4).mean((2, 4)).reshape(len(pixels), -1)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("edges", lambda patches: pixel_edges(patches.images)),
        ("saturation", lambda patches: colours(patches.images)),
        ("photograph", identity),
    ],
)
def test_a_network_knows_its_own_task_better_than_a_random_one(name, target):
    train = photographs.patches("train", per_photograph=60)
    test = photographs.patches("validation", per_photograph=25)
    scores = {}
    for role, variables in (
        ("trained", zoo.load_zoo_model(name).variables),
        ("random", init_variables(EncoderConfig(), jax.random.key(0))),
    ):
        inside, outside = (features_of(variables, p.images) for p in (train, test))
        # The better of two strengths for each, so that neither network is let down by the ridge.
        scores[role] = max(
            ridge_score(inside, target(train), outside, target(test), strength)
            for strength in (0.1, 1.0)
        )
    assert scores["trained"] > scores["random"] + 0.05, scores
    assert scores["trained"] > 0.2, scores


# Bad input.


def test_unknown_names_are_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match="'denoising'"):
        zoo.load_zoo_model("denosing")
    with pytest.raises(UnknownNameError, match="'mini'"):
        zoo.list_zoo("mni")
    with pytest.raises(UnknownNameError, match=r"manifest\.json"):
        zoo.load_zoo_model("edges", "/nowhere")


def test_a_damaged_file_is_refused_by_its_digest(copy):
    path = copy / f"{NAMES[0]}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DeparaError, match="damaged: its sha256"):
        zoo.load_zoo_model(NAMES[0], copy)
    assert zoo.load_zoo_model(NAMES[1], copy).name == NAMES[1]


def test_a_missing_file_is_named(copy):
    (copy / f"{NAMES[0]}.safetensors").unlink()
    with pytest.raises(DeparaError, match=f"{NAMES[0]}.safetensors does not exist"):
        zoo.load_zoo_model(NAMES[0], copy)


def test_tensors_of_another_shape_are_refused_even_with_the_right_digest(copy):
    path = copy / f"{NAMES[0]}.safetensors"
    tensors = read_tensors(path)
    tensors["head.bias"] = np.zeros(3, np.float32)
    write_safetensors(path, tensors)
    digest = zoo.file_sha256(path)
    edit(copy, lambda manifest: manifest["models"][0].update(sha256=digest))
    with pytest.raises(DeparaError, match=r"head\.bias"):
        zoo.load_zoo_model(NAMES[0], copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(format=99), "another version"),
        (lambda manifest: manifest.pop("models"), "is damaged"),
        (lambda manifest: manifest["models"][0].pop("sha256"), "is damaged"),
        (lambda manifest: manifest["models"][0]["encoder"].update(depth=3), "is not one"),
    ],
)
def test_a_damaged_manifest_is_refused(copy, change, message):
    edit(copy, change)
    with pytest.raises(DeparaError, match=message):
        zoo.list_zoo(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoder", "x"),
        ("encoder", []),
        ("encoder", {"features": 1.5}),
        ("encoder", {"widths": 5}),
        ("encoder", {"widths": ["a"], "strides": [1]}),
        ("file", 5),
        ("sha256", None),
        ("task", ["a"]),
        ("name", 5),
    ],
)
def test_fields_of_the_wrong_type_are_refused(copy, field, value):
    edit(copy, lambda manifest: manifest["models"][0].update({field: value}))
    for attempt in (zoo.list_zoo, lambda folder: zoo.load_zoo_model(NAMES[1], folder)):
        with pytest.raises(DeparaError, match="zoo manifest"):
            attempt(copy)


@pytest.mark.parametrize("content", ["[]", '{"format": 1, "zoo": "x", "models": {}}', "[" * 99999])
def test_a_manifest_of_another_shape_is_refused(copy, content):
    (copy / "manifest.json").write_text(content)
    with pytest.raises(DeparaError, match="is damaged"):
        zoo.list_zoo(copy)


def test_a_manifest_that_is_not_json_is_refused(copy):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(DeparaError, match="is damaged"):
        zoo.list_zoo(copy)
