"""The encoders: shapes, names, rectifiers, and images that do not see each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.port import PureForward, port_model, random_variables, replaced

BLOCKS = ("residual", "plain", "separable")
SMALL = EncoderConfig(widths=(4, 6), strides=(1, 2), features=5)


def small(**changes) -> EncoderConfig:
    return replaced(SMALL, changes)


def forward(config: EncoderConfig) -> PureForward:
    return PureForward(Encoder, config)


def init_variables(config: EncoderConfig, key: jax.Array):
    return random_variables(Encoder, config, key)


def model_of(config: EncoderConfig):
    variables = init_variables(config, jax.random.key(0))
    return port_model(Encoder, config, variables=variables)


def images_of(rng, n: int, channels: int = 3) -> jax.Array:
    return jnp.asarray(rng.uniform(-1, 1, (n, 32, 32, channels)), jnp.float32)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_every_address_of_the_spec_is_returned_in_order(rng, block, activation):
    config = small(block=block, output_activation=activation)
    model = model_of(config)
    out = model.forward(model.variables, images_of(rng, 2))
    assert tuple(out) == model.spec.layers
    assert out["stem"].shape == (2, 16, 16, 4)
    assert out["encoder"].shape == (2, 8, 8, 5)
    assert model.feature_shapes()["block1.pre"] == (16, 16, 4)


def test_the_zoo_size_has_the_number_of_weights_that_its_layers_add_up_to():
    variables = init_variables(EncoderConfig(), jax.random.key(0))

    def conv(n_in, n_out, size=3):
        return size * size * n_in * n_out + n_out

    blocks = 4 * conv(16, 16) + conv(16, 24) + conv(24, 24) + conv(24, 32) + conv(32, 32)
    shortcuts = conv(16, 24, 1) + conv(24, 32, 1)
    expected = conv(3, 16) + blocks + shortcuts + conv(32, 16)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == expected


def test_points_pair_the_values_before_and_after_each_rectifier(rng):
    config = small()
    model = model_of(config)
    out = model.forward(model.variables, images_of(rng, 3))
    before, after = model.spec.layers_at("conv"), model.spec.layers_at("activation")
    assert after == ("stem", "block1", "block2", "encoder")
    for pre, post in zip(before, after, strict=True):
        np.testing.assert_array_equal(out[post], np.maximum(out[pre], 0))
        assert float(out[pre].min()) < 0


def test_a_linear_output_stands_at_both_points(rng):
    config = small(output_activation="linear")
    model = model_of(config)
    assert "encoder.pre" not in model.spec.layers
    assert model.spec.layers_at("conv")[-1] == model.spec.layers_at("activation")[-1] == "encoder"
    out = model.forward(model.variables, images_of(rng, 3))
    assert float(out["encoder"].min()) < 0


@pytest.mark.parametrize("block", BLOCKS)
def test_an_image_alone_has_the_features_that_it_has_in_a_batch(rng, block):
    config = small(block=block)
    variables, network = init_variables(config, jax.random.key(1)), jax.jit(forward(config))
    images = images_of(rng, 5)
    whole, alone = network(variables, images), network(variables, images[3:4])
    for layer in config.layers:
        # Another batch size may sum in another order: a few units in the last place.
        np.testing.assert_allclose(whole[layer][3:4], alone[layer], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_batch_sums_gradient_is_each_images_own(rng, block):
    config = small(block=block)
    variables, network = init_variables(config, jax.random.key(1)), forward(config)
    images = images_of(rng, 3)
    together = jax.grad(lambda x: network(variables, x)["encoder"].sum())(images)
    each = jax.vmap(jax.grad(lambda x: network(variables, x[None])["encoder"].sum()))(images)
    # Summation order again; gradients here are of order 1.
    np.testing.assert_allclose(together, each, rtol=1e-4, atol=1e-5)


def test_depth_does_not_blow_up_a_freshly_drawn_residual_network(rng):
    config = small(widths=[8] * 12, strides=[1] * 12)
    variables = init_variables(config, jax.random.key(0))
    out = forward(config)(variables, images_of(rng, 4))
    # Scaled branches add at most about a factor e in variance over any depth; unscaled ones 2^12.
    assert 0.2 < float(out["block12"].std() / out["stem"].std()) < 5


def test_drawing_is_fixed_by_the_key_and_maps_over_keys():
    keys = jax.random.split(jax.random.key(3), 2)
    many = jax.vmap(lambda key: init_variables(SMALL, key))(keys)
    for k in range(2):
        one = init_variables(SMALL, keys[k])
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            # vmap may fuse the scaling otherwise than a single draw does.
            np.testing.assert_allclose(a[k], b, rtol=1e-6, atol=1e-7)


def test_equal_configurations_give_equal_forwards():
    assert forward(SMALL) == forward(EncoderConfig(widths=(4, 6), strides=(1, 2), features=5))
    assert hash(forward(SMALL)) == hash(forward(small()))
    assert forward(SMALL) != forward(small(block="plain"))


def test_grey_images_are_taken_where_the_configuration_says_so(rng):
    config = small(channels_in=1)
    assert config.input.channels == "gray"
    out = forward(config)(init_variables(config, jax.random.key(0)), images_of(rng, 2, 1))
    assert out["encoder"].shape == (2, 8, 8, 5)


def test_a_misspelt_layer_is_answered_with_the_near_one():
    model = model_of(SMALL)
    with pytest.raises(UnknownNameError, match="'block1'"):
        model.spec.check_layer("blok1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"block": "dense"}, "block"),
        ({"output_activation": "tanh"}, "output_activation"),
        ({"widths": [4]}, "as long as each other"),
        ({"widths": [], "strides": []}, "not empty"),
        ({"features": 0}, "at least 1"),
        ({"channels_in": 2}, "channels_in 1 or 3"),
        ({"depth": 3}, "unknown field of EncoderConfig 'depth'"),
        ({"widths": 4}, "widths cannot be 4"),
        ({"features": 1.5}, "features cannot be 1.5"),
        ({"widths": ["a"], "strides": [1]}, "EncoderConfig"),
    ],
)
def test_a_configuration_that_no_encoder_has_is_refused(fields, message):
    with pytest.raises(DeparaError, match=message):
        small(**fields)
