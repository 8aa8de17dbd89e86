"""A small network of the target task, which DEPARA and its kin compare the sources with."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from depara_jax.data.preprocess import preprocess
from depara_jax.models import Model
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.port import PureForward, port_model, port_spec, random_variables
from experiments.pretrained_zoo.images import Labelled

__all__ = ["train_target"]


def train_target(
    labelled: Labelled, others: Labelled, *, steps: int = 600, seed: int = 0
) -> tuple[Model, float]:
    """Trains a 32-pixel encoder with a linear head from scratch.

    Returns:
      The encoder, and its accuracy on the other images.
    """
    config = EncoderConfig()
    run = PureForward(Encoder, config)
    classes = int(labelled.labels.max()) + 1
    variables = random_variables(Encoder, config, jax.random.key(seed))
    spec = port_spec(config, name="target", task="target")
    images = np.stack([preprocess(image, spec.input) for image in labelled.images])
    width = int(np.prod(jax.eval_shape(run, variables, images[:1])[spec.encoder].shape[1:]))
    rng = np.random.default_rng(seed)
    head = jnp.asarray(rng.normal(0, width**-0.5, (width, classes)), jnp.float32)
    optimiser = optax.adamw(1e-3, weight_decay=1e-4)

    def logits(parameters: Any, batch: Any) -> Any:
        encoder, head = parameters
        features = run(encoder, batch)[spec.encoder]
        return features.reshape(len(batch), -1) @ head

    @jax.jit
    def step(parameters: Any, state: Any, batch: Any, labels: Any) -> Any:
        def loss(parameters: Any) -> Any:
            crossed = optax.softmax_cross_entropy_with_integer_labels(
                logits(parameters, batch), labels
            )
            return crossed.mean()

        updates, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
        return optax.apply_updates(parameters, updates), state

    parameters = (variables, head)
    state = optimiser.init(parameters)
    for _ in range(steps):
        chosen = rng.integers(0, len(images), 32)
        batch = images[chosen]
        mirrored = rng.random(32) < 0.5
        batch[mirrored] = batch[mirrored, :, ::-1]
        parameters, state = step(parameters, state, batch, labelled.labels[chosen])
    tests = np.stack([preprocess(image, spec.input) for image in others.images])
    guessed = np.asarray(jax.jit(logits)(parameters, tests).argmax(axis=1))
    model = port_model(Encoder, config, variables=parameters[0], spec=spec)
    return model, float((guessed == others.labels).mean())
