"""Variables to named tensors and back, strictly in both directions."""

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.port import convert, flatten_variables, random_variables

CONFIG = EncoderConfig(block="separable", widths=(4, 6), strides=(1, 2), features=5)


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return flatten_variables(random_variables(Encoder, CONFIG, jax.random.key(0)))


def test_names_say_where_a_tensor_belongs(tensors):
    assert tensors["stem.kernel"].shape == (3, 3, 3, 4)
    assert tensors["blocks.1.conv2.pointwise.kernel"].shape == (1, 1, 6, 6)
    assert all(value.dtype == np.float32 for value in tensors.values())


def test_there_and_back_changes_no_bit(tensors):
    again = flatten_variables(convert(Encoder, CONFIG, (), tensors))
    assert list(again) == list(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(again[name], value)


def test_everything_that_does_not_fit_is_told_at_once(tensors):
    del tensors["stem.bias"]
    tensors["tail.bias"] = np.zeros(3, np.float32)
    tensors["head.bias"] = np.zeros(7, np.float32)
    with pytest.raises(DeparaError, match="my file") as error:
        convert(Encoder, CONFIG, (), tensors, source="my file")
    for name in ("stem.bias", "tail.bias", "head.bias"):
        assert name in str(error.value)


def test_another_architectures_tensors_are_refused(tensors):
    plain = EncoderConfig(block="plain", widths=(4, 6), strides=(1, 2), features=5)
    with pytest.raises(DeparaError, match="missing"):
        convert(Encoder, plain, (), tensors)
