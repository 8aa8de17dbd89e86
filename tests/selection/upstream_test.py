"""The authors' code without its bugs: its presets against slow versions of it."""

import dataclasses

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.models import Model
from depara_jax.recipe import RECIPES
from depara_jax.selection import compare_models, rank_layers, rank_models
from tests import networks
from tests.references import upstream as authors

STAGES = ("stem", "body", "answer")


@pytest.mark.parametrize(("node_weight", "divisor"), [(1.0, 1), (0.001, 1000)])
def test_task_preset_equals_the_authors_task_procedure(node_weight, divisor):
    models, probe = [networks.model(seed) for seed in range(4)], networks.probe(9)
    expected = authors.task_scores(models[0], models[1:], probe.images, lam=0.25, divisor=divisor)
    recipe = RECIPES["depara-task"].replace(node_weight=node_weight)
    ranking = rank_models(models[0], models[1:], probe, recipe, batch_size=4)
    # float32 cosines; among 36 edges two would have to be closer than 1e-7 to swap ranks.
    np.testing.assert_allclose(ranking.score, expected, atol=2e-6)
    assert np.ptp(expected) > 0.05


def test_tam_preset_equals_the_node_half_of_the_task_procedure():
    models, probe = [networks.model(seed) for seed in range(4)], networks.probe(6)
    expected = authors.task_scores(models[0], models[1:], probe.images, lam=0.0)
    ranking = rank_models(models[0], models[1:], probe, RECIPES["tam"])
    np.testing.assert_allclose(ranking.score, expected, atol=1e-6)  # float32 cosines


def with_logits(seed):
    """A network whose last layer counts as logits."""
    plain = networks.model(seed)
    spec = dataclasses.replace(plain.spec, logits="answer", points=(("conv", STAGES),))
    return Model(spec, plain.forward, plain.variables)


def test_layer_preset_equals_the_authors_layer_procedure_with_gradients_set_back():
    target, source, probe = with_logits(10), with_logits(11), networks.probe(9)
    maps, edges = authors.layer_graph(target, "answer", probe.images)
    ranking = rank_layers(target, source, probe, RECIPES["depara-layer"], batch_size=4)
    assert ranking.names == STAGES
    assert ranking.target.layer == "answer"
    for i, layer in enumerate(STAGES):
        other, others = authors.layer_graph(source, layer, probe.images)
        # float32 gradients and cosines against float64; no two of 36 edges are within 1e-6.
        np.testing.assert_allclose(ranking.node[i], authors.cosines(maps, other).mean(), atol=3e-6)
        np.testing.assert_allclose(ranking.edge[i], authors.spearman(edges, others), atol=3e-6)
    np.testing.assert_allclose(ranking.score, ranking.node + ranking.edge, atol=1e-6)  # float32


def test_a_target_at_its_logits_is_refused_between_models():
    models, probe = [networks.model(seed) for seed in range(2)], networks.probe(5)
    for recipe in (RECIPES["depara-layer"], RECIPES["depara-layer"].replace(lam=0.0)):
        with pytest.raises(DeparaError, match="is for layer selection: .*its logits"):
            rank_models(models[0], models[1:], probe, recipe)
        with pytest.raises(DeparaError, match="is for layer selection: .*its logits"):
            compare_models(models, probe, recipe)
    encoders = RECIPES["depara-layer"].replace(target_side="encoder")
    assert rank_models(models[0], models[1:], probe, encoders).names == ("net1",)
