"""Task heads on an encoder's output, and their losses; thrown away after training."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.mini_taskonomy.config import SIZE, TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.tasks import Task, compiled_batch
from experiments.mini_taskonomy.views import Example

STATISTICS_SEED = 11


class Statistics(NamedTuple):
    """Of the training targets: mean [k] over images and pixels, and one scale for all entries."""

    mean: jax.Array
    scale: jax.Array


def normalized(image: jax.Array) -> jax.Array:
    """[0, 1] to [-1, 1], as `EncoderConfig.input` says."""
    return 2.0 * image - 1.0


def init_head(key: jax.Array, task: Task, config: TrainConfig) -> dict[str, jax.Array]:
    """Two layers on the encoder's [8, 8, c] output, drawn after He et al."""
    features, width = config.encoder.features, config.head_width
    side = SIZE // (config.encoder.stem_stride * math.prod(config.encoder.strides))
    per_place = task.outputs * (SIZE // side) ** 2
    if task.kind == "dense":
        shapes = ((3, 3, features, width), (3, 3, width, per_place))
    else:
        shapes = (((side // 2) ** 2 * features, 2 * width), (2 * width, task.outputs))
    keys = jax.random.split(key, 2)
    head = {}
    for k, (key_layer, shape) in enumerate(zip(keys, shapes, strict=True)):
        # The last layer starts small, so that training starts from the mean of the targets.
        gain = (2.0, 0.1)[k]
        stddev = math.sqrt(gain / math.prod(shape[:-1]))
        head[f"kernel{k}"] = stddev * jax.random.normal(key_layer, shape, jnp.float32)
        head[f"bias{k}"] = jnp.zeros(shape[-1], jnp.float32)
    return head


def apply_head(head: dict[str, jax.Array], task: Task, features: jax.Array) -> jax.Array:
    """Standardised prediction [n, 32, 32, k] or [n, k] from the encoder's [n, 8, 8, c]."""
    n, side = features.shape[:2]
    if task.kind == "dense":
        hidden = jax.nn.relu(_conv(features, head["kernel0"]) + head["bias0"])
        out = _conv(hidden, head["kernel1"]) + head["bias1"]
        r = SIZE // side
        out = out.reshape(n, side, side, r, r, task.outputs)
        return out.transpose(0, 1, 3, 2, 4, 5).reshape(n, SIZE, SIZE, task.outputs)
    pooled = features.reshape(n, side // 2, 2, side // 2, 2, -1).mean((2, 4)).reshape(n, -1)
    hidden = jax.nn.relu(pooled @ head["kernel0"] + head["bias0"])
    return hidden @ head["kernel1"] + head["bias1"]


def _conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def target_statistics(task: Task, data: Data, *, images: int = 1024) -> Statistics:
    """Mean and scale of the training targets; 0 and 1 for classes."""
    if task.kind == "classes":
        return Statistics(jnp.zeros(()), jnp.ones(()))
    key = jax.random.key(STATISTICS_SEED)
    rows = jnp.arange(min(images, len(data.images)))
    batch = compiled_batch(task)(key, data.images[rows], data.photograph[rows])
    axes = tuple(range(batch.target.ndim - 1))
    mean = batch.target.mean(axes)
    return Statistics(mean, jnp.sqrt(jnp.square(batch.target - mean).mean()))


def errors(task: Task, prediction: jax.Array, batch: Example, statistics: Statistics) -> jax.Array:
    """Loss of each image [n]: cross-entropy, or squared error over the training variance."""
    if task.kind == "classes":
        return optax.softmax_cross_entropy_with_integer_labels(prediction, batch.target)
    squared = jnp.square(prediction - (batch.target - statistics.mean) / statistics.scale)
    if task.kind == "vector":
        return squared.mean(axis=1)
    weighted = (squared * batch.weight).sum((1, 2, 3))
    return weighted / (batch.weight.sum((1, 2, 3)) * task.outputs)
