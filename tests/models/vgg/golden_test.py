"""Narrow VGGs against what PyTorch gave once: features and input gradients of every layer."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.models.port import PureForward, convert
from depara_jax.models.vgg import VGG, schemes
from tests.golden.vgg_narrow_cases import CASES
from tests.references.vgg_state import digest, random_images, random_state

GOLDEN = Path(__file__).parents[2] / "golden" / "vgg_narrow.npz"

# Derivatives of an image's sum and length with regard to its features.
COTANGENTS = {"sum": jnp.ones_like, "l2": jax.vmap(lambda f: f / jnp.linalg.norm(f.reshape(-1)))}


@functools.cache
def computed(name):
    """[layer, quantity, image, 34], as tests/golden/make_vgg_narrow.py stores it."""
    config, size = CASES[name]
    variables = convert(VGG, config, schemes(config), random_state(config, seed=0))
    images = jnp.asarray(random_images(2, size, seed=1))
    network = jax.jit(PureForward(VGG, config))
    features = network(variables, images)

    # One program for all layers: the other layers' cotangents are zero.
    @jax.jit
    def pullback(variables, images, cotangents):
        return jax.vjp(lambda x: network(variables, x), images)[1](cotangents)[0]

    zeros = jax.tree.map(jnp.zeros_like, features)
    rows = []
    for layer in config.layers:
        gradients = [
            pullback(variables, images, zeros | {layer: cotangent(features[layer])})
            for cotangent in COTANGENTS.values()
        ]
        rows.append([[digest(image) for image in value] for value in (features[layer], *gradients)])
    return np.asarray(rows)


def error(got, want):
    """Largest difference of the digests of each layer, relative to their root mean square."""
    rms = np.sqrt(np.mean(want[..., :32] ** 2, axis=-1, keepdims=True))
    entries = np.abs(got - want)[..., :33] / rms
    length = np.abs(got[..., 33:] / want[..., 33:] - 1)
    return np.concatenate([entries, length], axis=-1).max(axis=(1, 2))


@pytest.mark.parametrize("name", list(CASES))
def test_every_layer_is_that_of_pytorch(name):
    with np.load(GOLDEN) as stored:
        want = stored[name]
    got = computed(name)
    assert got.shape == want.shape == (len(CASES[name][0].layers), 3, 2, 34)
    # float32 sums in another order through at most 11 layers.
    assert error(got[:, 0], want[:, 0]).max() < 2e-5
    # The same, and back through as many.
    assert error(got[:, 1], want[:, 1]).max() < 5e-5
    assert error(got[:, 2], want[:, 2]).max() < 5e-5
