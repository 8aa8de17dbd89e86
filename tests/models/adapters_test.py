"""Models of other frameworks, each on a network defined here, against calling it directly."""

import importlib.util
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from depara_jax import RECIPES, Probe, compare_models
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import InputSpec
from depara_jax.models.adapters import from_function, from_keras, from_linen, from_nnx

INPUT = InputSpec(size=(8, 8))


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 8, 8, 3)).astype(np.float32)


class Block(nnx.Module):
    def __init__(self, n_in, n_out, rngs):
        self.conv = nnx.Conv(n_in, n_out, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(n_out, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return jax.nn.relu(self.dropout(self.norm(self.conv(x))))


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([Block(3, 4, rngs), Block(4, 4, rngs)])
        self.shared = nnx.Linear(4, 4, rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.shared(self.shared(x.mean((1, 2)))))


def test_an_nnx_module_s_layers_are_its_module_paths(images):
    network = NNXNet(nnx.Rngs(0))
    model = from_nnx(network, name="mine", input=INPUT, encoder="shared@2", logits="head")
    part = ("conv", "norm", "dropout")
    assert model.spec.layers == (
        *(f"blocks.0.{p}" for p in part), "blocks.0",
        *(f"blocks.1.{p}" for p in part), "blocks.1",
        "shared", "shared@2", "head", "output",
    )  # fmt: skip
    assert (model.spec.architecture, model.spec.encoder) == ("NNXNet", "shared@2")
    out = jax.jit(model.forward)(model.variables, images)
    network.eval()
    np.testing.assert_allclose(out["output"], network(images), atol=1e-6)
    np.testing.assert_array_equal(out["output"], out["head"])
    np.testing.assert_allclose(out["blocks.0"], network.blocks[0](images), atol=1e-6)
    twice = network.shared(network.shared(out["blocks.1"].mean((1, 2))))
    np.testing.assert_allclose(out["shared@2"], twice, atol=1e-6)


def test_the_nnx_module_is_left_as_it_was(images):
    network = NNXNet(nnx.Rngs(0))
    call = nnx.Conv.__call__
    before = jax.tree.map(np.asarray, nnx.state(network, nnx.Not(nnx.RngState)))
    model = from_nnx(network, name="mine", input=INPUT)
    model.forward(model.variables, images)
    assert nnx.Conv.__call__ is call
    assert "__call__" in vars(nnx.Conv)
    assert not network.blocks[0].norm.use_running_average
    after = jax.tree.map(np.asarray, nnx.state(network, nnx.Not(nnx.RngState)))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_classes_are_restored_when_the_module_fails():
    class Broken(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, 3, (1, 1), rngs=nnx.Rngs(0))

        def __call__(self, x):
            raise RuntimeError(f"never {self.conv(x).shape}")

    call = nnx.Conv.__call__
    with pytest.raises(DeparaError, match="model 'broken': .*RuntimeError: never"):
        from_nnx(Broken(), name="broken", input=INPUT)
    assert nnx.Conv.__call__ is call


def test_equal_nnx_networks_share_their_forward():
    first, second = (from_nnx(NNXNet(nnx.Rngs(s)), name="n", input=INPUT) for s in (0, 1))
    assert first.forward == second.forward
    assert hash(first.forward) == hash(second.forward)


class LinenBlock(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.Conv(4, (3, 3))(x)
        return linen.relu(linen.BatchNorm(use_running_average=not train)(x))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = LinenBlock()(x, train)
        x = LinenBlock(name="second")(x, train)
        return linen.Dense(2)(x.mean((1, 2)))


def test_a_linen_module_s_layers_are_its_module_paths(images):
    network = LinenNet()
    variables = network.init(jax.random.key(0), images, train=False)
    model = from_linen(
        network,
        variables,
        name="mine",
        input=INPUT,
        encoder="second",
        call_options={"train": False},
    )
    assert model.spec.layers == (
        "LinenBlock_0.Conv_0", "LinenBlock_0.BatchNorm_0", "LinenBlock_0",
        "second.Conv_0", "second.BatchNorm_0", "second", "Dense_0", "output",
    )  # fmt: skip
    out = jax.jit(model.forward)(model.variables, images)
    want, kept = network.apply(
        variables, images, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    np.testing.assert_allclose(out["output"], want, atol=1e-6)
    (second,) = kept["intermediates"]["second"]["__call__"]
    np.testing.assert_allclose(out["second"], second, atol=1e-6)


def test_a_plain_function(images):
    model = from_function(
        lambda w, x: {"mean": x.mean((1, 2)), "out": x.mean((1, 2)) @ w},
        jnp.ones((3, 2)),
        name="plain",
        input=INPUT,
    )
    assert model.spec.layers == ("mean", "out")


def test_some_layers_in_one_s_own_order(images):
    network = NNXNet(nnx.Rngs(0))
    model = from_nnx(
        network, name="m", input=INPUT, layers=["blocks.0", "shared"], encoder="shared"
    )
    assert (
        tuple(model.forward(model.variables, images))
        == model.spec.layers
        == (
            "blocks.0",
            "shared",
        )
    )
    with pytest.raises(UnknownNameError, match="did you mean 'blocks.0'"):
        from_nnx(network, name="m", input=INPUT, layers=["block.0"])


def test_models_of_three_frameworks_are_compared(rng):
    linen_net, nnx_net = LinenNet(), NNXNet(nnx.Rngs(0))
    variables = linen_net.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), train=False)
    models = [
        from_nnx(nnx_net, name="nnx", input=INPUT, encoder="blocks.1"),
        from_linen(
            linen_net,
            variables,
            name="linen",
            input=INPUT,
            encoder="second",
            call_options={"train": False},
        ),
        from_function(lambda w, x: {"x": jnp.tanh(x * w)}, jnp.ones(3), name="plain", input=INPUT),
    ]
    pictures = rng.integers(0, 256, (6, 8, 8, 3), np.uint8)
    similarity = compare_models(models, Probe.from_arrays(pictures), RECIPES["paper"])
    assert np.isfinite(similarity.score).all()
    # Every graph is most similar to itself.
    assert (np.asarray(similarity.score).argmax(axis=1) == np.arange(3)).all()


@pytest.mark.parametrize("adapt", [from_nnx, lambda m, **k: from_linen(m, {}, **k)])
def test_what_is_no_module_is_refused(adapt):
    with pytest.raises(DeparaError, match="expected .*Module, got dict"):
        adapt({}, name="x", input=INPUT)


KERAS = """
import warnings; warnings.simplefilter("ignore")
import keras, numpy as np, jax
from depara_jax.models import InputSpec
from depara_jax.models.adapters import from_keras
keras.utils.set_random_seed(0)
inputs = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(4, 3, name="first", activation="relu")(inputs)
x = keras.layers.BatchNormalization(name="norm")(x)
x = keras.layers.Dropout(0.5, name="drop")(x)
x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
network = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
model = from_keras(network, name="mine", input=InputSpec(size=(8, 8)), encoder="pool")
assert model.spec.layers == ("first", "norm", "drop", "pool", "head"), model.spec.layers
images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
out = jax.jit(model.forward)(model.variables, images)
np.testing.assert_allclose(out["head"], network(images), atol=1e-6)
np.testing.assert_allclose(out["first"], network.get_layer("first")(images), atol=1e-6)
gradient = jax.grad(lambda x: model.forward(model.variables, x)["pool"].sum())(images)
assert np.abs(gradient).max() > 0
print("fine")
"""


# In a process of its own: Keras chooses its backend when it is imported, once.
def run_keras(code, backend):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs Keras: the [keras] extra")
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_a_keras_model_s_layers_have_keras_s_names():
    done = run_keras(KERAS, "jax")
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.slow
def test_keras_on_another_backend_is_refused():
    code = (
        "from depara_jax.models.adapters import from_keras\n"
        "from depara_jax.models import InputSpec\n"
        "from_keras(None, name='x', input=InputSpec())"
    )
    done = run_keras(code, "numpy")
    assert "DeparaError: Keras runs on its numpy backend; set KERAS_BACKEND=jax" in done.stderr


def test_the_keras_adapter_without_keras_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(DeparaError, match="needs Keras.*depara-jax\\[keras\\]"):
        from_keras(object(), name="x", input=INPUT)
