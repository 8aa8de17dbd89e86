"""Adversarial transferability as a sign of knowledge transferability: no labels, any two networks.

With d_f(x) the attack on f at x, the small perturbation that moves f's output the most, three
scores tell whether the source S and the target T respond alike:

    alpha1 = mean_x cos^2(d_S(x), d_T(x))                  do the same perturbations hurt both?
    tau1   = mean_x ||D_T,S(x)|| / ||D_T,T(x)||            how much of T's own attack does S's do?
    alpha2 = || mean_x unit(D_S,S(x)) unit(D_T,S(x))' ||_F do the outputs move alike under S's?
    D_f,g(x) = f(x + d_g(x)) - f(x)

alpha1 is squared, because a sign is undone by the last linear layer. alpha2 is 1 when each
network's output moves along one line for all x, and near 0 when the two directions vary
independently.

Basis: Liang, Zhang, Wang, Yang, Koyejo, Li, "Does Adversarial Transferability Indicate Knowledge
Transferability?", arXiv 2006.14512, which became "Uncovering the Connections Between Adversarial
Transferability and Knowledge Transferability", ICML 2021. The definitions are those of the authors'
code (kyleliang919/Uncovering-the-Connections-..., synthetic-exp/transferability.py), which states
them for small attacks, where d_f is the first right singular vector of f's Jacobian: its
`compute_tau1` is alpha1, the score of the first version; its `compute_alpha` and `compute_gamma`,
the two scores of the last one, are tau1 and alpha2. The attack follows exp1/attack.py there: random
start in the ball, signed steps of radius/steps, the loss being the deviation of the features from
the clean ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from depara_jax import stats
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import validate
from depara_jax.estimators.gradients import ModelFunction, as_images
from depara_jax.estimators.spectrum import matmul

__all__ = ["adversarial_alpha1", "adversarial_alpha2", "adversarial_tau1"]
__all__ += ["Attack", "fgsm", "output_deviation", "pgd"]

Attack = Callable[[ModelFunction, Any], Any]
Norm = Literal["linf", "l2"]
Objective = Literal["deviation", "prediction"]
EPSILON = 8 / 255
STEPS = 10


def pgd(
    model: ModelFunction,
    images: Any,
    *,
    epsilon: float = EPSILON,
    steps: int = STEPS,
    step_size: float | None = None,
    norm: str = "linf",
    objective: str = "deviation",
    seed: int = 0,
) -> Float[Array, "n ..."]:
    """Perturbations by projected gradient ascent from a seeded random start inside the ball.

    Args:
      model: images [n, ...] -> outputs [n, ...], row k depending on image k alone.
      images: [n, ...], preprocessed; they are not clipped to a range of pixels.
      epsilon: radius of the ball, in units of the preprocessed images.
      steps: how many.
      step_size: of each; `None` is epsilon / steps (linf) or 2.5 epsilon / steps (l2). Long steps
        make the l2 attack a power iteration for the most amplified direction.
      norm: "linf" (signed steps) or "l2" (normalised steps).
      objective: "deviation" ||f(x + d) - f(x)||, which needs no labels nor a classifier, or
        "prediction", the cross-entropy of logits [n, z] with the class predicted for the clean
        image.
      seed: of the random start. At d = 0 the deviation has no gradient, so there must be one.

    Returns:
      [n, ...] perturbations d, each within the ball.

    Raises:
      DeparaError: epsilon not positive, fewer than one step, an unknown norm or objective, images
        not finite.

    References:
      Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to
      Adversarial Attacks", ICLR 2018.
    """
    images = as_images(images)
    if step_size is None:
        step_size = (epsilon if norm == "linf" else 2.5 * epsilon) / max(steps, 1)
    if not epsilon > 0 or steps < 1 or not step_size > 0:
        raise DeparaError(
            "epsilon, steps, step_size: expected positive numbers, "
            f"got {epsilon}, {steps}, {step_size}"
        )
    for name, value, known in (("norm", norm, Norm), ("objective", objective, Objective)):
        if value not in get_args(known):
            raise DeparaError(f"{name}: expected one of {get_args(known)}, got {value!r}")
    ascend = partial(_ascend, model, epsilon, steps, step_size, norm, objective, seed)
    return jax.jit(ascend)(images)


def fgsm(
    model: ModelFunction,
    images: Any,
    *,
    epsilon: float = EPSILON,
    objective: str = "deviation",
    seed: int = 0,
) -> Float[Array, "n ..."]:
    """The fast gradient sign method from a random start: `pgd` with one linf step of full length.

    References:
      Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
    """
    return pgd(model, images, epsilon=epsilon, steps=1, objective=objective, seed=seed)


def adversarial_alpha1(
    source_model: ModelFunction, target_model: ModelFunction, images: Any, *, attack: Attack = pgd
) -> Float[Array, ""]:
    """alpha1: the mean squared cosine between the attacks on the source and on the target.

    Symmetric; both attacks start from the same random point. In [0, 1], higher is better.

    Args:
      source_model: images [n, ...] -> outputs [n, ...].
      target_model: the same, on the same images; its outputs may have another shape.
      images: [n, ...], preprocessed, unlabelled.
      attack: (model, images) -> perturbations, e.g. `fgsm` or `partial(pgd, epsilon=0.1, seed=1)`.

    Raises:
      DeparaError: as `attack`.

    References:
      Liang et al., arXiv 2006.14512 (see the module's note on its versions).
    """
    images = as_images(images)
    rows = [
        attack(model, images).reshape(images.shape[0], -1) for model in (source_model, target_model)
    ]
    return (stats.cosine(*rows) ** 2).mean()


def adversarial_tau1(
    source_model: ModelFunction, target_model: ModelFunction, images: Any, *, attack: Attack = pgd
) -> Float[Array, ""]:
    """tau1: how far the attack on the source moves the target, relative to the target's own attack.

    1 if the source's attack is as good as the target's own; not symmetric. It can exceed 1 by as
    much as the target's own attack falls short of the best one. Higher is better. Arguments and
    errors as in `adversarial_alpha1`.

    Raises:
      DegenerateError: the target's outputs do not move at all.
    """
    images = as_images(images)
    foreign, own = (
        jnp.linalg.norm(output_deviation(target_model, images, attack(model, images)), axis=1)
        for model in (source_model, target_model)
    )
    if validate.is_concrete(own) and not bool(own.any()):
        raise DegenerateError(
            "target_model: its own attack does not move its outputs; tau1 is undefined"
        )
    # An image that moves nothing by either attack says nothing and counts as 0.
    return (foreign / jnp.where(own > 0, own, jnp.inf)).mean()


def adversarial_alpha2(
    source_model: ModelFunction, target_model: ModelFunction, images: Any, *, attack: Attack = pgd
) -> Float[Array, ""]:
    """alpha2: how alike both outputs move, over all images, under the attack on the source.

    In [0, 1], higher is better; not symmetric. Arguments and errors as in `adversarial_alpha1`.

    Raises:
      DegenerateError: one of the outputs does not move at all.
    """
    images = as_images(images)
    perturbed = attack(source_model, images)
    moved = [output_deviation(model, images, perturbed) for model in (source_model, target_model)]
    for name, rows in zip(("source_model", "target_model"), moved, strict=True):
        if validate.is_concrete(rows) and not bool(rows.any()):
            raise DegenerateError(
                f"{name}: the attack does not move its outputs; alpha2 is undefined"
            )
    # ||mean a b'||_F^2 = mean over pairs of <a_i, a_j> <b_i, b_j>: n x n, however wide the outputs.
    grams = [matmul(rows, rows.T) for rows in map(stats.normalize_rows, moved)]
    return jnp.sqrt(jnp.maximum((grams[0] * grams[1]).mean(), 0))


def output_deviation(model: ModelFunction, images: Any, attack: Any) -> Float[Array, "n k"]:
    """f(x + d) - f(x), flattened.

    Args:
      model: images [n, ...] -> outputs [n, ...].
      images: [n, ...].
      attack: [n, ...] perturbations.
    """
    images, attack = as_images(images), as_images(attack)
    moved = jax.jit(lambda clean, shift: model(clean + shift) - model(clean))(images, attack)
    return moved.reshape(images.shape[0], -1)


def _ascend(
    model: ModelFunction,
    epsilon: float,
    steps: int,
    step_size: float,
    norm: str,
    objective: str,
    seed: int,
    images: Float[Array, "n ..."],
) -> Float[Array, "n ..."]:
    clean = model(images)

    def loss(attack: Float[Array, "n ..."]) -> Float[Array, ""]:
        outputs = model(images + attack)
        if objective == "deviation":
            # Squared: the same direction as the norm, with a gradient everywhere.
            return ((outputs - clean) ** 2).sum()
        logs = jax.nn.log_softmax(outputs, axis=-1)
        return -jnp.take_along_axis(logs, clean.argmax(axis=-1)[:, None], axis=-1).sum()

    def step(attack: Float[Array, "n ..."], _: None) -> tuple[Float[Array, "n ..."], None]:
        slope = jax.grad(loss)(attack)
        direction = jnp.sign(slope) if norm == "linf" else _unit(slope)
        return _into_ball(attack + step_size * direction, epsilon, norm), None

    noise = jax.random.uniform(jax.random.key(seed), images.shape, jnp.float32, -1.0, 1.0)
    noise = noise.astype(images.dtype)  # drawn in one dtype, so that precision changes no start
    start = epsilon * (noise if norm == "linf" else _unit(noise))
    return jax.lax.scan(step, start, None, length=steps)[0]


def _unit(values: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    rows = stats.normalize_rows(values.reshape(values.shape[0], -1))
    return jnp.asarray(rows).reshape(values.shape)


def _into_ball(attack: Array, epsilon: float, norm: str) -> Array:
    if norm == "linf":
        return jnp.clip(attack, -epsilon, epsilon)
    rows = attack.reshape(attack.shape[0], -1)
    size = jnp.sqrt((rows**2).sum(axis=1, keepdims=True))
    return (rows * jnp.minimum(1, epsilon / jnp.maximum(size, epsilon))).reshape(attack.shape)
