"""The epsilon rule against layer-by-layer relevance propagation, and its limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.attribution import attribute, with_epsilon_rule
from depara_jax.errors import DeparaError
from depara_jax.recipe import Recipe
from tests import networks

EPSILON = 1e-4


def lrp_of_a_relu_mlp(x, weights, epsilon):
    """Relevance of the summed output, propagated layer by layer in float64 numpy.

    For each unit R_j = sum_k a_j w_jk / (z_k + eps sign z_k) R_k (Bach et al. 2015, eq. 58), from
    R = a at the top layer, whose own stabiliser a / (z + eps sign z) the rule applies too.
    """
    activations, pre = [x.astype(np.float64)], []
    for w in weights:
        pre.append(activations[-1] @ w.astype(np.float64))
        activations.append(np.maximum(pre[-1], 0))
    sign = [np.where(z >= 0, 1.0, -1.0) for z in pre]
    relevance = activations[-1]
    for i in reversed(range(len(weights))):
        ratio = relevance / (pre[i] + epsilon * sign[i])
        relevance = activations[i] * (ratio @ weights[i].T.astype(np.float64))
    return relevance


def mlp(variables, images):
    x = images.reshape(images.shape[0], -1)
    for w in variables:
        x = jax.nn.relu(x @ w)
    return {"top": x}


@pytest.fixture
def perceptron(rng):
    sizes = [12, 10, 8, 5]
    weights = [
        rng.normal(size=shape).astype(np.float32) for shape in zip(sizes, sizes[1:], strict=False)
    ]
    return weights, rng.normal(size=(6, 2, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("epsilon", [1e-4, 0.3])
def test_a_relu_network_equals_layer_by_layer_propagation(perceptron, epsilon):
    weights, images = perceptron
    recipe = Recipe(attribution="epsilon_lrp", target="sum", epsilon=epsilon)
    _, maps = attribute(mlp, weights, jnp.asarray(images), ("top",), recipe)
    for image, got in zip(images, maps["top"], strict=True):
        expected = lrp_of_a_relu_mlp(image.ravel(), weights, epsilon)
        # float32 against float64 over three layers; relevances are of order 10 to 100.
        np.testing.assert_allclose(got.ravel(), expected, atol=1e-5 * np.abs(expected).max())


def test_the_limit_of_small_epsilon_is_gradient_times_input_at_relus(perceptron):
    weights, images = perceptron
    maps = {}
    with jax.enable_x64():
        weights = [w.astype(np.float64) for w in weights]
        images = images.astype(np.float64)
        for epsilon in (1e-3, 1e-6, 1e-9):
            recipe = Recipe(attribution="epsilon_lrp", target="sum", epsilon=epsilon)
            maps[epsilon] = attribute(mlp, weights, images, ("top",), recipe)[1]["top"]
        exact = attribute(mlp, weights, images, ("top",), Recipe(target="sum"))[1]["top"]
    errors = [float(np.abs(maps[e] - exact).max()) for e in maps]
    assert errors[0] > errors[1] > errors[2]
    # Proportional to epsilon / |z|; the smallest |z| here is about 1e-2.
    assert errors[2] < 1e-5


def test_relevance_is_conserved_up_to_epsilon(perceptron):
    weights, images = perceptron
    recipe = Recipe(attribution="epsilon_lrp", target="sum", epsilon=1e-6)
    features, maps = attribute(mlp, weights, jnp.asarray(images), ("top",), recipe)
    total = maps["top"].sum(axis=(1, 2, 3))
    # No biases: all relevance reaches the input, up to epsilon / |z| and float32.
    np.testing.assert_allclose(total, features["top"].sum(axis=1), rtol=1e-3)


ACTIVATIONS = {
    "relu": jax.nn.relu,
    "maximum": lambda z: jnp.maximum(z, 0),
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu6": jax.nn.relu6,
    "softplus": jax.nn.softplus,
    "mish": jax.nn.mish,
}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_slope_of_each_activation_is_f_over_z(name):
    activation = ACTIVATIONS[name]
    z = jnp.array([-7.0, -0.5, -1e-5, 0.0, 1e-5, 0.5, 7.0])
    ruled = with_epsilon_rule(activation, EPSILON)
    slope = jax.vmap(jax.grad(lambda x: ruled(x)))(z)
    expected = activation(z) / (z + EPSILON * jnp.where(z >= 0, 1.0, -1.0))
    # One division in float32.
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(jax.vmap(ruled)(z), activation(z))


def test_nonlinearities_inside_jit_scan_cond_and_remat_are_found():
    def looped(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c) * 2, None), x, None, length=2)[0]

    def unrolled(x):
        return jnp.tanh(jnp.tanh(x) * 2) * 2

    variants = {
        "jit": jax.jit(unrolled),
        "scan": looped,
        "remat": jax.checkpoint(unrolled),
        "cond": lambda x: jax.lax.cond(x.sum() > -9, unrolled, lambda x: x, x),
    }
    x = jnp.array([0.3, -1.2])
    expected = jax.grad(lambda x: with_epsilon_rule(unrolled, EPSILON)(x).sum())(x)
    assert float(jnp.abs(expected - jax.grad(lambda x: unrolled(x).sum())(x)).max()) > 0.1
    for name, variant in variants.items():
        got = jax.grad(lambda x, f=variant: with_epsilon_rule(f, EPSILON)(x).sum())(x)
        np.testing.assert_allclose(got, expected, rtol=1e-6, err_msg=name)  # the same operations


def test_a_nonlinearity_in_a_while_loop_is_refused():
    def looped(x):
        return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1])), (0, x))

    with pytest.raises(DeparaError, match="while"):
        with_epsilon_rule(looped, EPSILON)(jnp.ones(2))


def test_functions_without_nonlinearities_keep_their_own_derivative_rules():
    x = jnp.array([0.5, 2.0])
    ruled = with_epsilon_rule(lambda x: jax.nn.logsumexp(x) + jax.nn.softmax(x)[0], EPSILON)
    plain = jax.grad(lambda x: jax.nn.logsumexp(x) + jax.nn.softmax(x)[0])(x)
    np.testing.assert_allclose(jax.grad(ruled)(x), plain, rtol=1e-6)  # the same operations


def test_max_pooling_gives_its_relevance_to_the_winner(rng):
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    variables = networks.variables(3)
    recipe = Recipe(attribution="epsilon_lrp", target="sum", epsilon=1e-7)
    # At ReLUs the rule's limit is the gradient, so what pooling does must agree with the gradient.
    _, ruled = attribute(networks.forward, variables, images, ("body",), recipe)
    _, plain = attribute(networks.forward, variables, images, ("body",), Recipe(target="sum"))
    # Off by epsilon / |z| at the least active unit, here up to 1e-3 of the scale.
    scale = float(jnp.abs(plain["body"]).max())
    np.testing.assert_allclose(ruled["body"], plain["body"], atol=2e-3 * scale)
