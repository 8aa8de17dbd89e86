"""ModelGiF and the Jacobian angle in cases known in closed form."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import input_gradients, jacobian_angle, modelgif
from tests.estimators.conftest import network

pytestmark = pytest.mark.usefixtures("x64")


def linear(weights: np.ndarray) -> Any:
    return lambda x: x.reshape(x.shape[0], -1) @ jnp.asarray(weights, x.dtype)


def test_input_gradients_of_each_readout(rng: np.random.Generator) -> None:
    weights, images = rng.normal(size=(12, 3)), rng.normal(size=(5, 2, 2, 3))
    model, rows = linear(weights), images.reshape(5, 12)
    # A linear map has its weights as gradient, whatever the image.
    expected = np.tile(weights.sum(axis=1), (5, 1)).reshape(images.shape)
    np.testing.assert_allclose(input_gradients(model, images), expected, rtol=1e-12)
    outputs = rows @ weights
    norm = outputs @ weights.T / np.linalg.norm(outputs, axis=1, keepdims=True)
    ours = input_gradients(model, images, readout="l2")
    np.testing.assert_allclose(ours, norm.reshape(images.shape), rtol=1e-12)
    # "max" picks in every channel the largest of the spatial activations: here the image itself.
    ours = input_gradients(lambda x: x, images, readout="max")
    largest = images == images.max(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(ours, largest.astype(float))


def test_angles_between_known_directions() -> None:
    left = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    right = np.array([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    # 0, a right angle, opposite, and undefined, which counts as a right angle
    expected = np.mean([0, np.pi / 2, np.pi, np.pi / 2])
    assert float(jacobian_angle(left, right)) == pytest.approx(expected, abs=1e-12)


def test_small_angles_keep_their_digits_in_float32() -> None:
    """arccos of a float32 cosine cannot tell 1e-4 from 0."""
    left = np.array([[1.0, 0.0]], np.float32)
    right = np.array([[1.0, 1e-4]], np.float32)
    assert float(jacobian_angle(left, right)) == pytest.approx(1e-4, rel=1e-4)  # float32


def test_jacobians_of_any_shape(rng: np.random.Generator) -> None:
    left, right = rng.normal(size=(2, 6, 3, 8))
    flat = float(jacobian_angle(left.reshape(6, -1), right.reshape(6, -1)))
    assert float(jacobian_angle(left, right)) == pytest.approx(flat)


def test_modelgif_of_linear_models_is_gradient_times_input(rng: np.random.Generator) -> None:
    """Their gradient is the same along the path, so every step has the same field."""
    first, second, images = (
        rng.normal(size=(48, 3)),
        rng.normal(size=(48, 5)),
        rng.normal(size=(6, 4, 4, 3)),
    )
    maps = [
        (images * weights.sum(axis=1).reshape(4, 4, 3)).mean(axis=-1).reshape(6, -1)
        for weights in (first, second)
    ]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in maps]
    expected = (unit[0] * unit[1]).sum(axis=1).mean()
    ours = modelgif(linear(first), linear(second), images, steps=7, readout="sum")
    assert float(ours) == pytest.approx(expected, rel=1e-10)


def test_modelgif_is_the_mean_over_the_path(rng: np.random.Generator) -> None:
    """Written out: fields at every node, cumulated, channel means, cosines."""
    models, images = (network(1, 9, 4), network(2, 7, 5)), rng.normal(size=(3, 4, 4, 3))
    nodes, weights = np.polynomial.legendre.leggauss(4)
    fields = []
    for model in models:
        slopes = [
            w / 2 * np.asarray(input_gradients(model, 0.5 + (a + 1) / 2 * (images - 0.5)))
            for a, w in zip(nodes, weights, strict=True)
        ]
        field = np.cumsum(slopes, axis=0) * (images - 0.5)
        fields.append(field.mean(axis=-1).reshape(4, 3, -1))
    unit = [field / np.linalg.norm(field, axis=-1, keepdims=True) for field in fields]
    expected = (unit[0] * unit[1]).sum(axis=-1).mean()
    ours = modelgif(*models, images, steps=4, readout="sum", baseline=0.5)
    assert float(ours) == pytest.approx(expected, rel=1e-9)  # float64
    assert float(modelgif(models[0], models[0], images, steps=4)) == pytest.approx(1.0)


def test_integrated_field_is_complete(rng: np.random.Generator) -> None:
    """The last field sums to r(x) - r(x0), as integrated gradients must."""
    model, images = network(3, 10, 4), rng.normal(size=(4, 4, 4, 3))
    nodes, weights = np.polynomial.legendre.leggauss(30)
    total = sum(
        w
        / 2
        * (images * np.asarray(input_gradients(model, (a + 1) / 2 * images))).sum(axis=(1, 2, 3))
        for a, w in zip(nodes, weights, strict=True)
    )
    expected = model(jnp.asarray(images)).sum(axis=1) - model(jnp.zeros_like(images)).sum(axis=1)
    np.testing.assert_allclose(total, expected, rtol=1e-9)  # 30 Gauss nodes on a smooth path


def test_bad_arguments(rng: np.random.Generator) -> None:
    images, model = rng.normal(size=(2, 4, 4, 3)), network(1, 4, 2)
    with pytest.raises(DeparaError, match="readout"):
        input_gradients(model, images, readout="mean")
    with pytest.raises(DeparaError, match="steps"):
        modelgif(model, model, images, steps=0)
    with pytest.raises(DeparaError, match="same images"):
        jacobian_angle(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(DegenerateError, match="target_gradients: zero"):
        jacobian_angle(np.ones((3, 4)), np.zeros((3, 4)))
