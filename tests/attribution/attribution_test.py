"""Maps of all layers against single gradients, finite differences, and each method's own law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.attribution import METHODS, TARGETS, attribute
from depara_jax.attribution.gradients import integrated_gradients, steps_at_once
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.recipe import Recipe
from tests import networks

LAYERS = ("stem", "body", "answer")


@pytest.fixture
def case(rng):
    images = jnp.asarray(rng.normal(size=(5, 8, 8, 3)), jnp.float32)
    return networks.variables(0), images


@pytest.mark.parametrize("target", list(TARGETS))
def test_every_layer_equals_its_own_vmapped_gradient(case, target):
    variables, images = case
    features, maps = attribute(networks.forward, variables, images, LAYERS, Recipe(target=target))
    for layer in LAYERS:

        def scalar(image, layer=layer):
            return TARGETS[target](networks.forward(variables, image[None])[layer][0])

        expected = images * jax.vmap(jax.grad(scalar))(images)
        # The same float32 operations, which XLA may fuse in another order.
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(maps[layer], expected, atol=2e-6 * scale)
        direct = networks.forward(variables, images)[layer]
        np.testing.assert_allclose(features[layer], direct, atol=1e-6)


def test_per_image_gradients_equal_the_gradient_of_the_batch_sum(case):
    # True as long as no image's features depend on another image, such as batch norm in training.
    variables, images = case
    _, maps = attribute(networks.forward, variables, images, ("answer",), Recipe(target="sum"))
    total = jax.grad(lambda x: networks.forward(variables, x)["answer"].sum())(images)
    np.testing.assert_allclose(maps["answer"], images * total, atol=1e-6)  # order of float32 sums


def test_gradients_equal_finite_differences_in_float64(case):
    variables, images = case
    with jax.enable_x64():
        variables = jax.tree.map(lambda v: np.asarray(v, np.float64), variables)
        image = np.asarray(images[:1], np.float64)
        _, maps = attribute(networks.forward, variables, image, ("body",), Recipe(target="l2"))
        step = 1e-6
        for index in [(0, 1, 2, 0), (0, 4, 4, 1), (0, 7, 0, 2)]:
            ends = []
            for sign in (1, -1):
                moved = image.copy()
                moved[index] += sign * step
                features = networks.forward(variables, jnp.asarray(moved))["body"]
                ends.append(float(jnp.linalg.norm(features)))
            expected = image[index] * (ends[0] - ends[1]) / (2 * step)
            # The target is summed in float32 (rounding 1e-7 relative); differences add 1e-9.
            np.testing.assert_allclose(maps["body"][index], expected, rtol=1e-4, atol=1e-6)


def test_saliency_is_the_magnitude_of_the_gradient(case):
    variables, images = case
    _, maps = attribute(
        networks.forward, variables, images, LAYERS, Recipe(attribution="saliency", target="sum")
    )
    gradient = jax.grad(lambda x: networks.forward(variables, x)["body"].sum())(images)
    np.testing.assert_allclose(maps["body"], jnp.abs(gradient), atol=1e-6)  # order of sums


@pytest.mark.parametrize("target", ["sum", "l2sq"])
def test_integrated_gradients_are_complete(case, target):
    variables, images = case
    recipe = Recipe(attribution="integrated_gradients", target=target, steps=400)
    _, maps = attribute(networks.forward, variables, images, LAYERS, recipe)
    for layer in LAYERS:
        for image, attribution in zip(images, maps[layer], strict=True):
            ends = [
                TARGETS[target](networks.forward(variables, x[None])[layer][0])
                for x in (image, jnp.zeros_like(image))
            ]
            expected = float(ends[0] - ends[1])
            scale = max(1.0, abs(expected))
            # The midpoint rule over 400 steps crosses kinks of ReLU: error about 1/steps.
            assert abs(float(attribution.sum()) - expected) < 5e-3 * scale


def test_memory_of_integrated_gradients_does_not_grow_with_the_steps_in_a_loop(case):
    variables, images = case
    sizes = []
    for steps in (4, 64):
        compiled = jax.jit(
            lambda v, x, s=steps: jax.vmap(
                lambda image: integrated_gradients(
                    lambda x: {k: f[0] for k, f in networks.forward(v, x[None]).items()},
                    image, LAYERS, target="l2", steps=s,
                )
            )(x)[1]
        ).lower(variables, images)  # fmt: skip
        sizes.append(compiled.compile().memory_analysis().temp_size_in_bytes)
    # 60 more steps add their positions on the path, 4 bytes each, and not one image (768 bytes).
    assert sizes[1] - sizes[0] <= 60 * 4


@pytest.mark.parametrize("at_once", [2, 3, 7, 9])
def test_steps_side_by_side_give_what_the_loop_gives(case, at_once):
    variables, images = case

    def path(at_once):
        return integrated_gradients(
            lambda x: {k: f[0] for k, f in networks.forward(variables, x[None]).items()},
            images[0], LAYERS, target="l2", steps=7, at_once=at_once,
        )  # fmt: skip

    (features, looped), (same, beside) = path(1), path(at_once)
    for layer in LAYERS:
        np.testing.assert_array_equal(features[layer], same[layer])
        scale = float(jnp.abs(looped[layer]).max())
        # Sums of seven float32 gradients in another order.
        np.testing.assert_allclose(beside[layer], looped[layer], atol=1e-6 * scale)


def test_steps_at_once_are_bounded_in_pixels_and_parts():
    assert steps_at_once(50, (2, 32, 32, 3), "cpu") == 50
    assert steps_at_once(50, (128, 32, 32, 3), "cpu") == 8
    assert steps_at_once(50, (1, 224, 224, 3), "cpu") == 20
    assert steps_at_once(50, (10, 224, 224, 3), "cpu") == 1  # 25 parts would be compiled
    assert steps_at_once(50, (64, 2048, 2048, 3), "cpu") == 1  # one step is too much
    assert steps_at_once(50, (2, 32, 32, 3), "tpu") == 1


def test_l2_and_l2sq_differ_by_a_positive_factor_per_image(case):
    variables, images = case
    maps = [
        attribute(networks.forward, variables, images, ("body",), Recipe(target=t))[1]["body"]
        for t in ("l2", "l2sq")
    ]
    for one, squared in zip(*maps, strict=True):
        factor = float(jnp.vdot(one, squared) / jnp.vdot(one, one))
        assert factor > 0
        np.testing.assert_allclose(squared, factor * one, atol=1e-4)  # maps of order 10


def test_l2_of_a_dead_layer_has_a_zero_map_and_no_nan(case):
    variables, images = case
    dead = {**variables, "conv1": -jnp.abs(variables["conv1"])}
    for target in TARGETS:
        _, maps = attribute(
            networks.forward, dead, jnp.abs(images), ("stem",), Recipe(target=target)
        )
        assert not np.asarray(maps["stem"]).any()


def test_the_largest_activations_are_taken_channel_by_channel(rng):
    features = rng.normal(size=(4, 5, 3)).astype(np.float32)
    expected = sum(features[..., channel].max() for channel in range(3))
    np.testing.assert_allclose(TARGETS["max"](jnp.asarray(features)), expected, rtol=1e-6)
    vector = features[0, 0]  # no place to choose from: every channel is its own largest
    np.testing.assert_allclose(TARGETS["max"](jnp.asarray(vector)), vector.sum(), rtol=1e-6)
    gradient = jax.grad(TARGETS["max"])(jnp.asarray(features))
    assert int((np.asarray(gradient) != 0).sum()) == 3  # one place a channel


def test_images_do_not_touch_each_other(case):
    variables, images = case
    _, maps = attribute(networks.forward, variables, images, ("answer",), Recipe())
    _, alone = attribute(networks.forward, variables, images[2:3], ("answer",), Recipe())
    np.testing.assert_allclose(maps["answer"][2:3], alone["answer"], atol=1e-5)  # order of sums


def test_one_program_runs_the_forward_pass_once_and_no_weight_gradient(case):
    variables, images = case

    def everything(v, x):
        return attribute(networks.forward, v, x, LAYERS, Recipe())

    text = jax.jit(everything).lower(variables, images).compile().as_text()
    # Two forward convolutions; one pullback through conv1 for the stem, two for each of the others.
    assert text.count(" convolution(") == 2 + 1 + 2 + 2


def test_images_of_integers_are_refused(case):
    variables, _ = case
    with pytest.raises(DeparaError, match="uint8, expected preprocessed"):
        attribute(
            networks.forward, variables, jnp.ones((1, 8, 8, 3), jnp.uint8), ("stem",), Recipe()
        )


def test_an_unknown_layer_is_answered_with_the_near_ones(case):
    with pytest.raises(UnknownNameError, match="did you mean 'stem'"):
        attribute(networks.forward, *case, ("stm",), Recipe())


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_finite_and_keeps_the_shape(case, method):
    variables, images = case
    _, maps = attribute(networks.forward, variables, images, LAYERS, Recipe(attribution=method))
    assert all(m.shape == images.shape and np.isfinite(m).all() for m in maps.values())
