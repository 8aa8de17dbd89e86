"""Estimators side by side: the same values as one by one, ranks, and what is missing."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.estimators import cka_linear
from depara_jax.recipe import RECIPES
from depara_jax.selection import rank_by_estimators, rank_models
from depara_jax.selection.comparison import Column, Comparison
from depara_jax.spec import LayerRef
from depara_jax.walk import layer_features
from tests import networks


@pytest.fixture(scope="module")
def models():
    return [networks.model(seed) for seed in range(3)]


def test_features_do_not_depend_on_the_batch_size(models):
    probe = networks.probe(7)
    whole = layer_features(models[0], probe, ["body", "stem"], batch_size=7)
    parts = layer_features(models[0], probe, ["body", "stem"], batch_size=3)
    assert {k: v.shape for k, v in whole.items()} == {"body": (7, 80), "stem": (7, 256)}
    for layer in whole:
        np.testing.assert_allclose(parts[layer], whole[layer], atol=1e-6)  # order of sums


def test_columns_hold_what_each_estimator_gives_alone(models):
    probe = networks.probe(8)
    table = rank_by_estimators(
        models[0], models[1:], probe, ["cka_linear", "depara"], recipe=RECIPES["paper"]
    )
    features = [layer_features(m, probe, ["answer"])["answer"] for m in models]
    expected = [float(cka_linear(f, features[0])) for f in features[1:]]
    np.testing.assert_allclose(table.columns[0].values, expected, atol=1e-6)  # float32
    depara = rank_models(models[0], models[1:], probe, RECIPES["paper"])
    np.testing.assert_allclose(table.columns[1].values, depara.score, atol=1e-6)
    assert [column.name for column in table.columns] == ["cka_linear", "depara"]


def test_what_an_estimator_lacks_is_said_and_the_others_run(models):
    table = rank_by_estimators(models[0], models[1:], networks.probe(8), ["logme", "rsa"])
    assert table.columns[0].why == ("needs labels", "needs labels")
    assert table.columns[0].ranks == (None, None)
    assert sorted(table.columns[1].ranks) == [1, 2]


def test_adversarial_estimators_see_both_networks(models):
    table = rank_by_estimators(models[0], models[1:], networks.probe(4), ["modelgif"])
    assert np.isfinite(table.columns[0].values).all()
    large = networks.model(1, name="large", size=16)
    table = rank_by_estimators(models[0], [large], networks.probe(4), ["modelgif"])
    assert "needs" in table.columns[0].why[0]  # other inputs: nothing to compare image by image


def test_ranks_follow_the_better_direction_and_ties_share():
    def column(values, higher):
        return Column("x", np.array(values), ("",) * len(values), higher, 0.0)

    assert column([3.0, 1.0, 3.0, np.nan], True).ranks == (1, 3, 1, None)
    assert column([3.0, 1.0, 3.0, np.nan], False).ranks == (2, 1, 2, None)
    columns = (column([1.0, 2.0], True), column([5.0, np.nan], True))
    probe = {"source": "here", "images": 3, "fingerprint": "f"}
    table = Comparison(LayerRef("t", "top"), ("a", "b"), columns, 0.0, RECIPES["paper"], probe)
    np.testing.assert_allclose(table.fused, [(1 / 2 + 1) / 2, 1.0])
    assert table.order == (1, 0)
    assert [row["model"] for row in table.rows()] == ["b", "a"]  # by the first estimator


def test_names_are_checked(models):
    with pytest.raises(UnknownNameError, match="did you mean 'depara'"):
        rank_by_estimators(models[0], models[1:], networks.probe(5), ["depra"])
    with pytest.raises(DeparaError, match="at least one estimator"):
        rank_by_estimators(models[0], models[1:], networks.probe(5), [])
