"""VGG as a model: names, feature points, shapes, sizes, purity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.port import PureForward, port_model, port_spec, random_variables
from depara_jax.models.vgg import VGG, VGGConfig
from tests.references.vgg_state import random_images

NARROW = VGGConfig(11, batch_norm=True, num_classes=5, width=1 / 32)


@pytest.fixture(scope="module")
def variables():
    return random_variables(VGG, NARROW, jax.random.key(0))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_the_spec_lists_what_forward_returns(depth, batch_norm):
    config = VGGConfig(depth, batch_norm, num_classes=3, width=1 / 64)
    variables = random_variables(VGG, config, jax.random.key(0))
    model = port_model(VGG, config, variables=variables)
    shapes = model.feature_shapes()
    assert tuple(shapes) == model.spec.layers
    # depth - 3 convolutions, each two or three modules; 5 pools, avgpool, 3 linear, 2 ReLUs.
    assert len(model.spec.layers) == (3 if batch_norm else 2) * (depth - 3) + 11
    assert len(model.spec.layers_at("conv")) == len(model.spec.layers_at("norm")) == depth
    assert len(model.spec.layers_at("activation")) == depth - 1
    assert shapes[model.spec.logits] == (3,)
    assert shapes[model.spec.encoder] == (64,)
    assert shapes["avgpool"] == (7, 7, 8)


def test_vgg19_bn_has_the_addresses_of_torchvision():
    spec = port_spec(VGGConfig(19, batch_norm=True))
    # torchvision.models.vgg19_bn: convolutions at these indices of `features`.
    indices = (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49)
    convolutions = tuple(f"features.{i}" for i in indices)
    linear = ("classifier.0", "classifier.3", "classifier.6")
    assert spec.layers_at("conv") == convolutions + linear
    assert spec.layers_at("norm")[:2] == ("features.1", "features.4")
    assert spec.layers_at("activation")[-2:] == ("classifier.1", "classifier.4")
    assert spec.layers[-6:] == ("avgpool", *(f"classifier.{i}" for i in (0, 1, 3, 4, 6)))
    assert (spec.encoder, spec.logits) == ("classifier.4", "classifier.6")


def test_a_misspelt_layer_is_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean .*'features\.10'"):
        port_spec(NARROW).check_layer("feature.10")


def test_activation_taps_are_the_rectified_taps_before_them(variables):
    out = jax.jit(PureForward(VGG, NARROW))(variables, jnp.asarray(random_images(2, 32, seed=3)))
    before = [a for a in port_spec(NARROW).layers_at("norm") if a != "classifier.6"]
    after = port_spec(NARROW).layers_at("activation")
    for pre, post in zip(before, after, strict=True):
        assert float(out[pre].min()) < 0
        np.testing.assert_array_equal(np.maximum(out[pre], 0), out[post])


def test_each_image_stands_alone(variables):
    images = jnp.asarray(random_images(3, 40, seed=3))
    network = jax.jit(PureForward(VGG, NARROW))
    together, alone = network(variables, images), network(variables, images[1:2])
    for layer, value in together.items():
        # Another batch size may block the sums differently: float32 rounding.
        scale = float(jnp.abs(value).max())
        np.testing.assert_allclose(value[1:2], alone[layer], atol=2e-6 * scale, rtol=0)


def test_forward_is_one_value_for_one_configuration():
    same = VGGConfig(11, batch_norm=True, num_classes=5, width=1 / 32)
    assert PureForward(VGG, NARROW) == PureForward(VGG, same)
    assert hash(PureForward(VGG, NARROW)) == hash(PureForward(VGG, same))
    assert PureForward(VGG, NARROW) != PureForward(VGG, VGGConfig(11, False, 5, 1 / 32))


def test_tracing_is_cheap_and_happens_once(variables):
    traces = []

    @jax.jit
    def run(variables, images):
        traces.append(1)
        return PureForward(VGG, NARROW)(variables, images)["classifier.4"]

    for seed in (1, 2):
        run(variables, jnp.asarray(random_images(1, 32, seed)))
    run(random_variables(VGG, NARROW, jax.random.key(1)), jnp.asarray(random_images(1, 32, 3)))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "shape", [(1, 31, 40, 3), (1, 40, 16, 3), (1, 40, 40, 1), (40, 40, 3), (1, 3, 40, 40)]
)
def test_images_that_do_not_fit_are_refused(variables, shape):
    with pytest.raises(DeparaError, match=r"at least 32x32 pixels, got shape \("):
        PureForward(VGG, NARROW)(variables, jnp.zeros(shape))


@pytest.mark.parametrize("fields", [{"depth": 12}, {"num_classes": 0}, {"width": 0.001}])
def test_configurations_that_no_vgg_has_are_refused(fields):
    with pytest.raises(DeparaError, match="VGGConfig"):
        VGGConfig(**fields)
