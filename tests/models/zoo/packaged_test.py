"""The packaged zoo: whole, readable, and really trained; and what a damaged one says."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.data import photographs
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import list_models, load_model
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.port import PureForward, random_variables
from depara_jax.models.zoo.manifest import read_manifest
from depara_jax.weights.readers import file_sha256, read_tensors, write_safetensors

FOLDER = read_manifest("mini").path.parent
FACTS = json.loads((FOLDER / "training.json").read_text())["networks"]
NAMES = [spec.name for spec in list_models("mini")]


@pytest.fixture
def copy(tmp_path):
    """A copy of the packaged zoo that a test may damage."""
    return shutil.copytree(FOLDER, tmp_path / "mini")


def edit(folder, old, new) -> None:
    path = folder / "zoo.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_zoo_is_as_large_and_as_small_as_promised():
    assert len(NAMES) == len(set(NAMES)) >= 12
    assert list(FACTS) == NAMES
    assert len({facts["family"] for facts in FACTS.values()}) >= 4
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3_000_000
    assert {path.name for path in FOLDER.iterdir()} == {
        "zoo.toml",
        "training.json",
        *(f"{name}.safetensors" for name in NAMES),
    }


def test_every_packaged_network_beats_its_baselines_by_its_facts():
    for name, facts in FACTS.items():
        sign = 1 if facts["higher_is_better"] else -1
        numbers = facts["validation"]
        for baseline in ("trivial", "random"):
            assert sign * (numbers["trained"] - numbers[baseline]) > 0, name
            assert facts["z"][baseline] >= 3, name


def test_listing_reads_no_weights(copy):
    for path in copy.glob("*.safetensors"):
        path.unlink()
    assert list_models(copy) == list_models("mini")


@pytest.mark.parametrize("name", NAMES)
def test_every_network_loads_and_answers(name):
    model = load_model(name)
    assert model.spec in list_models("mini")
    assert model.spec.sha256 is not None
    out = model.forward(model.variables, jnp.zeros((1, *model.spec.input.shape)))
    assert tuple(out) == model.spec.layers
    assert out["encoder"].shape == (1, 8, 8, 16)


def test_no_two_networks_share_their_weights():
    digests = {spec.sha256 for spec in list_models("mini")}
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
    out = jax.jit(PureForward(Encoder, EncoderConfig()))(variables, pixels)["encoder"]
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
        ("trained", load_model(name).variables),
        ("random", random_variables(Encoder, EncoderConfig(), jax.random.key(0))),
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
        load_model("mini/denosing")
    with pytest.raises(UnknownNameError, match="'mini'"):
        list_models("mni")
    with pytest.raises(UnknownNameError, match=r"zoo\.toml"):
        load_model("/nowhere/edges")


def test_a_damaged_file_is_refused_by_its_digest(copy):
    path = copy / f"{NAMES[0]}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DeparaError, match="has sha256 .*, the manifest says"):
        load_model(NAMES[0], zoo=copy)
    assert load_model(NAMES[1], zoo=copy).name == NAMES[1]


def test_a_missing_file_is_named(copy):
    (copy / f"{NAMES[0]}.safetensors").unlink()
    with pytest.raises(DeparaError, match=f"{NAMES[0]}.safetensors does not exist"):
        load_model(NAMES[0], zoo=copy)


def test_tensors_of_another_shape_are_refused_even_with_the_right_digest(copy):
    path = copy / f"{NAMES[0]}.safetensors"
    tensors, digest = read_tensors(path), file_sha256(path)
    tensors["head.bias"] = np.zeros(3, np.float32)
    write_safetensors(path, tensors)
    edit(copy, digest, file_sha256(path))
    with pytest.raises(DeparaError, match=r"head\.bias"):
        load_model(NAMES[0], zoo=copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('block = "residual"', 'block = "dense"', "EncoderConfig: .*dense"),
        ("widths = [16, 16, 24, 32]", "widths = 5", "widths cannot be 5"),
        ("features = 16", "features = 1.5", "features cannot be 1.5"),
        ("features = 16", "depth = 3", "unknown field of EncoderConfig 'depth'"),
        ('task = "autoencoding"', "task = 5", "task cannot be 5"),
    ],
)
def test_a_damaged_entry_is_refused_whatever_is_asked_for(copy, old, new, message):
    edit(copy, old, new)
    for attempt in (list_models, lambda folder: load_model(NAMES[1], zoo=folder)):
        with pytest.raises(DeparaError, match=f"zoo manifest .*'autoencoding'.*{message}"):
            attempt(copy)
