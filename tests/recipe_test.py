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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("depara-task-upstream", "'depara-task' with node_weight=0.001"),
        ("depara-layer-upstream", "experiments/fidelity/authors.py"),
        ("depara-layer-upstream-cpu", "experiments/fidelity/authors.py"),
    ],
)
def test_removed_presets_say_where_they_went(name, words):
    with pytest.raises(UnknownNameError, match=words) as caught:
        recipe_named(name)
    assert "\n" not in str(caught.value)


def test_stored_recipes_are_read_back_those_of_earlier_versions_too():
    fields = RECIPES["depara-layer"].to_dict()
    earlier = fields | {"accumulate": "off", "relu_alias": False}
    assert Recipe.from_dict(fields) == Recipe.from_dict(earlier) == RECIPES["depara-layer"]
    for removed in ({"accumulate": "layers"}, {"relu_alias": True}):
        with pytest.raises(UnknownNameError, match=r"experiments/fidelity/authors\.py"):
            Recipe.from_dict(earlier | removed)
    with pytest.raises(UnknownNameError, match="did you mean 'lam'"):
        Recipe.from_dict({"lamb": 1.0})


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


ENTERS = {
    "map": {
        "attribution", "target", "absolute", "channel_reduction", "grid", "epsilon", "steps",
    },
    "graph": {"edge_normalization"},
    "vector": {"ties", "node_weight", "lam"},
    "nothing": {"name", "feature_point", "target_side"},
}  # fmt: skip


def test_every_field_says_what_it_enters():
    recipe, before = RECIPES["default"], set()
    for product, fields in ENTERS.items():
        assert set(recipe.fields_of(product)) - before == fields, product
        before |= fields
    assert before == {field.name for field in dataclasses.fields(Recipe)}
    assert sum(map(len, ENTERS.values())) == len(before)


# Values that a recipe with epsilon-LRP, or with a path, takes beside its own.
OTHER = {
    "name": "another", "attribution": "gradient_x_input", "target": "sum", "absolute": True,
    "channel_reduction": "mean", "grid": 4, "edge_normalization": "center", "ties": "ordinal",
    "node_weight": 2.0, "lam": 2.0, "feature_point": "conv", "target_side": "logits",
    "epsilon": 1e-3, "steps": 7,
}  # fmt: skip


@pytest.mark.parametrize("field", OTHER)
def test_graphs_and_maps_depend_on_what_enters_them(field):
    attribution = "integrated_gradients" if field == "steps" else "epsilon_lrp"
    recipe = Recipe(attribution=attribution)
    other = recipe.replace(**{field: OTHER[field]})
    enters_map, enters_graph = (field in ENTERS[product] for product in ("map", "graph"))
    assert (recipe.map_part() != other.map_part()) == enters_map
    assert (recipe.graph_key() != other.graph_key()) == (enters_map or enters_graph)


def test_a_graph_knows_whether_it_has_nodes():
    recipe = RECIPES["default"]
    assert recipe.graph_key() != recipe.replace(node_weight=0.0).graph_key()
    assert recipe.graph_key() == recipe.replace(node_weight=0.5).graph_key()
