"""Parity of Taskonomy's encoder with TensorFlow (stored), PyTorch and `visualpriors` (live)."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from depara_jax.models.port import PureForward, convert
from depara_jax.models.taskonomy import TaskonomyConfig, TaskonomyEncoder, schemes
from depara_jax.models.taskonomy.tasks import TASKS
from depara_jax.weights.tf_checkpoint import read_tf_checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "taskonomy_tf"
# The shape of the stored networks, and a narrow one of full depth.
TINY = TaskonomyConfig(stem_width=3, widths=(1, 2, 2, 3), units=(2, 2, 1, 2))
NARROW = TaskonomyConfig(stem_width=8, widths=(4, 6, 8, 10))


def forward(config):
    return PureForward(TaskonomyEncoder, config)


def variables_from_tensors(tensors, config):
    return convert(TaskonomyEncoder, config, schemes(config), tensors)


def relative(got, want):
    """Largest difference over the largest value."""
    want = np.asarray(want)
    assert got.shape == want.shape
    return float(np.abs(np.asarray(got) - want).max() / np.abs(want).max())


@functools.partial(jax.jit, static_argnames=("config", "layer"))
def features_and_gradient(config, variables, images, layer="compress"):
    """Features of a layer, and the gradient of their squared length, as the graphs use it."""

    def energy(x):
        features = forward(config)(variables, x)[layer]
        return (features**2).sum(), features

    (_, features), gradient = jax.value_and_grad(energy, has_aux=True)(images)
    return features, gradient


@pytest.mark.parametrize("size", [64, 50])  # at 50 the pooling's padding differs from PyTorch's
@pytest.mark.parametrize(("name", "channels"), [("pixels", 3), ("feedforward", 1)])
def test_features_and_gradient_are_those_of_tensorflow(name, channels, size):
    config = TaskonomyConfig(**{**vars(TINY), "channels_in": channels})
    variables = variables_from_tensors(read_tf_checkpoint(GOLDEN / name), config)
    with np.load(GOLDEN / "outputs.npz") as stored:
        images = jnp.asarray(stored[f"{name}_{size}_hundredths"], jnp.float32) / 100
        features, gradient = (stored[f"{name}_{size}_{k}"] for k in ("features", "gradient"))
    assert features.any()
    got = features_and_gradient(config, variables, images)
    # float32 sums in another order through 29 convolutions, and back.
    assert relative(got[0], features) < 1e-5
    assert relative(got[1], gradient) < 1e-5


@pytest.fixture
def torch_case(rng):
    """Config, port's state dictionary, variables and images [n, h, w, c] of the narrow network."""
    pytest.importorskip("torch")
    from experiments.benchmarks.peers import torch_taskonomy as reference

    state = reference.random_state(NARROW, seed=3)
    variables = variables_from_tensors({k: v.numpy() for k, v in state.items()}, NARROW)
    images = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    return state, variables, images


def nchw(images):
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


@pytest.mark.parity
def test_every_layer_is_that_of_pytorch(torch_case):
    from experiments.benchmarks.peers import torch_taskonomy as reference

    state, variables, images = torch_case
    want = reference.encoder(state, NARROW, nchw(images))
    got = jax.jit(forward(NARROW))(variables, jnp.asarray(images))
    assert set(got) == set(want)
    # float32 sums in another order; the errors of 50 layers add up to less than 1e-5.
    gaps = {layer: relative(got[layer], nhwc(want[layer])) for layer in want}
    assert max(gaps.values()) < 1e-5, gaps


@pytest.mark.parity
def test_every_block_on_its_own_is_that_of_pytorch(torch_case):
    """Each stage is fed PyTorch's input, so that errors do not add up."""
    from experiments.benchmarks.peers import torch_taskonomy as reference

    state, variables, images = torch_case
    want = reference.encoder(state, NARROW, nchw(images))
    shape = nnx.eval_shape(lambda: TaskonomyEncoder(NARROW, nnx.Rngs(0)))
    network = nnx.merge(nnx.split(shape)[0], variables)
    inputs = jnp.asarray(nhwc(want["pool"]))
    for b, block in enumerate(network.blocks, start=1):
        for u, unit in enumerate(block, start=1):
            name = f"block{b}.unit{u}"
            got = dict(zip((f"{name}.conv", f"{name}.norm", name), unit(inputs), strict=True))
            for layer, value in got.items():
                assert relative(value, nhwc(want[layer])) < 2e-6, layer  # a few float32 roundings
            inputs = jnp.asarray(nhwc(want[name]))
    assert relative(network.compress(inputs)[1], nhwc(want["compress.norm"])) < 2e-6


@pytest.mark.parity
@pytest.mark.parametrize("layer", ["stem", "block1.unit3", "block3.unit6.norm", "compress"])
def test_input_gradients_are_those_of_pytorch(torch_case, layer):
    from experiments.benchmarks.peers import torch_taskonomy as reference

    state, variables, images = torch_case
    leaf = nchw(images).requires_grad_()
    reference.encoder(state, NARROW, leaf)[layer].square().sum().backward()
    got = features_and_gradient(NARROW, variables, jnp.asarray(images), layer)[1]
    # float32 through the network and back.
    assert relative(got, nhwc(leaf.grad)) < 1e-5


@pytest.mark.parity
def test_the_published_network_is_that_of_visualpriors(rng):
    """The original port, if it is installed: 256 pixels, all 23.7 million weights.

    In float32 some of its millions of ReLUs come so close to 0 that the two frameworks put them on
    different sides, which moves a few gradients by 1e-2 of the largest one; not so in float64.
    """
    port = pytest.importorskip("visualpriors.taskonomy_network")
    from experiments.benchmarks.peers import torch_taskonomy as reference

    config = TaskonomyConfig()
    state = reference.random_state(config, seed=5)
    network = port.TaskonomyEncoder(normalize_outputs=False)
    network.load_state_dict(state)
    variables = variables_from_tensors({k: v.numpy() for k, v in state.items()}, config)
    images = rng.uniform(-1, 1, (1, 256, 256, 3))
    leaf = nchw(images).requires_grad_()
    out = network.double()(leaf)
    out.square().sum().backward()
    assert out.shape == (1, 8, 16, 16)
    single = jax.jit(forward(config))(variables, jnp.asarray(images, jnp.float32))["compress"]
    assert relative(single, nhwc(out)) < 1e-5  # float32 through 53 convolutions
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), variables)
        got = features_and_gradient(config, variables, jnp.asarray(images))
        assert relative(got[0], nhwc(out)) < 1e-12  # the same in float64
        assert relative(got[1], nhwc(leaf.grad)) < 1e-12


@pytest.mark.parity
def test_names_and_digests_are_those_of_visualpriors():
    port = pytest.importorskip("visualpriors.taskonomy_network")
    files = dict(
        name.removesuffix(".pth").split("_encoder-")
        for name in port.TASKONOMY_PRETRAINED_WEIGHT_FILES
        if "_encoder-" in name
    )
    for task in TASKS.values():
        assert port.task_mapping[task.name] == task.torch_name
        assert files[task.torch_name] == task.sha256
