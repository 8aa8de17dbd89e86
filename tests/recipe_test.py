"""Recipes: presets say what the papers say, and combinations that mean nothing are refused."""

import dataclasses

import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.recipe import RECIPES, Recipe, recipe_named


def test_presets_are_named_after_themselves_and_hashable():
    assert list(RECIPES) == [
        "paper", "tam", "depara-task", "depara-layer", "default",
    ]  # fmt: skip
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert len({hash(recipe) for recipe in RECIPES.values()}) == len(RECIPES)


def test_presets_are_those_of_the_papers_and_their_code():
    paper, tam = RECIPES["paper"], RECIPES["tam"]
    # DEPARA eqs. 3 and 4: squared norm, whole map, raw cosines, averaged ties.
    assert (paper.target, paper.channel_reduction, paper.edge_normalization) == (
        "l2sq", "none", "none",
    )  # fmt: skip
    # TAM: the summed output, channels averaged, nodes alone.
    assert (tam.target, tam.channel_reduction, tam.absolute, tam.lam) == ("sum", "mean", False, 0)
    task, layer = RECIPES["depara-task"], RECIPES["depara-layer"]
    assert (task.target, task.edge_normalization, task.ties, task.lam) == (
        "sum", "center", "ordinal", 0.25,
    )  # fmt: skip
    assert (layer.target, layer.absolute, layer.feature_point, layer.target_side) == (
        "mean", True, "conv", "logits",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lam": -1.0}, "lam"),
        ({"lam": float("nan")}, "lam"),
        ({"lam": float("inf")}, "lam"),
        ({"lam": 0.0, "node_weight": 0.0}, "nothing to compare"),
        ({"epsilon": 1e-3}, "no effect"),
        ({"steps": 10}, "no effect"),
        ({"attribution": "epsilon_lrp", "epsilon": 0.0}, "epsilon"),
        ({"attribution": "integrated_gradients", "steps": 0}, "steps"),
        ({"attribution": "saliency", "absolute": True}, "magnitude already"),
        ({"attribution": "integrated_gradients", "steps": True}, "whole number"),
        ({"attribution": "epsilon_lrp", "epsilon": float("inf")}, "finite"),
        ({"grid": True}, "grid"),
        ({"grid": 0}, "grid"),
    ],
)
def test_impossible_combinations_are_refused_when_made(changes, word):
    with pytest.raises(DeparaError, match=word):
        Recipe(**changes)


@pytest.mark.parametrize("field", ["attribution", "target", "edge_normalization", "ties"])
def test_an_unknown_choice_names_the_field(field):
    with pytest.raises(UnknownNameError, match=field):
        Recipe(**{field: "nonsense"})


def test_a_misspelt_recipe_is_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'default'"):
        recipe_named("defalt")


def test_method_settings_get_their_defaults_only_where_they_act():
    assert Recipe(attribution="epsilon_lrp").epsilon == 1e-4
    assert Recipe(attribution="integrated_gradients").steps == 50
    assert Recipe().epsilon is None
    assert Recipe().steps is None


def test_replace_names_what_changed_and_resets_the_method_settings():
    recipe = RECIPES["paper"].replace(attribution="epsilon_lrp", epsilon=1e-3)
    assert recipe.name == "paper+epsilon=0.001,attribution=epsilon_lrp"
    assert recipe.replace(attribution="saliency").epsilon is None
    assert recipe_named("paper", lam=0.25).lam == 0.25


def test_dataclass_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["paper"].lam = 2.0
