"""Plans: what they say, and what they may not say."""

import pytest

from depara_jax.errors import DeparaError
from depara_jax.sweep import ProbeEntry, read_plan
from depara_jax.sweep.plan import parse_plan
from depara_jax.sweep.runner import plan_items


def test_a_plan_says_models_layers_recipes_and_probes(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("""
        zoo = "mini"
        models = ["edges", "corners"]
        layers = ["encoder", "block2"]
        recipes = ["paper", {base = "default", name = "half", lam = 1, grid = 16}]
        probes = ["photographs:probe[:9]", {source = "photographs:probe", count = 7, seed = 3}]
        keep = ["graph", "vector"]
        batch_size = 4
        [devices]
        images = 4
        parameters = 2
        [ray]
        num_cpus = 0.5
        resources = {TPU = 1}
        retries = 2
    """)
    plan = read_plan(path)
    assert plan.models == ("edges", "corners")
    assert [recipe.name for recipe in plan.recipes] == ["paper", "half"]
    assert (plan.recipes[1].lam, plan.recipes[1].grid) == (1.0, 16)
    assert plan.probes[1] == ProbeEntry("photographs:probe", 7, 3)
    assert (plan.images, plan.parameters, plan.batch_size) == (4, 2, 4)
    assert dict(plan.ray) == {"num_cpus": 0.5, "resources": {"TPU": 1}, "retries": 2}
    items = plan_items(plan)
    assert len(items) == 2 * 2 * 2
    assert [u.model for u in items[:2]] == ["edges", "corners"]


def test_the_digest_is_of_what_is_computed_not_of_where():
    plan = parse_plan({"models": ["edges"]})
    assert parse_plan({"models": ["edges"], "batch_size": 3, "ray": {"retries": 9}}).digest == (
        plan.digest
    )
    assert parse_plan({"models": ["corners"]}).digest != plan.digest
    assert parse_plan({"models": ["edges"], "recipes": ["paper"]}).digest != plan.digest
    assert len(plan_items(parse_plan({}))) == 17


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"modles": ["edges"]}, "unknown key 'modles'; did you mean 'models'"),
        ({"models": ["edges", "edges"]}, "models names edges more than once"),
        ({"models": []}, "models is empty"),
        ({"models": "edges"}, "expected a list"),
        ({"models": [3]}, "expected a text"),
        ({"layers": ["all", "stem"]}, "'all' and others"),
        ({"recipes": ["papre"]}, "did you mean 'paper'"),
        ({"recipes": ["paper", {"base": "paper"}]}, "paper more than once"),
        ({"recipes": [{"base": "paper", "lamda": 1}]}, "unknown recipe field 'lamda'"),
        ({"recipes": [{"accumulate": "layers"}]}, "'accumulate'.*experiments/fidelity"),
        ({"recipes": ["depara-layer-upstream"]}, "experiments/fidelity"),
        ({"recipes": [{"base": "depara-task-upstream"}]}, "with node_weight=0.001"),
        ({"recipes": [7]}, "expected names or tables"),
        ({"probes": [{"source": "x", "cuont": 1}]}, "unknown probe field 'cuont'"),
        ({"probes": [{"source": "x", "count": "1"}]}, "expected a whole number"),
        ({"probes": [1]}, "expected texts or tables"),
        ({"keep": ["grahp"]}, "did you mean 'graph'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"devices": {"images": -1}}, "devices.images is -1"),
        ({"devices": {"parameters": 0}}, "devices.parameters is 0"),
        ({"devices": {"image": 1}}, r"unknown key in \[devices\] 'image'"),
        ({"ray": {"retries": "many"}}, "ray.retries is 'many'; expected int"),
        ({"ray": []}, "expected a table"),
    ],
)
def test_what_means_nothing_is_refused(content, message):
    with pytest.raises(DeparaError, match=message):
        parse_plan(content)


def test_the_file_is_named(tmp_path):
    with pytest.raises(DeparaError, match=r"plan .*none.toml: cannot be read as TOML \(No such"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("models = [")
    with pytest.raises(DeparaError, match="bad.toml: cannot be read as TOML"):
        read_plan(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("modles = []")
    with pytest.raises(DeparaError, match="bad.toml: unknown key 'modles'"):
        read_plan(tmp_path / "bad.toml")
