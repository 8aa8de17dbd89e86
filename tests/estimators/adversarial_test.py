"""The attacks and both scores on linear maps, where the answer is a singular vector."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import (
    adversarial_alpha1,
    adversarial_alpha2,
    adversarial_tau1,
    fgsm,
    pgd,
)
from depara_jax.estimators.adversarial import output_deviation
from tests.estimators.conftest import network

pytestmark = pytest.mark.usefixtures("x64")


def linear(weights: np.ndarray) -> Any:
    return lambda x: x.reshape(x.shape[0], -1) @ jnp.asarray(weights, x.dtype)


def top_direction(weights: np.ndarray) -> np.ndarray:
    return np.linalg.svd(weights)[0][:, 0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_stay_in_the_ball_and_beat_the_random_start(
    rng: np.random.Generator, norm: str
) -> None:
    model, images = network(1, 12, 5), rng.normal(size=(9, 4, 4, 3))
    attack = np.asarray(pgd(model, images, epsilon=0.1, norm=norm, steps=20)).reshape(9, -1)
    size = np.abs(attack).max(axis=1) if norm == "linf" else np.linalg.norm(attack, axis=1)
    assert (size <= 0.1 * (1 + 1e-9)).all()
    random = rng.uniform(-1, 1, size=attack.shape)
    random *= 0.1 if norm == "linf" else 0.1 / np.linalg.norm(random, axis=1, keepdims=True)
    moved = [
        np.linalg.norm(output_deviation(model, images, one.reshape(images.shape)), axis=1)
        for one in (attack, random)
    ]
    assert (moved[0] > 1.5 * moved[1]).all()


def test_l2_attack_on_a_linear_map_is_its_first_singular_vector(rng: np.random.Generator) -> None:
    weights, images = rng.normal(size=(10, 6)), rng.normal(size=(7, 10))
    attack = np.asarray(
        pgd(linear(weights), images, epsilon=0.5, norm="l2", steps=300, step_size=50.0)
    )
    aligned = np.abs(attack @ top_direction(weights)) / 0.5
    # Long steps are a power iteration; 300 of them leave the second direction far behind.
    np.testing.assert_allclose(aligned, 1.0, atol=1e-3)


def test_alpha1_of_linear_maps_is_the_squared_cosine_of_their_directions(
    rng: np.random.Generator,
) -> None:
    first, second = rng.normal(size=(10, 6)), rng.normal(size=(10, 4))
    images = rng.normal(size=(7, 10))
    ours = adversarial_alpha1(
        linear(first),
        linear(second),
        images,
        attack=partial(pgd, epsilon=0.5, norm="l2", steps=300, step_size=50.0),
    )
    expected = (top_direction(first) @ top_direction(second)) ** 2
    assert float(ours) == pytest.approx(expected, abs=5e-3)  # as above, for two attacks


def test_alpha2_is_its_definition(rng: np.random.Generator) -> None:
    source, target = network(1, 12, 6), network(2, 9, 4)
    images = rng.normal(size=(8, 4, 4, 3))
    attack = partial(pgd, epsilon=0.2, steps=5, seed=3)
    unit = []
    for model in (source, target):
        moved = np.asarray(output_deviation(model, images, attack(source, images)))
        unit.append(moved / np.linalg.norm(moved, axis=1, keepdims=True))
    expected = np.linalg.norm(np.mean([np.outer(a, b) for a, b in zip(*unit, strict=True)], axis=0))
    ours = adversarial_alpha2(source, target, images, attack=attack)
    assert float(ours) == pytest.approx(expected, rel=1e-10)  # float64


def by_singular_vectors(source: Any, target: Any, images: np.ndarray) -> dict[str, float]:
    """The authors' small-attack definitions: d_f is the Jacobian's first right singular vector."""
    found: dict[str, list[Any]] = {"alpha1": [], "tau1": [], "alpha2": []}
    slopes = [
        np.asarray(jax.jit(jax.vmap(jax.jacobian(lambda x, f=f: f(x[None])[0])))(images))
        for f in (source, target)
    ]
    for pair in zip(*slopes, strict=True):
        jacobians = [jacobian.reshape(len(jacobian), -1) for jacobian in pair]
        _, values, right = zip(*map(np.linalg.svd, jacobians), strict=True)
        directions, largest = [each[0] for each in right], [each[0] for each in values]
        moved = [jacobian @ directions[0] for jacobian in jacobians]
        found["alpha1"].append((directions[0] @ directions[1]) ** 2)
        found["tau1"].append(np.linalg.norm(moved[1]) / largest[1])
        found["alpha2"].append(np.outer(*[one / np.linalg.norm(one) for one in moved]))
    means = {name: np.mean(each, axis=0) for name, each in found.items()}
    return {name: float(np.linalg.norm(mean)) for name, mean in means.items()}


def test_small_attacks_give_the_singular_vector_definitions(rng: np.random.Generator) -> None:
    """All three scores of two non-linear networks, against the Jacobians' singular vectors."""
    source, foreign = network(1, 12, 6), network(2, 9, 4)
    images = rng.normal(size=(6, 4, 4, 3))

    def target(x: Any) -> Any:
        return source(x)[:, :4] + foreign(x)

    expected = by_singular_vectors(source, target, images)
    # Long steps are a power iteration; what 500 of them and the curvature at 1e-4 leave is < 1e-3.
    attack = partial(pgd, epsilon=1e-4, norm="l2", steps=500, step_size=1.0)
    for name, score in (
        ("alpha1", adversarial_alpha1),
        ("tau1", adversarial_tau1),
        ("alpha2", adversarial_alpha2),
    ):
        ours = float(score(source, target, images, attack=attack))
        assert ours == pytest.approx(expected[name], abs=1e-3), name
    assert all(0.05 < one < 0.95 for one in expected.values())  # neither alike nor foreign


def test_tau1_is_one_for_a_network_and_itself(rng: np.random.Generator) -> None:
    source, images = network(1, 12, 6), rng.normal(size=(8, 4, 4, 3))
    assert float(adversarial_tau1(source, source, images)) == pytest.approx(1.0, abs=1e-12)
    assert float(adversarial_tau1(source, network(2, 12, 6), images)) < 0.9
    with pytest.raises(DegenerateError, match="tau1"):
        adversarial_tau1(source, lambda x: jnp.ones((x.shape[0], 2), x.dtype), images)


def test_one_dimensional_outputs_always_move_along_one_line(rng: np.random.Generator) -> None:
    """Up to a sign for each image, which is a common one if the target is a multiple."""
    source, images = network(1, 12, 1), rng.normal(size=(8, 4, 4, 3))
    ours = adversarial_alpha2(source, lambda x: -3 * source(x), images)
    assert float(ours) == pytest.approx(1.0, abs=1e-12)


def test_a_model_transfers_to_itself_and_less_to_another(rng: np.random.Generator) -> None:
    source, other, images = network(1, 12, 6), network(2, 12, 6), rng.normal(size=(8, 4, 4, 3))
    # A last linear layer changes no attack direction by more than its conditioning; a sign, none.
    assert float(adversarial_alpha1(source, lambda x: -source(x), images)) == pytest.approx(1.0)
    assert float(adversarial_alpha1(source, other, images)) < 0.5
    assert float(adversarial_alpha2(source, source, images)) > float(
        adversarial_alpha2(source, other, images)
    )


def test_fgsm_is_one_signed_step(rng: np.random.Generator) -> None:
    model, images = network(1, 12, 5), rng.normal(size=(4, 4, 4, 3))
    one = np.asarray(fgsm(model, images, epsilon=0.1, seed=2))
    np.testing.assert_array_equal(one, pgd(model, images, epsilon=0.1, steps=1, seed=2))
    assert np.abs(one).max() <= 0.1
    assert not np.array_equal(one, fgsm(model, images, epsilon=0.1, seed=3))


def test_prediction_objective_lowers_the_predicted_class(rng: np.random.Generator) -> None:
    model, images = network(1, 12, 5), rng.normal(size=(6, 4, 4, 3))
    attack = pgd(model, images, epsilon=0.1, objective="prediction")
    before = np.asarray(model(jnp.asarray(images)))
    after = np.asarray(model(images + attack))
    chosen = before.argmax(axis=1)[:, None]

    def confidence(logits: np.ndarray) -> np.ndarray:
        picked = np.take_along_axis(logits, chosen, axis=1)[:, 0]
        return picked - np.log(np.exp(logits).sum(axis=1))

    assert (confidence(after) < confidence(before)).all()


def test_limits(rng: np.random.Generator) -> None:
    model, images = network(1, 4, 3), rng.normal(size=(3, 4, 4, 3))
    with pytest.raises(DeparaError, match="epsilon"):
        pgd(model, images, epsilon=0.0)
    with pytest.raises(DeparaError, match="steps"):
        pgd(model, images, steps=0)
    with pytest.raises(DeparaError, match="norm: expected one of"):
        pgd(model, images, norm="l1")
    with pytest.raises(DeparaError, match="objective"):
        pgd(model, images, objective="labels")
    with pytest.raises(DegenerateError, match="target_model"):
        adversarial_alpha2(model, lambda x: jnp.ones((x.shape[0], 2), x.dtype), images)
