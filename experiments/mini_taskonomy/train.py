"""Training of an encoder with a task head, or of the head alone on a frozen encoder.

Every function is pure in its key, so a run is fixed by (task, config, seed).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from depara_jax.models.encoder import Encoder
from depara_jax.models.port import PureForward, random_variables
from experiments.mini_taskonomy import heads
from experiments.mini_taskonomy.config import TrainConfig
from experiments.mini_taskonomy.data import Data
from experiments.mini_taskonomy.heads import Statistics, normalized, target_statistics
from experiments.mini_taskonomy.tasks import Task


class State(NamedTuple):
    """What a training step changes."""

    encoder: Any
    head: dict[str, jax.Array]
    optimizer: Any


class Fit(NamedTuple):
    """A trained network: encoder variables, head, statistics of the targets, loss [steps]."""

    encoder: Any
    head: dict[str, jax.Array]
    statistics: Statistics
    losses: np.ndarray


def _optimizer(config: TrainConfig) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, min(config.warmup, config.steps - 1), config.steps
    )
    decay = optax.adamw(schedule, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip), decay)


def _trained(encoder: Any, head: Any, frozen: bool) -> Any:
    return head if frozen else (encoder, head)


def init_state(
    key: jax.Array, task: Task, config: TrainConfig, *, frozen: bool, encoder: Any = None
) -> State:
    """A fresh state; `encoder` replaces the random encoder."""
    key_encoder, key_head = jax.random.split(key)
    if encoder is None:
        encoder = random_variables(Encoder, config.encoder, key_encoder)
    head = heads.init_head(key_head, task, config)
    return State(encoder, head, _optimizer(config).init(_trained(encoder, head, frozen)))


def fit(
    task: Task,
    data: Data,
    config: TrainConfig,
    key: jax.Array,
    *,
    frozen: bool = False,
    encoder: Any = None,
    on_chunk: Callable[[int, np.ndarray], None] | None = None,
) -> Fit:
    """Trains an encoder and its head, or with `frozen` the head alone.

    Args:
      task: what to learn.
      data: training patches.
      config: sizes and optimiser.
      key: of weights and batches.
      frozen: leave the encoder as it is: a readout.
      encoder: variables to start from; random ones otherwise.
      on_chunk: called with the number of steps done and the losses since the last call.
    """
    statistics = target_statistics(task, data)
    key_init, key_steps = jax.random.split(key)
    state = init_state(key_init, task, config, frozen=frozen, encoder=encoder)
    run = _runner(task, config, frozen, jax.default_backend() != "cpu")
    losses: list[np.ndarray] = []
    for start in range(0, config.steps, config.chunk):
        steps = jnp.arange(start, min(start + config.chunk, config.steps))
        state, chunk = run(state, key_steps, steps, data, statistics)
        losses.append(np.asarray(chunk))
        if on_chunk is not None:
            on_chunk(int(steps[-1]) + 1, losses[-1])
    return Fit(state.encoder, state.head, statistics, np.concatenate(losses))


@functools.lru_cache(maxsize=2)  # a task's network and its control
def _runner(task: Task, config: TrainConfig, frozen: bool, scan: bool) -> Callable:
    """(state, key, steps, data, statistics) -> (state, losses), compiled."""
    network, optimizer = PureForward(Encoder, config.encoder), _optimizer(config)

    def step(state, key, number, data, statistics):
        key_rows, key_batch = jax.random.split(jax.random.fold_in(key, number))
        rows = jax.random.randint(key_rows, (config.batch_size,), 0, data.images.shape[0])
        batch = task.batch(key_batch, data.images[rows], data.photograph[rows])

        def loss(trained):
            encoder, head = (state.encoder, trained) if frozen else trained
            features = network(encoder, normalized(batch.image))["encoder"]
            prediction = heads.apply_head(head, task, features)
            return heads.errors(task, prediction, batch, statistics).mean()

        before = _trained(state.encoder, state.head, frozen)
        value, gradient = jax.value_and_grad(loss)(before)
        updates, moments = optimizer.update(gradient, state.optimizer, before)
        trained: Any = optax.apply_updates(before, updates)
        encoder, head = (state.encoder, trained) if frozen else trained
        return State(encoder, head, moments), value

    def scanned(state, key, steps, data, statistics):
        def body(state, number):
            return step(state, key, number, data, statistics)

        return jax.lax.scan(body, state, steps)

    def looped(state, key, steps, data, statistics):
        losses = []
        for number in steps:
            state, loss = compiled(state, key, number, data, statistics)
            losses.append(loss)
        return state, jnp.stack(losses)

    # Measured on jax 0.10.2: on a CPU a convolution inside a loop runs 20 times slower than outside
    # (550 against 27 ms a step), so there the loop is Python's.
    compiled = jax.jit(step)
    return jax.jit(scanned, donate_argnums=0) if scan else looped
