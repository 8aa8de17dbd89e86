"""Rankings end to end on small networks: against the slow version, and the method's invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.evaluation import resampled_similarities
from depara_jax.graph import edges_of
from depara_jax.models import InputSpec, Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection import attribution_graphs, compare_models, rank_layers, rank_models
from depara_jax.walk import View, Walk
from depara_jax.walk.edges import EdgeBuilder, Slice
from depara_jax.walk.memory import default_batch_size
from depara_jax.walk.step import run_step
from tests import networks
from tests.references import depara as reference


@pytest.fixture(scope="module")
def models():
    return [networks.model(seed) for seed in range(4)]


def slow_graph(model, layer, images, recipe):
    """One image and one gradient at a time, in float64 from there on."""
    targets = {"l2sq": lambda f: (f * f).sum(), "sum": jnp.sum, "mean": jnp.mean}
    features, nodes = [], []
    for image in jnp.asarray(images):

        def scalar(image):
            return targets[recipe.target](model.forward(model.variables, image[None])[layer][0])

        attribution = np.asarray(image * jax.grad(scalar)(image))
        mean = recipe.channel_reduction == "mean"
        nodes.append(reference.node_vector(attribution, recipe.absolute, mean))
        features.append(np.asarray(model.forward(model.variables, image[None])[layer][0]))
    return nodes, reference.edges(np.stack(features), recipe.edge_normalization)


@pytest.mark.parametrize("name", ["paper", "depara-task", "default"])
def test_rank_models_equals_the_slow_version(models, name):
    recipe, probe = RECIPES[name], networks.probe(7)
    ranking = rank_models(models[0], models[1:], probe, recipe, batch_size=3)
    graphs = [slow_graph(model, "answer", probe.images, recipe) for model in models]
    for i, (nodes, edges) in enumerate(graphs[1:]):
        expected = reference.similarity(
            (graphs[0][0], nodes), (graphs[0][1], edges), recipe.lam, ties=recipe.ties
        )
        # float32 cosines and ranks; two edges closer than 1e-7 could swap, which the seed avoids.
        np.testing.assert_allclose(ranking.score[i], expected, atol=1e-5)
    assert [ranking.names[i] for i in ranking.order] == [r["model"] for r in ranking.rows()]
    assert ranking.rows()[0]["score"] == max(ranking.score)


def test_rank_layers_equals_single_graphs(models):
    recipe, probe = RECIPES["paper"], networks.probe(7)
    ranking = rank_layers(models[0], models[1], probe, recipe, batch_size=4)
    target = slow_graph(models[0], "answer", probe.images, recipe)
    assert ranking.names == ("stem", "body", "answer")  # shallow to deep, not by alphabet
    for layer, score in zip(ranking.names, ranking.score, strict=True):
        source = slow_graph(models[1], layer, probe.images, recipe)
        expected = reference.similarity((target[0], source[0]), (target[1], source[1]), recipe.lam)
        np.testing.assert_allclose(score, expected, atol=1e-5)  # float32


@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_odd_last_batches_change_nothing(models, batch_size):
    probe = networks.probe(9)
    whole = rank_models(models[0], models[1:], probe, batch_size=9)
    parts = rank_models(models[0], models[1:], probe, batch_size=batch_size)
    np.testing.assert_allclose(parts.score, whole.score, atol=2e-6)  # order of float32 sums


def test_an_odd_last_batch_compiles_nothing_anew():
    traces = []

    def counted(variables, images):
        traces.append(images.shape)
        return networks.forward(variables, images)

    model = Model.from_function(
        counted, networks.variables(0), name="counted", input=InputSpec(size=(8, 8))
    )
    graphs = attribution_graphs(model, networks.probe(9), batch_size=4)
    once = len(traces)
    attribution_graphs(model, networks.probe(11, seed=5), batch_size=4)
    assert list(graphs) == ["answer"]
    # Another probe set with another odd batch: shapes are read off again, nothing is traced.
    assert [shape for shape in traces[once:] if shape[0] == 1] == []


@pytest.mark.parametrize("recipe", [RECIPES["paper"], RECIPES["default"], RECIPES["depara-task"]])
@pytest.mark.parametrize("feature_limit", [4 * 9 * 30, 4 * 9 * 300])
def test_a_small_feature_limit_changes_nothing(models, recipe, feature_limit):
    probe = networks.probe(9)
    whole = rank_layers(models[0], models[1], probe, recipe, batch_size=4)
    tight = rank_layers(
        models[0], models[1], probe, recipe, batch_size=4, feature_limit=feature_limit
    )
    np.testing.assert_allclose(tight.score, whole.score, atol=1e-5)  # Gram matrices in slices


@pytest.mark.parametrize("scale", [1e-25, 1e15])
@pytest.mark.parametrize("normalization", ["none", "center", "zscore"])
def test_slices_of_tiny_and_huge_features_give_the_same_edges(rng, scale, normalization):
    features = rng.normal(size=(6, 30)).astype(np.float32)
    whole = edges_of(features, edge_normalization=normalization)
    builder = EdgeBuilder([30], 6, normalization)
    for piece in (Slice(0, 0, 7), Slice(0, 7, 30)):
        builder.begin([piece])
        builder.add(0, {piece: np.float32(scale) * features[:, piece.start : piece.stop]})
        builder.finish()
    np.testing.assert_allclose(builder.edges()[0], whole, atol=1e-5)  # float32, in two slices


def test_maps_of_a_bgr_network_meet_those_of_its_rgb_twin_colour_by_colour(models):
    flipped = dict(models[1].variables)
    flipped["conv1"] = flipped["conv1"][:, :, ::-1]
    spec = InputSpec(size=(8, 8), channels="bgr")
    twin = Model.from_function(networks.forward, flipped, name="bgr", input=spec)
    probe = networks.probe(6)

    class TwoWays(networks.ArrayProbe):
        def batches(self, input, batch_size):
            for images in super().batches(input, batch_size):
                yield images[..., ::-1] if input.channels == "bgr" else images

    ranking = rank_models(models[1], [twin], TwoWays(probe.images, "both"), RECIPES["paper"])
    np.testing.assert_allclose(ranking.node, 1.0, atol=1e-5)  # float32 cosines
    np.testing.assert_allclose(ranking.edge, 1.0, atol=1e-5)


def test_cosines_image_by_image_and_edges_serve_the_bootstrap(models):
    probe = networks.probe(8)
    kept = compare_models(models, probe, batch_size=3, per_image=True)
    plain = compare_models(models, probe, batch_size=3)
    assert plain.node_cosines is None
    np.testing.assert_allclose(kept.node_cosines.mean(0), kept.node, atol=1e-6)
    once = resampled_similarities(
        kept.node_cosines, np.ones((1, 8), np.float32), edges=kept.edges, lam=1.0
    )
    # Every image drawn once is the probe set itself.
    np.testing.assert_allclose(once[0], kept.score, atol=1e-5)


def test_compare_models_is_every_ranking_at_once(models):
    probe = networks.probe(8)
    matrix = compare_models(models, probe, batch_size=3)
    for i, target in enumerate(models):
        others = [m for j, m in enumerate(models) if j != i]
        ranking = rank_models(target, others, probe, batch_size=3)
        row = [matrix.score[i, j] for j in range(len(models)) if j != i]
        np.testing.assert_allclose(ranking.score, row, atol=3e-6)  # two orders of summation


def test_scaling_a_networks_output_leaves_its_similarities_unchanged(models):
    def louder(variables, images):
        return {k: 7.5 * v for k, v in networks.forward(variables, images).items()}

    scaled = Model.from_function(
        louder, models[1].variables, name="net1", input=models[1].spec.input
    )
    probe = networks.probe(8)
    plain = rank_models(models[0], [models[1]], probe)
    loud = rank_models(models[0], [scaled], probe)
    np.testing.assert_allclose(loud.node, plain.node, atol=1e-6)  # the unit map is the same
    np.testing.assert_allclose(loud.edge, plain.edge, atol=1e-6)


def test_permuting_the_probe_set_changes_nothing_in_both_and_destroys_it_in_one(models):
    probe = networks.probe(40)
    order = np.random.default_rng(0).permutation(40)
    shuffled = networks.ArrayProbe(probe.images[order])
    recipe = RECIPES["paper"]
    near = networks.variables(0)
    near = jax.tree.map(lambda v: v + 0.02 * jnp.sign(v), near)
    twin = Model.from_function(networks.forward, near, name="twin", input=models[0].spec.input)
    straight = rank_models(models[0], [twin], probe, recipe)
    both = rank_models(models[0], [twin], shuffled, recipe)
    np.testing.assert_allclose(both.score, straight.score, atol=1e-5)  # order of sums
    a = attribution_graphs(models[0], probe, recipe)["answer"]
    b = attribution_graphs(twin, shuffled, recipe)["answer"]
    from depara_jax.graph.similarity import edge_similarity, node_similarity

    assert float(straight.edge[0]) > 0.8
    assert abs(float(edge_similarity(a.edges, b.edges))) < 0.2
    assert float(straight.node[0]) > 0.8
    assert float(node_similarity(a.nodes, b.nodes)) < 0.4


def test_models_of_different_input_sizes_are_compared_on_the_smaller_grid(models):
    large = networks.model(1, name="large", size=16)
    recipe = RECIPES["paper"]
    ranking = rank_models(models[1], [models[0], large], networks.probe(8), recipe, batch_size=4)
    assert ranking.recipe.grid == 8
    # The large one has the target's weights and shrinks enlarged images to blurred copies of the
    # target's own.
    assert ranking.best == "large"
    assert ranking.node[1] > 0.5 > ranking.node[0] + 0.2
    with_grid = rank_models(
        models[0], [models[1], large], networks.probe(8), Recipe(grid=4), batch_size=4
    )
    assert with_grid.recipe.grid == 4


def test_another_lambda_needs_no_new_graphs(models):
    probe = networks.probe(8)
    one = rank_models(models[0], models[1:], probe, Recipe(lam=1.0))
    ten = rank_models(models[0], models[1:], probe, Recipe(lam=10.0))
    np.testing.assert_allclose(one.with_lam(10.0).score, ten.score, atol=1e-6)
    np.testing.assert_allclose(one.with_lam(0.0).score, one.node, atol=1e-6)
    with pytest.raises(DeparaError, match="leaves one of the terms out"):
        rank_models(models[0], models[1:], probe, Recipe(lam=0.0)).with_lam(1.0)


def test_one_image_ranks_by_nodes_alone_and_not_by_edges(models):
    ranking = rank_models(models[0], models[1:], networks.probe(1), RECIPES["tam"])
    assert ranking.edge is None
    np.testing.assert_array_equal(ranking.score, ranking.node)
    for count in (1, 2):
        with pytest.raises(DegenerateError, match="at least 3 images"):
            rank_models(models[0], models[1:], networks.probe(count))


def test_constant_images_are_refused_with_the_reason(models):
    same = networks.ArrayProbe(np.full((5, 8, 8, 3), 0.7))
    with pytest.raises(DegenerateError, match="net0:answer.*do not tell the probe images apart"):
        rank_models(models[0], models[1:], same)
    black = networks.ArrayProbe(np.zeros((5, 8, 8, 3)))
    with pytest.raises(DegenerateError, match="every attribution map is zero"):
        rank_models(models[0], models[1:], black, RECIPES["tam"])


def test_one_black_image_is_counted(models):
    images = networks.probe(6).images.copy()
    images[4] = 0
    ranking = rank_models(models[0], models[1:], networks.ArrayProbe(images), RECIPES["tam"])
    assert ranking.zero_maps == (1, 1, 1)
    assert ranking.target_zero_maps == 1
    counts = {"net0:answer": 1, "net1": 1, "net2": 1, "net3": 1}
    assert ranking.to_dict()["zero_maps"] == counts
    assert "zero attribution maps (counted as cosine 0): net0:answer 1" in str(ranking)
    assert compare_models(models, networks.ArrayProbe(images)).zero_maps == (1, 1, 1, 1)
    assert ranking.node_cosines[:, 4].tolist() == [0, 0, 0]


def test_nan_weights_and_images_name_model_layer_and_image(models):
    broken = jax.tree.map(lambda v: v, models[1].variables)
    broken["linear"] = broken["linear"].at[0, 0].set(jnp.nan)
    bad = Model.from_function(networks.forward, broken, name="bad", input=models[0].spec.input)
    with pytest.raises(DegenerateError, match="bad:answer: NaN"):
        rank_models(models[0], [models[1], bad], networks.probe(5))
    images = networks.probe(5).images.copy()
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(DegenerateError, match="position 3"):
        rank_models(models[0], models[1:], networks.ArrayProbe(images), batch_size=2)


def test_a_dead_network_is_refused_and_never_ranked(models):
    dead = jax.tree.map(jnp.zeros_like, models[1].variables)
    bad = Model.from_function(networks.forward, dead, name="dead", input=models[0].spec.input)
    with pytest.raises(DegenerateError, match="dead:answer: every attribution map is zero"):
        rank_models(models[0], [models[1], bad], networks.probe(5))


def test_names_are_checked(models):
    probe = networks.probe(5)
    with pytest.raises(DeparaError, match="no source models"):
        rank_models(models[0], [], probe)
    with pytest.raises(DeparaError, match="net1 named more than once"):
        rank_models(models[0], [models[1], models[1]], probe)
    with pytest.raises(DeparaError, match="body named more than once"):
        rank_layers(models[0], models[1], probe, layers=["body", "stem", "body"])
    with pytest.raises(DeparaError, match="batch_size must be at least 1"):
        rank_models(models[0], models[1:], probe, batch_size=0)
    with pytest.raises(UnknownNameError, match="did you mean 'body'"):
        rank_layers(models[0], models[1], probe, layers=["boddy"])
    with pytest.raises(UnknownNameError, match="did you mean 'answer'"):
        rank_layers(models[0], models[1], probe, target_layer="answr")
    with pytest.raises(DeparaError, match="has none; name a target layer"):
        rank_layers(models[0], models[1], probe, RECIPES["depara-layer"])


def test_exact_twins_are_tied_and_say_so(models):
    twins = [
        Model.from_function(
            networks.forward, models[1].variables, name=name, input=models[1].spec.input
        )
        for name in ("a", "b")
    ]
    ranking = rank_models(models[0], [models[2], *twins], networks.probe(6))
    assert ranking.ties == (("a", "b"),)
    assert ranking.ranks[1] == ranking.ranks[2]


def test_progress_counts_every_step(models):
    seen = []
    rank_models(
        models[0], models[1:], networks.probe(9), batch_size=4,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(i + 1, 12) for i in range(12)]


def test_edges_only_needs_no_maps(models):
    walk = Walk([View(models[0], ("answer",))], networks.probe(5), Recipe(node_weight=0.0))
    assert [chunk.vectors for chunk in walk] == [()]
    assert walk.edges()[0].shape == (10,)


def test_batch_sizes_shrink_with_the_image():
    sizes = [default_batch_size(InputSpec(size=(s, s))) for s in (8, 32, 224, 4096)]
    assert sizes == [128, 128, 10, 2]


def test_an_odd_last_batch_and_another_network_of_the_kind_compile_nothing_new():
    models = [networks.model(seed) for seed in range(3)]
    recipe = RECIPES["paper"]
    jax.clear_caches()
    rank_models(models[0], models[1:2], networks.probe(7), recipe, batch_size=3)  # 3, 3 and 1
    programs = run_step._cache_size()
    # Three graphs, other images, another odd batch, and the same program.
    rank_models(models[2], models[:2], networks.probe(8, seed=5), recipe, batch_size=3)
    assert run_step._cache_size() == programs == 1
    rank_models(models[2], models[:2], networks.probe(8, seed=5), recipe, batch_size=4)
    assert run_step._cache_size() == 2  # the count is alive
