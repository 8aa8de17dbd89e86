"""Short fine-tuning of whole networks, the second truth of part 2.

The protocol: every network sees min(its own, 96) pixels, a linear head on its
encoder layer starts at zero, and trunk and head are trained together for 40 steps of 16 images
(Adam; 1e-4 for the trunk, 1e-3 for the head, a tenth of both in the last third; mirrored images)
on 200 images and tested on 400 others. Batch normalisation keeps its stored statistics. The head's
input is standardised by the training images' features before any training, so that one rate suits
networks whose features differ in scale.

Training images and test images are the same for all networks and seeds; a seed draws the order, the
mirroring and nothing else.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from depara_jax.data.preprocess import preprocess
from depara_jax.estimators import linear_probe
from depara_jax.models import Model
from experiments.pretrained_zoo.images import Labelled
from experiments.pretrained_zoo.transfer import standard

__all__ = ["PIXELS", "TEST", "TRAIN", "fine_tuned"]

PIXELS, TRAIN, TEST = 96, 200, 400
_STEPS, _BATCH, _CHUNK = 40, 16, 50
_TRUNK, _HEAD = 1e-4, 1e-3


def fine_tuned(
    model: Model, data: Labelled, *, seeds: int, train: int = TRAIN, steps: int = _STEPS
) -> dict[str, Any]:
    """Accuracy after fine-tuning for each seed, and of a linear probe at the same resolution.

    Args:
      model: the network.
      data: images to train on and then those to test on.
      seeds: how many.
      train: how many of the images are trained on.
      steps: of training.

    Returns:
      "accuracy" [seeds] and "probe" [3].
    """
    size = tuple(min(side, PIXELS) for side in model.spec.input.size)
    input = dataclasses.replace(model.spec.input, size=size, resize=None)
    images = np.stack([preprocess(image, input) for image in data.images])
    tuner = _Tuner(model, int(data.labels.max()) + 1, steps)
    features = tuner.features(images)
    labels = np.asarray(data.labels, np.int32)
    accuracies = []
    for seed in range(seeds):
        guess = tuner.train(images[:train], labels[:train], features[:train], seed)
        accuracies.append(float((guess(images[train:]) == labels[train:]).mean()))
    scored = standard(features)
    probes = [linear_probe(scored, labels, seed=s).value for s in range(3)]
    return {"accuracy": np.asarray(accuracies), "probe": np.asarray(probes)}


class _Tuner:
    """One network with a linear head, its steps compiled once for all seeds."""

    def __init__(self, model: Model, classes: int, steps: int):
        self.classes, self.steps = classes, steps
        # Stored statistics of batch normalisation are no weights.
        self.start, fixed = nnx.split_state(model.variables, nnx.Param, ...)
        layer, forward = model.spec.encoder, model.forward
        optimiser = optax.multi_transform(
            {"trunk": _adam(_TRUNK, steps), "head": _adam(_HEAD, steps)},
            {"trunk": "trunk", "head": "head"},
        )

        def features(trunk: Any, images: Any) -> Any:
            out = forward(nnx.merge_state(trunk, fixed), images)[layer]
            return out.reshape(len(images), -1)

        def step(parameters: Any, state: Any, shift: Any, images: Any, labels: Any) -> Any:
            def loss(parameters: Any) -> Any:
                out = _logits(features(parameters["trunk"], images), shift, parameters["head"])
                return optax.softmax_cross_entropy_with_integer_labels(out, labels).mean()

            update, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
            return optax.apply_updates(parameters, update), state

        self._init, self._features, self._step = optimiser.init, jax.jit(features), jax.jit(step)

    def features(self, images: np.ndarray) -> np.ndarray:
        """[n, d] of the encoder layer before any training."""
        return self._rows(self.start, images)

    def _rows(self, trunk: Any, images: np.ndarray) -> np.ndarray:
        """With one compiled size: the last part is filled up with copies."""
        size = min(_CHUNK, len(images))
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            parts.append(np.asarray(self._features(trunk, filled))[: len(part)])
        return np.concatenate(parts)

    def train(
        self, images: np.ndarray, labels: np.ndarray, features: np.ndarray, seed: int
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Trains on all these images; returns the network's guess of the classes of others."""
        spread = features.std(axis=0)
        shift = (features.mean(axis=0), np.where(spread > 0, spread, 1).astype(np.float32))
        kernel = jnp.zeros((features.shape[1], self.classes))
        head = {"kernel": kernel, "bias": jnp.zeros(self.classes)}
        parameters: Any = {"trunk": self.start, "head": head}
        state, rng = self._init(parameters), np.random.default_rng(seed)
        size = min(_BATCH, len(images))
        rows = np.concatenate(
            [rng.permutation(len(images)) for _ in range(-(-self.steps * size // len(images)))]
        )
        for k in range(self.steps):
            chosen = rows[k * size : (k + 1) * size]
            batch, mirrored = images[chosen], rng.random(size) < 0.5
            batch[mirrored] = batch[mirrored, :, ::-1]
            parameters, state = self._step(parameters, state, shift, batch, labels[chosen])
        return lambda others: np.asarray(
            _logits(self._rows(parameters["trunk"], others), shift, parameters["head"])
        ).argmax(axis=1)


def _logits(features: Any, shift: Any, head: Any) -> Any:
    return (features - shift[0]) / shift[1] @ head["kernel"] + head["bias"]


def _adam(rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.piecewise_constant_schedule(rate, {2 * steps // 3: 0.1}))
