"""The walk as an iterator: chunks in order, what each holds, edges at the end, errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.attribution import attribute
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.graph import edges_of, node_vectors
from depara_jax.models import InputSpec, Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.walk import View, Walk, layer_features
from depara_jax.walk.step import run_step
from tests import networks

LAYERS = ("stem", "answer")


@pytest.fixture(scope="module")
def models():
    return [networks.model(seed) for seed in range(2)]


def views(models):
    return [View(model, LAYERS) for model in models]


def test_chunks_hold_what_single_calls_give(models):
    """Features and node vectors of every graph, in order, and edges of all images at the end."""
    probe, recipe = networks.probe(7), RECIPES["default"]
    walk = Walk(views(models), probe, recipe, features=True, batch_size=3)
    chunks = list(walk)
    assert [chunk.start for chunk in chunks] == [0, 3, 6]
    assert walk.names == ("net0:stem", "net0:answer", "net1:stem", "net1:answer")
    wanted = []
    for model in models:
        features, maps = attribute(model.forward, model.variables, probe.images, LAYERS, recipe)
        wanted += [(features[layer], node_vectors(maps[layer], recipe)) for layer in LAYERS]
    for graph, (features, vectors) in enumerate(wanted):
        found = np.concatenate([np.asarray(chunk.features[graph]) for chunk in chunks])
        # Batches of 3 against one of 7 change the order of float32 sums.
        np.testing.assert_allclose(found, np.reshape(features, (7, -1)), rtol=1e-5, atol=1e-6)
        found = np.concatenate([np.asarray(chunk.vectors[graph]) for chunk in chunks])
        np.testing.assert_allclose(found, vectors, rtol=1e-4, atol=1e-6)
        edges = edges_of(features, edge_normalization="zscore")
        np.testing.assert_allclose(walk.edges()[graph], edges, atol=1e-5)


def test_the_sizes_of_features_are_traced_once_an_architecture():
    traced = []

    def forward(variables, images):
        traced.append(images.shape)
        return networks.forward(variables, images)

    spec = InputSpec(size=(networks.SIZE, networks.SIZE))
    models = [
        Model.from_function(forward, networks.variables(seed), name=f"net{seed}", input=spec)
        for seed in range(3)
    ]
    traced.clear()
    assert [View(model, LAYERS).feature_sizes() for model in models] == [[256, 6]] * 3
    assert len(traced) == 1


def test_features_come_only_when_they_are_asked_for(models):
    probe = networks.probe(4)
    (chunk,) = Walk(views(models), probe, RECIPES["paper"])
    assert chunk.features == ()
    assert len(chunk.vectors) == 4
    (chunk,) = Walk(views(models), probe)
    assert chunk.vectors == ()
    assert len(chunk.features) == 4


def test_a_walk_without_a_recipe_runs_no_gradients_and_gives_no_edges(models):
    walk = Walk(views(models[:1]), networks.probe(4))
    program = walk._program(0, [], first_pass=True)
    images = np.zeros((4, *models[0].spec.input.shape), np.float32)
    text = run_step.lower(program, models[0].variables, images).as_text()
    # Max-pooling backwards is a scatter; the network's two convolutions run once.
    assert "select_and_scatter" not in text
    assert text.count("stablehlo.convolution(") == 2
    list(walk)
    with pytest.raises(DeparaError, match="no recipe that gives edges weight"):
        walk.edges()
    with pytest.raises(DeparaError, match="makes no graphs"):
        walk.recipe  # noqa: B018 - the access is what is tested


def test_edges_before_the_last_chunk_are_refused(models):
    walk = Walk(views(models), networks.probe(5), RECIPES["paper"], batch_size=2)
    chunks = iter(walk)
    next(chunks)
    with pytest.raises(DeparaError, match="iterate to the last chunk"):
        walk.edges()
    list(chunks)
    assert len(walk.edges()) == 4


def test_every_iteration_walks_anew_and_counts_anew(models):
    seen = []
    walk = Walk(
        views(models), networks.probe(5), RECIPES["paper"], batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    first = [np.asarray(v) for chunk in walk for v in chunk.vectors]
    second = [np.asarray(v) for chunk in walk for v in chunk.vectors]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert seen == [(i + 1, 6) for i in range(6)] * 2
    assert walk.zero_maps == (0, 0, 0, 0)


def test_passes_for_large_features_give_no_chunks_of_their_own(models):
    probe = networks.probe(6)
    whole = Walk(views(models), probe, RECIPES["default"], batch_size=4)
    parts = Walk(views(models), probe, RECIPES["default"], batch_size=4, feature_limit=6 * 4 * 50)
    assert [c.start for c in parts] == [c.start for c in whole]
    assert parts.steps > whole.steps
    for a, b in zip(parts.edges(), whole.edges(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # Gram matrices of slices against one product


def test_with_features_every_layer_is_given_whatever_the_passes(models):
    probe = networks.probe(6)
    walk = Walk(views(models), probe, RECIPES["default"], features=True, feature_limit=6 * 4 * 50)
    (chunk,) = walk
    plain = layer_features(models[0], probe, LAYERS)
    for found, layer in zip(chunk.features[:2], LAYERS, strict=True):
        np.testing.assert_allclose(found, plain[layer], rtol=1e-5, atol=1e-6)


def broken_by_light(variables, images):
    """A network whose features are NaN for images that are bright in the first pixel."""
    bad = jnp.where(images[:, 0, 0, 0] > 50, jnp.nan, 0.0)
    out = networks.forward(variables, images)
    return {k: v + bad.reshape(-1, *[1] * (v.ndim - 1)) for k, v in out.items()}


def test_nan_ends_a_walk_for_graphs_and_is_handed_on_by_one_for_features():
    probe = networks.probe(5)
    probe.images[3, 0, 0, 0] = 100.0
    input = InputSpec(size=(networks.SIZE, networks.SIZE))
    variables = networks.variables(0)
    model = Model.from_function(broken_by_light, variables, name="broken", input=input)
    with pytest.raises(DegenerateError, match=r"broken:answer: NaN.*position 3\);"):
        list(Walk([View(model, ("answer",))], probe, Recipe(), batch_size=2))
    features = layer_features(model, probe, ["answer"], batch_size=2)["answer"]
    assert np.isnan(features).all(axis=1).tolist() == [False, False, False, True, False]


def test_impossible_walks_are_refused_at_once(models):
    with pytest.raises(DeparaError, match="probe set is empty"):
        Walk(views(models), networks.ArrayProbe(np.zeros((0, 8, 8, 3))))
    with pytest.raises(DeparaError, match="batch_size must be at least 1"):
        Walk(views(models), networks.probe(4), batch_size=0)
    with pytest.raises(DegenerateError, match="too few to rank"):
        Walk(views(models), networks.probe(2), RECIPES["paper"])
