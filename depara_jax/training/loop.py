"""The training loop: jitted steps above a cut, accuracy as a mean over images, exact resume."""

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.training.checkpoints import RunFolder
from depara_jax.training.config import TrainConfig
from depara_jax.training.cut import Parts
from depara_jax.training.prepare import Data, Prepare
from depara_jax.training.units import Network, Values

__all__ = ["Progress", "Trained", "accuracy", "fit", "predict"]

Progress = Callable[[int, int, float], None]


class Trained(NamedTuple):
    """A finished run.

    Attributes:
      values: of the whole network.
      metrics: one row an epoch: epoch, rate, loss, and accuracy where it was measured.
    """

    values: dict[str, jax.Array]
    metrics: list[dict[str, Any]]


def fit(
    network: Network,
    parts: Parts,
    data: Data,
    prepare: Prepare,
    config: TrainConfig,
    *,
    validation: Data | None = None,
    validate_every: int = 1,
    from_cut: bool = False,
    folder: RunFolder | None = None,
    save_every: int = 1,
    progress: Progress | None = None,
) -> Trained:
    """Trains what is above the cut.

    Order, augmentation and dropout of a step depend on the seed and the step alone, so a run that
    goes on from a checkpoint ends with the same bits, on a CPU, as one that was never stopped.

    Args:
      network: the chain of units.
      parts: frozen and trained values, see `cut_network`.
      data: training images, or with `from_cut` the features at the cut.
      prepare: from what `data.take` gives to what the first unit takes, with augmentation.
      config: optimiser and schedule.
      validation: measured with accuracy every `validate_every` epochs and at the end.
      validate_every: see there.
      from_cut: the data are the frozen units' outputs, computed once (`cached_features`).
      folder: keeps checkpoints and metrics and is resumed from if it has any.
      save_every: epochs between checkpoints.
      progress: called with epochs done, epochs in all and the last loss.

    Raises:
      DeparaError: no data, a label outside the network's classes, or a checkpoint that does not
        fit.
      DegenerateError: the loss is not finite.
    """
    _check_data(network, data)
    first = parts.start if from_cut else 0
    rule = config.rule()
    optimizer = rule.transformation().init(parts.parameters)
    state: dict[str, Any] = {
        "parameters": parts.parameters, "statistics": parts.statistics, "optimizer": optimizer,
    }  # fmt: skip
    done, metrics = 0, []
    if folder is not None:
        restored = folder.restore(state)
        if restored is not None:
            done, state, metrics = restored
    key = jax.random.key(config.seed)
    for epoch in range(done, config.epochs):
        rate = config.rate(epoch)
        losses = []
        for step, rows, raw in _batches(data, config, epoch):
            step_key = jax.random.fold_in(jax.random.fold_in(key, epoch), step)
            state, loss = train_step(
                network, parts.start, first, prepare, rule, parts.frozen, state, raw,
                data.labels[rows], jnp.float32(rate), step_key,
            )  # fmt: skip
            losses.append(loss)
        row: dict[str, Any] = {"epoch": epoch + 1, "rate": rate, "loss": _mean_loss(losses, epoch)}
        last = epoch + 1 == config.epochs
        if validation is not None and (last or (epoch + 1) % validate_every == 0):
            values = {**parts.frozen, **state["parameters"], **state["statistics"]}
            row["accuracy"] = accuracy(network, values, validation, prepare, start=first)
        metrics.append(row)
        if folder is not None:
            folder.record(row)
            if last or (epoch + 1) % save_every == 0:
                folder.save(epoch + 1, state)
        if progress is not None:
            progress(epoch + 1, config.epochs, row["loss"])
    return Trained({**parts.frozen, **state["parameters"], **state["statistics"]}, metrics)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def train_step(
    network: Network,
    start: int,
    first: int,
    prepare: Prepare,
    rule: TrainConfig,
    frozen: Values,
    state: dict[str, Any],
    raw: Any,
    labels: Any,
    rate: jax.Array,
    key: jax.Array,
) -> tuple[dict[str, Any], jax.Array]:
    """One step on one batch; returns the new state and the loss before it.

    Units below `start` run in inference mode, those from there on in training mode; the data enter
    at unit `first`.
    """
    augment_key, dropout_key = jax.random.split(key)
    x = prepare(raw, augment_key)

    def loss(parameters: Values) -> tuple[jax.Array, dict[str, jax.Array]]:
        values = {**frozen, **parameters, **state["statistics"]}
        logits, statistics = network.run(values, x, start=first, train_from=start, key=dropout_key)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return each.mean(), statistics

    before = state["parameters"]
    (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(before)
    update, optimizer = rule.transformation().update(gradient, state["optimizer"], before)
    after = optax.apply_updates(before, optax.tree.scale(rate, update))
    return {"parameters": after, "statistics": statistics, "optimizer": optimizer}, value


def accuracy(
    network: Network, values: Values, data: Data, prepare: Prepare, *, start: int = 0
) -> float:
    """Share of the images whose largest logit is their label's: a mean over images, not batches."""
    logits = predict(network, values, data, prepare, start=start)
    return float((logits.argmax(axis=1) == data.labels).mean())


def predict(
    network: Network,
    values: Values,
    data: Data,
    prepare: Prepare,
    *,
    start: int = 0,
    stop: int | None = None,
    batch_size: int = 128,
) -> np.ndarray:
    """Outputs of unit `stop - 1` (the logits by default) for all images, in inference mode.

    The last batch is filled up with copies, whose outputs are dropped, so that nothing is compiled
    anew for it.
    """
    count = len(data.labels)
    size = min(batch_size, count)
    outputs = []
    for begin in range(0, count, size):
        rows = np.arange(begin, min(begin + size, count))
        filled = np.concatenate([rows, np.full(size - len(rows), rows[-1])])
        raw = data.take(filled)
        out = _apply(network, start, stop, prepare, dict(values), raw)
        outputs.append(np.asarray(out)[: len(rows)])
    return np.concatenate(outputs)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _apply(
    network: Network, start: int, stop: int | None, prepare: Prepare, values: Values, raw: Any
) -> jax.Array:
    return network.run(values, prepare(raw, None), start=start, stop=stop)[0]


def _batches(
    data: Data, config: TrainConfig, epoch: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(step, rows, images) of an epoch; the next batch is read while one is computed."""
    count = len(data.labels)
    size = min(config.batch_size, count)
    order = np.random.default_rng([config.seed, epoch]).permutation(count)
    groups = [order[i * size : (i + 1) * size] for i in range(count // size)]
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(data.take, groups[0])
        for step, rows in enumerate(groups):
            raw = ahead.result()
            if step + 1 < len(groups):
                ahead = pool.submit(data.take, groups[step + 1])
            yield step, rows, raw


def _mean_loss(losses: list[jax.Array], epoch: int) -> float:
    mean = float(np.mean([float(loss) for loss in losses]))
    if not math.isfinite(mean):
        raise DegenerateError(
            f"training: the loss is {mean} in epoch {epoch + 1}; take a smaller learning rate"
        )
    return mean


def _check_data(network: Network, data: Data) -> None:
    labels = np.asarray(data.labels)
    if len(labels) == 0:
        raise DeparaError("training: there are no images")
    wrong = np.flatnonzero((labels < 0) | (labels >= network.classes))
    if len(wrong):
        raise DeparaError(
            f"training: image {wrong[0]} has label {labels[wrong[0]]}, but {network.name} has "
            f"classes 0 to {network.classes - 1}"
        )
