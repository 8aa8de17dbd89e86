"""The fidelity measurements on tiny networks: they measure what they say."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from depara_jax.data import Probe
from depara_jax.models import Model
from depara_jax.models.vgg import VGGConfig
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs, rank_layers, rank_models
from experiments.fidelity import authors, layer_half, main, random_vgg, saliency, task_half
from experiments.fidelity.agreement import agreement, off_diagonal
from tests import networks

STAGES = ("stem", "body", "answer")


def quiet(text):
    del text


@pytest.fixture(scope="module")
def probe():
    draws = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    return Probe.from_arrays(
        np.stack([np.asarray(Image.fromarray(d).resize((40, 40))) for d in draws])
    )


@pytest.fixture(scope="module")
def models():
    plain = [networks.model(seed) for seed in range(4)]
    points = (("conv", STAGES), ("activation", STAGES))
    return [
        Model(dataclasses.replace(m.spec, points=points), m.forward, m.variables) for m in plain
    ]


def test_agreement_counts_other_winners_and_averages_correlations():
    first = np.array([[9.0, 1.0, 2.0, 3.0], [1.0, 9.0, 2.0, 3.0]])
    second = np.array([[9.0, 3.0, 2.0, 1.0], [1.0, 9.0, 2.0, 3.0]])
    keep = ~np.array([[True, False, False, False], [False, True, False, False]])
    assert agreement(first, second, keep) == {
        "spearman_mean": 0.0, "spearman_min": -1.0, "best_changed": 1, "queries": 2,
    }  # fmt: skip
    assert agreement(first, second)["best_changed"] == 0
    assert off_diagonal(2).tolist() == [[False, True], [True, False]]


def test_task_half_compares_rankings_by_each_recipe(models, probe):
    result = task_half.measure(models, probe, quiet)
    changed = RECIPES["depara-task"].replace(absolute=True)
    scores = []
    for recipe in (RECIPES["depara-task"], changed):
        table = np.zeros((4, 4))
        for i, target in enumerate(models):
            others = [m for j, m in enumerate(models) if j != i]
            table[i, np.arange(4) != i] = rank_models(target, others, probe, recipe).score
        scores.append(table)
    row = result["against depara-task"]["magnitudes before the channel mean"]
    assert row["score"] == agreement(scores[0], scores[1], off_diagonal(4))
    assert "edge" not in row
    # A node term a thousand times too small leaves the order of the edges.
    weak = result["against depara-task"]["node term divided by 1,000"]["score"]
    assert weak == result["edges alone"]["score"]


@pytest.mark.parametrize("changes", [{}, {"edge_normalization": "zscore"}])
def test_layer_half_scores_layers_as_the_library_does(models, probe, changes):
    recipe = layer_half.BASE.replace(**changes)
    evidence = layer_half.Evidence(models, probe, quiet)
    rankings = evidence.rankings(recipe)
    expected = rank_layers(models[0], models[2], probe, recipe)
    # Pairs go target by target, so (0, 2) is the second. The encoder layer is the network's last.
    np.testing.assert_allclose(rankings["node"][1], expected.node, atol=2e-6)  # float32
    np.testing.assert_allclose(rankings["edge"][1], expected.edge, atol=2e-6)  # float32


def test_layer_half_walks_as_the_authors_do(models, probe):
    evidence = layer_half.Evidence(models, probe, quiet)
    found = {walk: evidence.rankings(layer_half.BASE, walk=walk) for walk in ("source", "imagenet")}
    # The second pair is (0, 2), and 3 the network that is walked before 2.
    target, source, third = (
        attribution_graphs(models[i], probe, authors.SIGNED, layers=STAGES) for i in (0, 2, 3)
    )
    rows = np.cumsum([source[layer].nodes for layer in STAGES], axis=0)
    before = np.sum([third[layer].nodes for layer in STAGES], axis=0)
    own = target["answer"].nodes

    def cosines(target, rows):
        shape = (len(probe), -1, 3)
        a, *others = (np.abs(maps.reshape(shape)).mean(axis=2) for maps in (target, *rows))
        lengths = [np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) for b in others]
        return [((a * b).sum(axis=1) / n).mean() for b, n in zip(others, lengths, strict=True)]

    # float32 sums of up to six maps.
    np.testing.assert_allclose(found["source"]["node"][1], cosines(own, rows), atol=2e-6)
    expected = cosines(own + source["answer"].nodes, rows + before)
    np.testing.assert_allclose(found["imagenet"]["node"][1], expected, atol=2e-6)  # as above
    clean = evidence.rankings(layer_half.BASE)
    np.testing.assert_array_equal(found["source"]["edge"], clean["edge"])
    alone = rank_layers(models[2], models[2], probe, layer_half.BASE)
    np.testing.assert_allclose(found["imagenet"]["edge"][1], alone.edge, atol=2e-6)  # float32


def test_layer_half_reports_only_the_terms_that_a_change_touches(models, probe):
    result = layer_half.measure(models, probe, quiet)
    rows = result["against depara-layer"]
    assert result["pairs"] == 12
    assert set(rows["walked as their source rows"]) == {"score", "node"}
    assert set(rows["walked as their ImageNet rows"]) == {"score", "node", "edge"}
    assert set(rows["centred edges for raw"]) == {"score", "edge"}
    clean = result["cosine of accumulated and clean maps"]["over layers"]
    assert clean["signed"][0] == clean["vectors"][0] == 1.0
    assert clean["signed"][1] < 0.99


def test_saliency_of_units_is_the_mean_over_single_gradients(models, probe):
    model, images = models[0], jnp.asarray(probe.array(models[0].spec.input)[:2])

    def unit(image, number):
        return model.forward(model.variables, image[None])["answer"][0, number]

    for image in images:
        found = saliency.saliency_of_units(model.forward, model.variables, image, "answer")
        single = [jnp.abs(jax.grad(unit)(image, number)) for number in range(6)]
        # float32 sums of six gradients.
        np.testing.assert_allclose(found, sum(single) / 6, rtol=1e-5, atol=1e-7)
    cosines = saliency.measure(models, probe, quiet)["cosine of the two maps"]
    assert 0.1 < cosines["min"] <= cosines["mean"] < 0.999


def test_random_vgg_says_that_the_first_gradient_is_one_for_all_images(probe):
    config = VGGConfig(depth=11, batch_norm=True, num_classes=3, width=1 / 16)
    result = random_vgg.measure(probe, quiet, size=32, map_images=3, config=config)
    key = "first layer's gradient, largest difference between images / largest entry"
    assert result[key] < 1e-4  # float32 gradients, divided by pixels of at least .1
    cosines = result["cosine of accumulated and clean maps"]
    assert cosines["first network"]["signed"][0] == 1.0
    assert cosines["second network"]["signed"][0] < 0.9


def test_command_writes_one_json_line(tmp_path, monkeypatch, models, probe):
    monkeypatch.setattr(main, "list_models", lambda zoo: [m.spec for m in models])
    by_name = {m.name: m for m in models}
    monkeypatch.setattr(main, "load_model", by_name.__getitem__)
    monkeypatch.setattr(main, "load_probe", lambda name, count: probe.subset(range(count)))
    path = tmp_path / "fidelity.json"
    command = ["--images", "12", "--layer-images", "12", "--vgg-size", "0", "--json", str(path)]
    assert main.main(command) == 0
    result = json.loads(path.read_text())
    assert set(result["seconds"]) == {"task", "saliency", "layer"}
    assert main.main(["--images", "11"]) == 2
