"""Short trainings: whole networks on a target, and a target's own small network.

Fine-tuning is the second truth of part 2. The protocol: every network sees min(its own, 96) pixels,
a linear head on its encoder layer starts at zero, and trunk and head are trained together for 40
steps of 16 images (Adam; 1e-4 for the trunk, 1e-3 for the head, a tenth of both in the last third;
mirrored images) on 200 images and tested on 400 others. Batch normalisation keeps its stored
statistics. The head's input is standardised by the training images' features before any training,
so that one rate suits networks whose features differ in scale.

Training images and test images are the same for all networks and seeds; a seed draws the order, the
mirroring and nothing else.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from depara_jax.data.preprocess import preprocess
from depara_jax.estimators import linear_probe
from depara_jax.models import Model
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.port import PureForward, port_model, port_spec, random_variables
from depara_jax.spec import InputSpec
from depara_jax.walk.batches import filled_up
from experiments.pretrained_zoo.images import Labelled
from experiments.pretrained_zoo.transfer import standard

PIXELS, TRAIN, TEST = 96, 200, 400
_STEPS, _BATCH, _CHUNK = 40, 16, 50
_TRUNK, _HEAD = 1e-4, 1e-3


def _trainer(logits: Callable[..., Any], optimiser: optax.GradientTransformation) -> Callable:
    """Steps down the cross-entropy of `logits(parameters, images, *fixed)`, compiled once.

    Returns:
      (parameters, images, labels, batches, *fixed) -> the parameters after a step on each batch,
      which is (rows, which of them are mirrored).
    """

    @jax.jit
    def step(parameters: Any, state: Any, images: Any, labels: Any, *fixed: Any) -> Any:
        def loss(parameters: Any) -> Any:
            out = logits(parameters, images, *fixed)
            return optax.softmax_cross_entropy_with_integer_labels(out, labels).mean()

        updates, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
        return optax.apply_updates(parameters, updates), state

    def run(parameters: Any, images: Any, labels: Any, batches: Any, *fixed: Any) -> Any:
        state = optimiser.init(parameters)
        for rows, mirrored in batches:
            batch = images[rows]
            batch[mirrored] = batch[mirrored, :, ::-1]
            parameters, state = step(parameters, state, batch, labels[rows], *fixed)
        return parameters

    return run


def fine_tuned(
    model: Model, data: Labelled, *, seeds: int, train: int = TRAIN, steps: int = _STEPS
) -> dict[str, Any]:
    """Accuracy after fine-tuning for each seed, and of a linear probe at the same resolution.

    The first `train` images are trained on, the others tested on.

    Returns:
      "accuracy" [seeds] and "probe" [3].
    """
    size = tuple(min(side, PIXELS) for side in model.spec.input.size)
    images = _prepared(data, dataclasses.replace(model.spec.input, size=size, resize=None))
    labels, classes = np.asarray(data.labels, np.int32), int(data.labels.max()) + 1
    # Stored statistics of batch normalisation are no weights.
    start, fixed = nnx.split_state(model.variables, nnx.Param, ...)

    @jax.jit
    def features(trunk: Any, images: Any) -> Any:
        out = model.forward(nnx.merge_state(trunk, fixed), images)[model.spec.encoder]
        return out.reshape(len(images), -1)

    def logits(parameters: Any, images: Any, shift: Any) -> Any:
        return _head(features(parameters["trunk"], images), shift, parameters["head"])

    before = _rows(features, start, images)
    spread = before[:train].std(axis=0)
    shift = (before[:train].mean(axis=0), np.where(spread > 0, spread, 1).astype(np.float32))
    head = {"kernel": jnp.zeros((before.shape[1], classes)), "bias": jnp.zeros(classes)}
    rates: Any = {"trunk": _adam(_TRUNK, steps), "head": _adam(_HEAD, steps)}
    run = _trainer(logits, optax.multi_transform(rates, {name: name for name in rates}))
    accuracies = []
    for seed in range(seeds):
        batches = _epochs(len(images[:train]), steps, np.random.default_rng(seed))
        tuned = run({"trunk": start, "head": head}, images, labels, batches, shift)
        outputs = _rows(features, tuned["trunk"], images[train:])
        guess = np.asarray(_head(outputs, shift, tuned["head"])).argmax(axis=1)
        accuracies.append(float((guess == labels[train:]).mean()))
    scored = standard(before)
    probes = [linear_probe(scored, labels, seed=s).value for s in range(3)]
    return {"accuracy": np.asarray(accuracies), "probe": np.asarray(probes)}


def train_target(
    labelled: Labelled, others: Labelled, *, steps: int = 600, seed: int = 0
) -> tuple[Model, float]:
    """Trains a 32-pixel encoder with a linear head from scratch.

    Returns:
      The encoder, which DEPARA and its kin compare the sources with, and its accuracy on the other
      images.
    """
    config = EncoderConfig()
    run, spec = PureForward(Encoder, config), port_spec(config, name="target", task="target")
    variables = random_variables(Encoder, config, jax.random.key(seed))
    images = _prepared(labelled, spec.input)
    width = int(np.prod(jax.eval_shape(run, variables, images[:1])[spec.encoder].shape[1:]))
    rng = np.random.default_rng(seed)
    shape = (width, int(labelled.labels.max()) + 1)
    head = jnp.asarray(rng.normal(0, width**-0.5, shape), jnp.float32)

    def logits(parameters: Any, batch: Any) -> Any:
        encoder, head = parameters
        return run(encoder, batch)[spec.encoder].reshape(len(batch), -1) @ head

    batches = ((rng.integers(0, len(images), 32), rng.random(32) < 0.5) for _ in range(steps))
    train = _trainer(logits, optax.adamw(1e-3, weight_decay=1e-4))
    trained = train((variables, head), images, labelled.labels, batches)
    guessed = np.asarray(jax.jit(logits)(trained, _prepared(others, spec.input)).argmax(axis=1))
    model = port_model(Encoder, config, variables=trained[0], spec=spec)
    return model, float((guessed == others.labels).mean())


def _prepared(data: Labelled, input: InputSpec) -> np.ndarray:
    return np.stack([preprocess(image, input) for image in data.images])


def _epochs(count: int, steps: int, rng: np.random.Generator) -> Iterator[Any]:
    """Batches of permuted rows, half of the images mirrored."""
    size = min(_BATCH, count)
    epochs = -(-steps * size // count)
    rows = np.concatenate([rng.permutation(count) for _ in range(epochs)])
    for k in range(steps):
        yield rows[k * size : (k + 1) * size], rng.random(size) < 0.5


def _rows(features: Callable[..., Any], trunk: Any, images: np.ndarray) -> np.ndarray:
    """[n, d] with one compiled size."""
    size = min(_CHUNK, len(images))
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    found = [np.asarray(features(trunk, filled_up(part, size)))[: len(part)] for part in parts]
    return np.concatenate(found)


def _head(features: Any, shift: Any, head: Any) -> Any:
    return (features - shift[0]) / shift[1] @ head["kernel"] + head["bias"]


def _adam(rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.piecewise_constant_schedule(rate, {2 * steps // 3: 0.1}))
