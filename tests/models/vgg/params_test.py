"""VGG's weights: strictness in both directions, classes, random draws."""

import jax
import numpy as np
import pytest
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models import port
from depara_jax.models.port import random_variables
from depara_jax.models.vgg import VGG, VGGConfig, schemes
from depara_jax.weights.readers import read_tensors, write_safetensors
from tests.references.vgg_state import random_state

CONFIG = VGGConfig(11, batch_norm=True, num_classes=5, width=1 / 32)


@pytest.fixture
def state():
    return random_state(CONFIG, seed=0)


def convert(config, tensors, source="weights"):
    return port.convert(VGG, config, schemes(config), tensors, source=source)


def load(config, path):
    return convert(config, read_tensors(path), source=f"weights file {path}")


def flat(variables):
    return {".".join(map(str, p)): np.asarray(v[...]) for p, v in nnx.to_flat_state(variables)}


def test_every_tensor_arrives_where_it_belongs(state):
    got = flat(convert(CONFIG, state))
    assert len(got) == 8 * 6 + 3 * 2
    np.testing.assert_array_equal(
        got["features.4.kernel"][2, 0, 1], state["features.4.weight"][:, 1, 2, 0]
    )
    np.testing.assert_array_equal(got["features.1.scale"], state["features.1.weight"])
    np.testing.assert_array_equal(got["features.1.var"], state["features.1.running_var"])
    np.testing.assert_array_equal(got["classifier.6.kernel"], state["classifier.6.weight"].T)
    # Row (h, w, c) of our kernel is column (c, h, w) of theirs.
    kernel = got["classifier.0.kernel"].reshape(7, 7, 16, -1)
    weight = state["classifier.0.weight"].reshape(-1, 16, 7, 7)
    np.testing.assert_array_equal(kernel[3, 5, 11], weight[:, 11, 3, 5])


def test_a_file_gives_the_same_variables(tmp_path, state):
    write_safetensors(tmp_path / "vgg.safetensors", state)
    got, want = flat(load(CONFIG, tmp_path / "vgg.safetensors")), flat(convert(CONFIG, state))
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


def test_everything_that_is_wrong_is_told_at_once(tmp_path, state):
    del state["features.0.bias"], state["classifier.3.weight"]
    state["fc.weight"] = np.zeros((2, 2), np.float32)
    state["features.2.weight"] = np.zeros(4, np.float32)  # a ReLU
    state["classifier.6.weight"] = np.zeros((7, 128), np.float32)
    state["features.1.bias"] = np.zeros(2, np.int32)
    path = tmp_path / "broken.safetensors"
    write_safetensors(path, state)
    with pytest.raises(DeparaError) as caught:
        load(CONFIG, path)
    message = str(caught.value)
    assert message.splitlines() == [message]
    for part in (
        f"weights file {path}, read as {CONFIG.architecture} under torchvision's names: "
        "the tensors do not fit the network: ",
        "2 missing: classifier.3.kernel, features.0.bias",
        "2 unexpected: fc.weight, features.2.weight",
        "1 wrong dtype: features.1.bias (int32, features.1.bias is float32)",
        "1 wrong shape: classifier.6.weight ((7, 128) gives (128, 7), "
        "classifier.6.kernel is (128, 5))",
    ):
        assert part in message


def test_weights_of_the_other_family_member_are_refused(state):
    plain = VGGConfig(11, batch_norm=False, num_classes=5, width=1 / 32)
    with pytest.raises(DeparaError, match="6 missing: .*38 unexpected: .*and 28 more"):
        convert(plain, state)


def test_random_weights_are_a_function_of_the_key():
    first, again, other = (
        flat(random_variables(VGG, CONFIG, jax.random.key(s))) for s in (3, 3, 4)
    )
    for name, value in first.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, again[name])
    assert not np.array_equal(first["features.0.kernel"], other["features.0.kernel"])
    assert not np.array_equal(first["features.25.kernel"], first["features.22.kernel"])
    np.testing.assert_array_equal(first["features.1.var"], 1)
    np.testing.assert_array_equal(first["features.0.bias"], 0)


def test_random_weights_have_the_documented_spread():
    drawn = flat(random_variables(VGG, VGGConfig(11, True, 5, 1 / 8), jax.random.key(0)))
    # The standard deviation of N >= 36,000 draws is off by 1/sqrt(2N) < 0.4%; four of those.
    assert drawn["features.25.kernel"].std() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.016)
    assert drawn["classifier.0.kernel"].std() == pytest.approx(0.01, rel=0.016)
