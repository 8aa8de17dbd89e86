"""The loop's arithmetic against plain numpy, and its counting of images."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.training import (
    ChosenView,
    Examples,
    Images,
    TrainConfig,
    accuracy,
    cached_features,
    cut_network,
    fit,
    predict,
)
from tests.training import small

PLAIN = Images(small.INPUT, flip=False)


def gradients(net, parameters, images, labels):
    """Of the mean cross entropy, apart from the loop."""

    def loss(p):
        logits, _ = net.run(p, PLAIN(images, None), train_from=0)
        log = jax.nn.log_softmax(logits)
        return -log[jnp.arange(len(labels)), labels].mean()

    return {k: np.asarray(v, np.float64) for k, v in jax.jit(jax.grad(loss))(parameters).items()}


@pytest.mark.parametrize("nesterov", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_sgd_is_pytorchs(nesterov):
    """g += wd p; v = mu v + g; p -= lr (g + mu v) with Nesterov, lr v without."""
    net = small.network("encoder")
    data = small.examples(12, side=8)
    config = TrainConfig(
        batch_size=12, epochs=3, learning_rate=0.05, nesterov=nesterov, milestones=(2,)
    )
    parts = cut_network(net, None, None, seed=0)
    images, labels = data.take(np.arange(12)), data.labels
    p = {k: np.asarray(v, np.float64) for k, v in parts.parameters.items()}
    v = {k: np.zeros_like(x) for k, x in p.items()}
    for rate in (0.05, 0.05, 0.005):
        g = gradients(net, {k: jnp.asarray(x, jnp.float32) for k, x in p.items()}, images, labels)
        for k in p:
            g[k] += 5e-4 * p[k]
            v[k] = 0.9 * v[k] + g[k]
            p[k] = p[k] - rate * (g[k] + 0.9 * v[k] if nesterov else v[k])
    found = fit(net, parts, data, PLAIN, config)
    assert [row["rate"] for row in found.metrics] == pytest.approx([0.05, 0.05, 0.005])
    for k in p:
        # A ReLU at zero may open in one float32 sum and not in the other; without Nesterov's term
        # the difference would be 4e-3.
        np.testing.assert_allclose(found.values[k], p[k], atol=1e-4)


@pytest.mark.slow
def test_adamw_is_optaxs():
    net = small.network("encoder")
    data = small.examples(12, side=8)
    config = TrainConfig(
        optimizer="adamw", batch_size=12, epochs=3, learning_rate=0.01, weight_decay=0.1
    )
    parts = cut_network(net, None, None, seed=0)
    optimizer = optax.adamw(0.01, weight_decay=0.1)
    p, images = parts.parameters, data.take(np.arange(12))
    state = optimizer.init(p)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        for _ in range(3):
            g = gradients(net, p, images, data.labels)
            g = {k: jnp.asarray(x, jnp.float32) for k, x in g.items()}
            updates, state = optimizer.update(g, state, p)
            p = optax.apply_updates(p, updates)
        found = fit(net, parts, data, PLAIN, config)
    for k in p:
        # Adam divides by the gradient's own size: where that is rounding noise, so is the step.
        np.testing.assert_allclose(found.values[k], p[k], atol=1e-3)
        assert float(np.median(np.abs(found.values[k] - p[k]))) < 1e-5


def test_accuracy_is_a_mean_over_images_not_over_batches():
    net = small.network("encoder")
    values = small.trained_values(net)
    data = small.examples(7, side=8)
    logits = np.concatenate(
        [net.run(values, PLAIN(data.take(np.array([i])), None))[0] for i in range(7)]
    )
    # Batches of 4 and 3, the second filled up: neither its copies nor its size may count.
    np.testing.assert_allclose(predict(net, values, data, PLAIN, batch_size=4), logits, atol=1e-5)
    best = logits.argmax(1)
    labels = np.where(np.arange(7) < 5, best, (best + 1) % 3)
    images = data.take(np.arange(7))
    mixed = Examples.from_arrays(images, labels, "abc")
    assert accuracy(net, values, mixed, PLAIN) == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    "family",
    [
        "encoder",
        pytest.param("vgg", marks=pytest.mark.slow),
        pytest.param("resnet", marks=pytest.mark.slow),
    ],
)
def test_features_computed_once_train_like_images(family):
    net = small.network(family)
    cut = net.cuts[1]
    parts = cut_network(net, small.trained_values(net), cut, seed=2)
    side = 32 if family == "vgg" else 8
    data, config = small.examples(16, side=side), TrainConfig(epochs=2, batch_size=8)
    whole = fit(net, parts, data, PLAIN, config)
    cached = cached_features(net, parts.frozen, data, small.INPUT, stop=parts.start, mirrored=False)
    above = fit(net, parts, cached, ChosenView(), config, from_cut=True)
    for name, value in whole.values.items():
        np.testing.assert_allclose(above.values[name], value, atol=1e-4, err_msg=name)


def test_mirrored_views_and_cuts_further_up():
    net = small.network("encoder")
    values = small.trained_values(net)
    data = small.examples(5, side=8)
    first = cached_features(net, values, data, small.INPUT, stop=1)
    deeper = cached_features(net, values, first, small.INPUT, start=1, stop=2)
    images = data.take(np.arange(5))
    for view, pixels in enumerate((images, images[:, :, ::-1])):
        want, _ = net.run(values, PLAIN(pixels, None), stop=2)
        # Float32, one program against two.
        np.testing.assert_allclose(deeper.take(np.arange(5))[:, view], want, atol=1e-5)


def test_augmentation_mirrors_and_moves_whole_images():
    pixels = np.arange(2 * 6 * 6 * 3, dtype=np.uint8).reshape(2, 6, 6, 3)
    flip = Images(small.INPUT, flip=True)
    plain = np.asarray(flip(pixels, None))
    seen = {0: set(), 1: set()}
    for seed in range(20):
        out = np.asarray(flip(pixels, jax.random.key(seed)))
        for i in (0, 1):
            turned = np.array_equal(out[i], plain[i, :, ::-1])
            assert turned or np.array_equal(out[i], plain[i])
            seen[i].add(turned)
    assert seen == {0: {True, False}, 1: {True, False}}
    move = Images(small.INPUT, flip=False, shift=1)
    padded = np.pad(plain, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    out = np.asarray(move(pixels, jax.random.key(0)))
    windows = [padded[:, y : y + 6, x : x + 6] for y in range(3) for x in range(3)]
    assert all(any(np.array_equal(out[i], w[i]) for w in windows) for i in (0, 1))


def test_normalisation_is_the_probe_sets():
    from depara_jax.data.preprocess import preprocess

    input = dataclasses.replace(
        small.INPUT, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1), scale=(0.0, 1.0)
    )
    pixels = small.examples(2).take(np.arange(2))
    want = np.stack([preprocess(image, input) for image in pixels])
    np.testing.assert_allclose(Images(input)(pixels, None), want, atol=1e-5)  # float32 order
    with pytest.raises(DeparaError, match="plain RGB"):
        Images(dataclasses.replace(small.INPUT, channels="bgr"))


def test_bad_training_input():
    net = small.network("encoder")
    parts = cut_network(net, None, None, seed=0)
    data = small.examples(6, side=8)
    wrong = dataclasses.replace(data, labels=np.array([0, 1, 2, 3, 0, 1]))
    with pytest.raises(DeparaError, match="image 3 has label 3.*classes 0 to 2"):
        fit(net, parts, wrong, PLAIN, TrainConfig())
    with pytest.raises(DeparaError, match="no images"):
        fit(net, parts, data.subset(np.arange(0)), PLAIN, TrainConfig())
    # Weights of 1e30 give infinite logits.
    huge = parts._replace(parameters={k: v + 1e30 for k, v in parts.parameters.items()})
    with pytest.raises(DegenerateError, match="the loss is .*smaller learning rate"):
        fit(net, huge, data, PLAIN, TrainConfig(epochs=1))
    with pytest.raises(UnknownNameError, match="optimizer"):
        TrainConfig(optimizer="sdg")
    for field, value in (
        ("learning_rate", 0.0),
        ("epochs", 0),
        ("decay", float("nan")),
        ("shift", -1),
    ):
        with pytest.raises(DeparaError, match="TrainConfig"):
            TrainConfig(**{field: value})
