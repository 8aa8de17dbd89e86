"""The authors' code: its two presets against slow versions of it, and its bugs one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.attribution import attribute
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.graph import edges_of
from depara_jax.models import InputSpec, Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection import attribution_graphs, compare_models, rank_layers, rank_models
from depara_jax.selection.extract import extract
from depara_jax.selection.views import View
from tests import networks
from tests.references import upstream as authors

CONVOLUTIONS, LINEAR = ("conv1", "conv2"), ("linear1", "linear2")
LAYERS = (*CONVOLUTIONS, *LINEAR, "logits")
# Signed whole maps, so that sums of gradients can be read off.
SIGNED = RECIPES["depara-layer"].replace(absolute=False, channel_reduction="none")


def vgg_like(variables, images):
    """Two convolutions with normalisation and ReLU, two hidden linear layers, logits."""
    out, x = {}, images
    for i in (1, 2):
        x = out[f"conv{i}"] = networks.conv(x, variables[f"conv{i}"], i)
        x = out[f"norm{i}"] = (x - 0.1) * 1.5
        x = out[f"relu{i}"] = jax.nn.relu(x)
    x = x.reshape(x.shape[0], -1)
    for i in (1, 2):
        x = out[f"linear{i}"] = x @ variables[f"linear{i}"]
        x = out[f"rectified{i}"] = jax.nn.relu(x)
    out["logits"] = x @ variables["logits"]
    return out


def with_dead_layer(variables, images):
    """The same, but its first convolution as a layer of its own gives zeros."""
    out = vgg_like(variables, images)
    return {**out, "conv1": out["conv1"] * 0}


def layered(seed, size=8):
    keys = jax.random.split(jax.random.key(seed), 5)
    shapes = {
        "conv1": (3, 3, 3, 4), "conv2": (3, 3, 4, 5), "linear1": (size * size // 4 * 5, 12),
        "linear2": (12, 10), "logits": (10, 3),
    }  # fmt: skip
    variables = {
        name: jax.random.normal(key, shape) / np.sqrt(np.prod(shape[:-1]))
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    plain = Model.from_function(
        vgg_like, variables, name=f"vgg{seed}-{size}", input=InputSpec(size=(size, size)),
        encoder="rectified2", logits="logits",
    )  # fmt: skip
    points = (("conv", LAYERS), ("activation", ("relu1", "relu2", "rectified1", "rectified2")))
    return Model(dataclasses.replace(plain.spec, points=points), vgg_like, variables)


@pytest.fixture(scope="module")
def pair():
    return layered(10), layered(11)


def vectors_of(views, probe, recipe, **options):
    """Node vectors [n, p] of every graph of a walk."""
    chunks = []
    extract(views, probe, recipe, lambda _, vectors: chunks.append(vectors), **options)
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


@pytest.mark.parametrize(("name", "divisor"), [("depara-task", 1), ("depara-task-upstream", 1000)])
def test_task_preset_equals_the_authors_task_procedure(name, divisor):
    models, probe = [networks.model(seed) for seed in range(5)], networks.probe(9)
    expected = authors.task_scores(models[0], models[1:], probe.images, lam=0.25, divisor=divisor)
    ranking = rank_models(models[0], models[1:], probe, RECIPES[name], batch_size=4)
    # float32 cosines; among 36 edges two would have to be closer than 1e-7 to swap ranks.
    np.testing.assert_allclose(ranking.score, expected, atol=2e-6)
    assert np.ptp(expected) > 0.05


def test_tam_preset_equals_the_node_half_of_the_task_procedure():
    models, probe = [networks.model(seed) for seed in range(4)], networks.probe(6)
    expected = authors.task_scores(models[0], models[1:], probe.images, lam=0.0)
    ranking = rank_models(models[0], models[1:], probe, RECIPES["tam"])
    np.testing.assert_allclose(ranking.score, expected, atol=1e-6)  # float32 cosines


@pytest.mark.parametrize(
    ("recipe", "clear"),
    [
        (RECIPES["depara-layer"], ("layer", "model")),
        (RECIPES["depara-layer"].replace(accumulate="layers"), ("model",)),
        (RECIPES["depara-layer-upstream"], ()),
        (RECIPES["depara-layer-upstream-cpu"], ()),
    ],
    ids=lambda value: value.name if isinstance(value, Recipe) else None,
)
def test_layer_presets_equal_the_authors_layer_procedure(pair, recipe, clear):
    target, source = pair
    probe = networks.probe(9)
    batch = authors.Batch(probe.images)
    overwritten = LINEAR if recipe.relu_alias else ()
    # Every network is walked over all its layers; the target's last graph is the one that counts.
    *_, (maps, edges) = authors.layer_graphs(target, LAYERS, batch, clear="layer" in clear)
    if "model" in clear:
        batch.clear()
    graphs = authors.layer_graphs(
        source, LAYERS, batch, clear="layer" in clear, overwritten=overwritten
    )
    ranking = rank_layers(target, source, probe, recipe, batch_size=4)
    assert ranking.names == LAYERS
    assert ranking.target.endswith(":logits")
    for i, (other, others) in enumerate(graphs):
        # float32 gradients and cosines against float64; no two of 36 edges are within 1e-6.
        np.testing.assert_allclose(ranking.node[i], authors.cosines(maps, other).mean(), atol=3e-6)
        np.testing.assert_allclose(ranking.edge[i], authors.spearman(edges, others), atol=3e-6)
    np.testing.assert_allclose(ranking.score, ranking.node + ranking.edge, atol=1e-6)  # float32


def test_every_layer_of_the_target_adds_to_its_map_and_to_what_the_source_begins_with(pair):
    target, source = pair
    probe = networks.probe(6)
    own, other = (vectors_of([View(model, LAYERS)], probe, SIGNED) for model in pair)
    recipe = SIGNED.replace(accumulate="models")
    for target_layer, name in ((None, "logits"), ("conv2", "conv2"), ("rectified2", "rectified2")):
        extra = vectors_of([View(target, (name,))], probe, SIGNED) if name not in LAYERS else []
        # "rectified2" is no convolution; it comes after "linear2" and before "logits".
        walked = [*own[:-1], *extra, own[-1]]
        position = 4 if extra else LAYERS.index(name)
        expected = np.sum(walked[: position + 1], axis=0)
        carried = np.sum(walked, axis=0)
        for layers in (LAYERS, ("conv2", "logits")):
            ranking = rank_layers(
                target, source, probe, recipe, target_layer=target_layer, layers=layers
            )
            for cosine, layer in zip(ranking.node, layers, strict=True):
                theirs = carried + np.sum(other[: LAYERS.index(layer) + 1], axis=0)
                # float32 sums of eleven maps in another order.
                np.testing.assert_allclose(
                    cosine, authors.cosines(expected, theirs).mean(), atol=2e-6
                )
    alone = authors.cosines(own[-1], np.sum(other, axis=0) + own[-1]).mean()
    whole = rank_layers(target, source, probe, recipe).node[-1]
    assert abs(alone - whole) > 0.05


def test_extra_layers_of_the_walk_are_no_graphs(pair):
    probe, recipe = networks.probe(5), SIGNED.replace(accumulate="models")
    spec = pair[0].spec
    # The first convolution's activation is dead: no graph could be made of it.
    dead = Model(dataclasses.replace(spec, name="dead"), with_dead_layer, pair[0].variables)
    with pytest.raises(DegenerateError, match="conv1"):
        attribution_graphs(dead, probe, recipe, layers=LAYERS)
    ranking = rank_layers(dead, pair[1], probe, recipe)
    assert ranking.names == LAYERS
    assert ranking.target == "dead:logits"
    assert ranking.target_zero_maps == 0


def test_gradients_accumulated_over_layers_are_a_cumulative_sum(pair):
    probe = networks.probe(5)
    clean = attribution_graphs(pair[0], probe, SIGNED, layers=LAYERS)
    summed = attribution_graphs(pair[0], probe, SIGNED.replace(accumulate="layers"), layers=LAYERS)
    total = np.cumsum([clean[layer].nodes for layer in LAYERS], axis=0)
    for layer, expected in zip(LAYERS, total, strict=True):
        np.testing.assert_allclose(summed[layer].nodes, expected, atol=1e-6)  # order of sums
        np.testing.assert_array_equal(summed[layer].edges, clean[layer].edges)
    # From the second layer on it matters.
    assert np.abs(total[1] - clean["conv2"].nodes).max() > 0.1 * np.abs(total[1]).max()


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_gradients_accumulated_over_models_begin_with_the_total_of_the_one_before(pair, batch_size):
    views = [View(model, LAYERS) for model in pair]
    probe, count = networks.probe(7), len(LAYERS)
    clean = vectors_of(views, probe, SIGNED)
    summed = vectors_of(views, probe, SIGNED.replace(accumulate="models"), batch_size=batch_size)
    expected = np.cumsum(clean, axis=0)
    # Sums of ten float32 maps in another order.
    np.testing.assert_allclose(summed, expected, atol=1e-6)
    first_total = np.sum(clean[:count], axis=0)
    np.testing.assert_allclose(summed[count] - clean[count], first_total, atol=1e-6)  # as above


def test_first_convolutions_mean_has_one_gradient_for_all_images(pair):
    images = networks.probe(6).images
    saliency = SIGNED.replace(attribution="saliency")
    _, maps = attribute(pair[0].forward, pair[0].variables, images, CONVOLUTIONS, saliency)
    spread = {layer: float(np.ptp(maps[layer], axis=0).max()) for layer in CONVOLUTIONS}
    # Linear in the image, so the gradient does not depend on it; one ReLU later it does.
    assert spread["conv1"] <= 1e-7 * float(jnp.abs(maps["conv1"]).max())  # float32 rounding
    assert spread["conv2"] > 0.1 * float(jnp.abs(maps["conv2"]).max())


def test_relu_alias_alters_the_edges_of_fully_connected_layers_alone(pair):
    probe = networks.probe(8)
    clean = attribution_graphs(pair[0], probe, RECIPES["depara-layer"], layers=LAYERS)
    alias = RECIPES["depara-layer"].replace(relu_alias=True)
    aliased = attribution_graphs(pair[0], probe, alias, layers=LAYERS)
    features = pair[0].forward(pair[0].variables, jnp.asarray(probe.images))
    for layer in LAYERS:
        np.testing.assert_array_equal(aliased[layer].nodes, clean[layer].nodes)
        if layer in LINEAR:
            after = edges_of(features[layer.replace("linear", "rectified")])
            np.testing.assert_allclose(aliased[layer].edges, after, atol=1e-6)  # batched products
            assert np.abs(aliased[layer].edges - clean[layer].edges).max() > 0.1
        else:
            np.testing.assert_array_equal(aliased[layer].edges, clean[layer].edges)


@pytest.mark.parametrize("options", [{"feature_limit": 4 * 9 * 30}, {"batch_size": 2}])
def test_bugs_do_not_depend_on_how_the_walk_is_cut(pair, options):
    recipe, probe = RECIPES["depara-layer-upstream-cpu"], networks.probe(9)
    whole = rank_layers(*pair, probe, recipe, batch_size=9)
    parts = rank_layers(*pair, probe, recipe, **options)
    np.testing.assert_allclose(parts.node, whole.node, atol=1e-5)  # order of float32 sums
    np.testing.assert_allclose(parts.edge, whole.edge, atol=1e-5)  # Gram matrices in slices
    np.testing.assert_allclose(whole.with_lam(0.0).score, whole.node, atol=1e-7)  # float64 to 32


def test_bugs_of_layer_selection_are_refused_where_they_cannot_show(pair):
    probe = networks.probe(5)
    upstream = RECIPES["depara-layer-upstream"]
    small = [networks.model(0), networks.model(1)]
    with pytest.raises(DeparaError, match="bugs of the authors' layer selection"):
        rank_models(small[0], small[1:], probe, upstream)
    with pytest.raises(DeparaError, match="bugs of the authors' layer selection"):
        compare_models(small, probe, RECIPES["depara-layer"].replace(relu_alias=True))
    for recipe in (RECIPES["depara-layer"], RECIPES["depara-layer"].replace(lam=0.0)):
        with pytest.raises(DeparaError, match="is for layer selection: .*its logits"):
            rank_models(small[0], small[1:], probe, recipe)
        with pytest.raises(DeparaError, match="is for layer selection: .*its logits"):
            compare_models(small, probe, recipe)
    encoders = RECIPES["depara-layer"].replace(target_side="encoder")
    assert rank_models(small[0], small[1:], probe, encoders).names == ("net1",)
    with pytest.raises(DeparaError, match="no effect on a single layer"):
        attribution_graphs(pair[0], probe, upstream, layers=["conv2"])
    with pytest.raises(DeparaError, match="none of the layers is fully connected"):
        attribution_graphs(
            pair[0], probe, RECIPES["depara-layer-upstream-cpu"], layers=CONVOLUTIONS
        )
    with pytest.raises(DeparaError, match="'vgg10-8' takes .*'vgg11-16' .*give both the same"):
        rank_layers(pair[0], layered(11, size=16), probe, upstream)
