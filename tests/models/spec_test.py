"""The model contract: specs are checked and hashable, any function is a model."""

import types

import jax.numpy as jnp
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import InputSpec, Model, ModelSpec
from depara_jax.selection import attribution_graphs
from tests import networks


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"std": (0.0, 1.0, 1.0)}, "std positive"),
        ({"mean": (0.0, float("nan"), 0.0)}, "finite"),
        ({"scale": (1.0, 0.0)}, "scale increasing"),
        ({"size": (0, 8)}, "at least 1"),
        ({"mean": (0.0,)}, "need 3 entries"),
        ({"size": (64, 64), "resize": 32}, "smaller than the crop"),
        ({"hole": (999, 3)}, "hole"),
        ({"clip": (0.9, 0.1)}, "clip"),
    ],
)
def test_input_specs_that_mean_nothing_are_refused(changes, word):
    with pytest.raises(DeparaError, match=word):
        InputSpec(**changes)


def test_an_unknown_order_of_channels_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'gray'"):
        InputSpec(channels="grey", mean=(0.0,), std=(1.0,))


def test_misspelt_layers_are_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'encoder'"):
        ModelSpec("m", "a", InputSpec(), ("stem", "encoder"), "encodr")
    spec = ModelSpec("m", "a", InputSpec(), ("stem", "encoder"), "encoder")
    with pytest.raises(UnknownNameError, match="did you mean 'stem'"):
        spec.check_layer("stm")


def test_points_fall_back_between_convolution_and_norm_only():
    points = (("conv", ("c1",)), ("activation", ("r1",)))
    spec = ModelSpec("m", "a", InputSpec(), ("c1", "r1"), "r1", points=points)
    assert spec.layers_at("norm") == ("c1",)
    assert ModelSpec("m", "a", InputSpec(), ("c1",), "c1").layers_at("conv") == ("c1",)
    only = ModelSpec("m", "a", InputSpec(), ("c1",), "c1", points=(("conv", ("c1",)),))
    with pytest.raises(UnknownNameError, match="feature point"):
        only.layers_at("activation")


def test_any_mapping_of_any_function_is_a_model_and_keeps_its_order():
    def forward(variables, images):
        return types.MappingProxyType(networks.forward(variables, images))

    model = Model.from_function(
        forward, networks.variables(0), name="any", input=InputSpec(size=(8, 8))
    )
    assert model.spec.layers == ("stem", "body", "answer")
    assert model.feature_shapes() == {"stem": (8, 8, 4), "body": (4, 4, 5), "answer": (6,)}
    assert attribution_graphs(model, networks.probe(4))["answer"].n_images == 4


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda v, x: x @ jnp.ones((7, 2)), "forward.* failed on images of shape"),
        (lambda v, x: {}, "returned no layers"),
        (lambda v, x: {"mean": x.mean()}, "first axis must be the image"),
        (lambda v, x: {"none": x[:, :, :, :0]}, "none may be empty"),
    ],
)
def test_functions_that_break_the_contract_say_how(forward, words):
    with pytest.raises(DeparaError, match=words):
        Model.from_function(forward, None, name="bad", input=InputSpec(size=(8, 8)))
