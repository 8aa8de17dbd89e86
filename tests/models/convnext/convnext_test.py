"""ConvNeXt: names and what is refused."""

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.models.convnext import ConvNeXt, ConvNeXtConfig
from depara_jax.models.port import PureForward, random_variables

SMALL = ConvNeXtConfig("tiny", 3, narrow=1 / 24)


def test_the_addresses_are_those_that_the_network_returns():
    variables, names = random_variables(ConvNeXt, SMALL, jax.random.key(0)), []

    def run(variables, images):
        out = PureForward(ConvNeXt, SMALL)(variables, images)
        names.extend(out)
        return out

    shapes = jax.eval_shape(run, variables, np.zeros((2, 64, 64, 3), np.float32))
    assert tuple(names) == SMALL.layers
    assert shapes["stages.3.2"].shape == (2, 2, 2, 32)


def test_the_published_sizes():
    assert ConvNeXtConfig("large").widths == (192, 384, 768, 1536)
    assert ConvNeXtConfig("small").depths == (3, 3, 27, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "huge"}, "size must be one of tiny"),
        ({"num_classes": 0}, "at least 1"),
        ({"blocks": (1, 2)}, "four"),
    ],
)
def test_shapes_that_do_not_exist(fields, message):
    with pytest.raises(DeparaError, match=message):
        ConvNeXtConfig(**fields)
