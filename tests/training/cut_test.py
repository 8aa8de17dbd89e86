"""What a cut loads, freezes and draws anew, seen on the arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.training import Images, TrainConfig, cut_network, fit, vgg_network
from depara_jax.training.config import PAPER_SCRATCH, PAPER_TRANSFER
from tests.training import small

FAMILIES = ["vgg", "resnet", "encoder"]
SLOWER = [pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES[1:]]


def names_below(net, cut):
    """By the names themselves, not by the code under test."""
    position = net.cuts.index(cut)
    below = set()
    for unit in net.units[: position + 1]:
        below |= {n for n in net.shapes if n.startswith(tuple(f"{o}." for o in unit.owns))}
    return below


@pytest.mark.parametrize("family", ["vgg", *SLOWER])
def test_units_give_the_features_that_the_model_gives(family, rng):
    net = small.network(family)
    values = small.trained_values(net)
    model = net.wrap(values, "it")
    images = jnp.asarray(rng.normal(size=(2, 32, 32, 3)), jnp.float32)
    features = model.forward(model.variables, images)
    for i, cut in enumerate(net.cuts):
        found, statistics = net.run(values, images, stop=i + 1)
        np.testing.assert_array_equal(found, features[cut])
        assert not statistics
    if model.spec.logits:
        np.testing.assert_array_equal(net.run(values, images)[0], features[model.spec.logits])


def test_vgg19_has_the_papers_18_cut_points():
    net = vgg_network(small.VGG.__class__(19, True, 12, width=1 / 32))
    assert len(net.cuts) == 18
    kinds = dict(enumerate(kind for kind, _ in small.VGG.__class__(19).feature_modules))
    assert all(kinds[int(cut.split(".")[1])] == "activation" for cut in net.cuts[:16])
    assert net.cuts[16:] == ("classifier.1", "classifier.4")


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_up_to_the_cut_is_the_sources_and_frozen(family):
    net = small.network(family)
    source = small.trained_values(net)
    fresh = net.draw(jax.random.key(5))
    for cut in net.cuts:
        parts = cut_network(net, source, cut, seed=5)
        assert set(parts.frozen) == names_below(net, cut)
        for name, value in parts.frozen.items():
            np.testing.assert_array_equal(value, source[name])
        for name, value in {**parts.parameters, **parts.statistics}.items():
            np.testing.assert_array_equal(value, fresh[name])  # the same for every cut
        assert set(parts.values) == set(net.shapes)
    assert not cut_network(net, source, None, seed=5).frozen


def test_the_cut_units_own_norm_is_frozen_with_its_running_statistics():
    net = small.network("vgg")
    source = small.trained_values(net)
    parts = cut_network(net, source, "features.2", seed=0)  # the first ReLU
    assert {"features.0.kernel", "features.1.scale", "features.1.mean", "features.1.var"} <= set(
        parts.frozen
    )
    assert "features.5.mean" in parts.statistics  # the second norm


@pytest.mark.parametrize("family", ["vgg", SLOWER[0]])
def test_training_changes_what_is_above_the_cut_and_nothing_below(family):
    net = small.network(family)
    source = small.trained_values(net)
    cut = net.cuts[1]
    parts = cut_network(net, source, cut, seed=0)
    trained = fit(net, parts, small.examples(8), Images(small.INPUT), TrainConfig(epochs=1))
    for name, value in trained.values.items():
        same = np.array_equal(value, parts.values[name])
        assert same == (name in parts.frozen), name
    below = names_below(net, cut)
    assert {n for n in below if n.endswith((".mean", ".var"))}  # there were some to drift


def test_units_below_the_cut_use_their_running_statistics_while_those_above_train(rng):
    net = small.network("vgg")
    values = small.trained_values(net)
    images = jnp.asarray(rng.normal(size=(6, 32, 32, 3)), jnp.float32)
    key = jax.random.key(0)
    below, _ = net.run(values, images, stop=2)
    direct, statistics = net.run(values, images, train_from=2, key=key)
    above, _ = net.run(values, below, start=2, train_from=2, key=key)
    np.testing.assert_allclose(direct, above, rtol=1e-6)  # the same program, fused otherwise
    assert {net.unit_of(name) for name in statistics} == set(range(2, 8))  # 8 convolutions


def test_running_statistics_move_by_a_tenth_towards_the_batch(rng):
    net = small.network("vgg")
    values = small.trained_values(net)
    x = jnp.asarray(rng.normal(size=(5, 32, 32, 3)), jnp.float32)
    _, statistics = net.run(values, x, stop=1, train_from=0, key=jax.random.key(0))
    kernel, bias = values["features.0.kernel"], values["features.0.bias"]
    conv = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    batch = np.asarray(conv + bias, np.float64).reshape(-1, kernel.shape[-1])
    for name, moment in (("mean", batch.mean(0)), ("var", batch.var(0))):
        want = 0.9 * np.asarray(values[f"features.1.{name}"]) + 0.1 * moment
        # Flax takes the variance as E[x^2] - E[x]^2 in float32.
        np.testing.assert_allclose(statistics[f"features.1.{name}"], want, rtol=1e-4)


def test_a_run_does_not_depend_on_the_runs_before_it():
    """The authors' script built its network once, so that heads went on from layer to layer."""
    net = small.network("encoder")
    source, data, config = small.trained_values(net), small.examples(side=8), TrainConfig(epochs=1)

    def run(cut):
        parts = cut_network(net, source, cut, seed=1)
        return fit(net, parts, data, Images(small.INPUT), config).values

    alone = run("block1")
    run("stem")
    again = run("block1")
    assert all(np.array_equal(alone[name], again[name]) for name in alone)


def test_seeds_draw_different_layers():
    net = small.network("resnet")
    one, other = (cut_network(net, None, None, seed=s).parameters for s in (0, 1))
    assert not np.array_equal(one["fc.kernel"], other["fc.kernel"])


def test_a_source_may_have_other_classes():
    net = small.network("vgg")
    source = dict(small.trained_values(net))
    source["classifier.6.kernel"] = jnp.zeros((128, 1000))
    source["classifier.6.bias"] = jnp.zeros(1000)
    assert cut_network(net, source, "classifier.4", seed=0).start == 10


def test_bad_cuts():
    net = small.network("vgg")
    source = small.trained_values(net)
    with pytest.raises(DeparaError, match=r"classifier.6.*nothing above it.*deepest cut"):
        cut_network(net, source, "classifier.6", seed=0)
    with pytest.raises(UnknownNameError, match="did you mean"):
        cut_network(net, source, "features.3", seed=0)
    other = small.trained_values(small.network("resnet"))
    with pytest.raises(DeparaError, match="my net does not fit vgg11_bn.*another architecture"):
        cut_network(net, other, "features.2", seed=0, name="my net")
    with pytest.raises(DeparaError, match="features.0.kernel is missing"):
        cut_network(net, {}, "features.2", seed=0)
    wrong = {**source, "features.0.kernel": jnp.zeros((3, 3, 3, 5))}
    with pytest.raises(DeparaError, match=r"shape \(3, 3, 3, 5\) instead of \(3, 3, 3, 2\)"):
        cut_network(net, wrong, "features.2", seed=0)


def test_the_papers_schedules():
    assert [PAPER_SCRATCH.rate(epoch) for epoch in (0, 49)] == [0.01, 0.01]
    np.testing.assert_allclose(PAPER_SCRATCH.rate(50), 0.001)
    assert PAPER_TRANSFER.rate(49) == 0.01
    assert PAPER_SCRATCH.epochs == 80
    assert PAPER_TRANSFER.epochs == 50
    for config in (PAPER_SCRATCH, PAPER_TRANSFER):
        assert (config.optimizer, config.momentum, config.nesterov) == ("sgd", 0.9, True)
        assert config.weight_decay == 5e-4
