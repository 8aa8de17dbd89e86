"""Vision transformers: names and what is refused."""

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.models import ARCHITECTURES
from depara_jax.models.port import PureForward, random_variables
from depara_jax.models.vit import ViT, ViTConfig, configure

SMALL = ViTConfig("s", 8, 3, image=16, blocks=2, narrow=1 / 6)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_the_addresses_are_those_that_the_network_returns(pool):
    config = ViTConfig("s", 8, 3, image=16, blocks=2, narrow=1 / 6, pool=pool)
    out = PureForward(ViT, config)(
        random_variables(ViT, config, jax.random.key(0)), np.ones((2, 16, 16, 3), np.float32)
    )
    assert tuple(out) == config.layers
    assert out["tokens"].shape == (2, 5, 64)
    assert out["pooled"].shape == (2, 64)


def test_the_published_sizes():
    assert [ViTConfig(s).width for s in "sbl"] == [384, 768, 1024]
    assert [ViTConfig(s).heads for s in "sbl"] == [6, 12, 16]
    assert ARCHITECTURES["vit_l14"].spec().layers[-1] == "head"


def test_another_image_size_is_refused():
    variables = random_variables(ViT, SMALL, jax.random.key(0))
    with pytest.raises(DeparaError, match=r"takes images \[n, 16, 16, 3\], got shape"):
        PureForward(ViT, SMALL)(variables, np.zeros((1, 32, 32, 3), np.float32))


def test_other_tokens_are_refused():
    tensors = {"cls_token": np.zeros((1, 1, 4)), "pos_embed": np.zeros((1, 199, 4))}
    with pytest.raises(DeparaError, match="199 position embeddings are no square"):
        configure(SMALL, tensors)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "h"}, "size must be s, b or l"),
        ({"patch": 15}, "the patch must divide the image"),
        ({"class_token": False}, "pool must be 'token'"),
        ({"narrow": 1 / 30}, "leaves 0 heads and width 26"),
        ({"blocks": 0}, "heads and width"),
    ],
)
def test_shapes_that_do_not_exist(fields, message):
    with pytest.raises(DeparaError, match=message):
        ViTConfig(**fields)
