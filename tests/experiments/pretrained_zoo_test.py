"""The pretrained-zoo study: its manifest, its counting, and a run on two tiny networks."""

import dataclasses
import json
import os
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax import RECIPES, attribute
from depara_jax.errors import DeparaError
from depara_jax.estimators import EstimatorInputs, estimate
from depara_jax.graph import node_vectors
from depara_jax.models import Model
from depara_jax.models.port import port_model, random_variables
from depara_jax.models.resnet import ResNet, ResNetConfig
from experiments.pretrained_zoo import main as study
from experiments.pretrained_zoo.config import GRIDS, HERE, StudyConfig
from experiments.pretrained_zoo.finetune import fine_tuned
from experiments.pretrained_zoo.images import Labelled, probe_of
from experiments.pretrained_zoo.judging import judge, summarise
from experiments.pretrained_zoo.report import report
from experiments.pretrained_zoo.similarity import family, grouping, matrices, twin_ranks
from experiments.pretrained_zoo.study import graph_arrays
from experiments.pretrained_zoo.transfer import weight_count

SHARED = Path(os.environ.get("DEPARA_SHARED", "nowhere"))
ENTRIES = tomllib.loads((HERE / "zoo.toml").read_text())["model"]


def test_the_manifest_says_where_each_network_comes_from():
    assert len(ENTRIES) == 19  # two of them twins of others
    for entry in ENTRIES:
        assert {"name", "architecture", "weights", "sha256", "task", "licence"} <= set(entry)
        assert len(entry["sha256"]) == 64
    assert {family(entry["name"]) for entry in ENTRIES} == {
        "MobileNetV1",
        "MobileNetV2",
        "CIFAR ResNet",
    }


def test_pairs_are_counted_by_what_they_share():
    names = ["mnv1_100", "mnv2", "mnv2_tf2", "mnv2_birds", "cifar_resnet20", "cifar_resnet32"]
    tasks = dict(zip(names, ["i", "i", "i", "b", "c", "c"], strict=True))
    matrix = np.eye(6)
    matrix[0, 1] = matrix[1, 3] = matrix[4, 5] = 0.5
    matrix = np.maximum(matrix, matrix.T)
    found = grouping(matrix, names, tasks)
    # Without the twin: 10 pairs; one of the same task, one of the same family, one of both.
    assert {kind: value["pairs"] for kind, value in found.items()} == {
        "same task": 1, "same family": 1, "both": 1, "neither": 7,
    }  # fmt: skip
    assert [found[k]["auc"] for k in ("same task", "same family", "both")] == [1, 1, 1]
    matrix[0, 1] = 0  # as all that share nothing
    assert grouping(matrix, names, tasks)["same task"]["auc"] == 0.5


def test_the_matrices_are_those_of_the_library(rng):
    one, two = rng.normal(size=(9, 5)), rng.normal(size=(9, 7)).astype(np.float32)
    two[:, :5] += 2 * one
    inputs = EstimatorInputs(features=one.astype(np.float32), target_features=two)
    nodes = rng.random((9, 4)).astype(np.float16)
    cells = {"a": {"features": one.astype(np.float32)}, "b": {"features": two}}
    found = matrices({name: {**cell, "nodes32": nodes} for name, cell in cells.items()})
    for name, row in {"RSA": "rsa", "CKA": "cka_linear", "DDS": "dds_cosine"}.items():
        want = estimate(row, inputs)[row].value
        assert found[name][0, 1] == pytest.approx(want, abs=1e-5)  # float32
    assert found["nodes"][0, 1] == pytest.approx(1)
    assert list(found) == ["DEPARA", "nodes", "edges", "RSA", "CKA", "DDS"]


def test_the_rank_of_a_twin_counts_the_nearer_ones():
    names = ["mnv2", "mnv2_tf2", "other"]
    matrix = np.array([[1, 0.9, 0.2], [0.9, 1, 0.95], [0.2, 0.95, 1]])
    assert twin_ranks(matrix, names) == {"mnv2": 1, "mnv2_tf2": 2}


def test_intervals_of_the_grouping_resample_networks(rng):
    names = [f"{kin}_{i}" for i in range(6) for kin in ("cifar", "mnv1", "mnv2")]
    tasks = {name: f"task{name[-1]}" for name in names}
    noise = rng.normal(size=(18, 18))
    noise = noise + noise.T
    same = np.array([[tasks[a] == tasks[b] for b in names] for a in names])
    perfect = grouping(noise + 100 * same, names, tasks)["same task"]
    assert perfect["auc"] == 1
    assert perfect["interval"] == [1, 1]
    nothing = grouping(noise, names, tasks)["same task"]
    low, high = nothing["interval"]
    assert 0 < low < nothing["auc"] < high < 1
    assert high - low > 0.2, "eighteen networks do not say more"
    # Nothing of both kinds here: no figure, no interval.
    assert grouping(noise, names, tasks)["both"] == {"pairs": 0, "auc": None}


def test_an_estimator_is_judged_by_rank_and_by_its_first_pick():
    truth = {"a": 0.8, "b": 0.5, "c": 0.6}
    good = judge({"a": 3.0, "b": 1.0, "c": 2.0}, truth)
    assert good["spearman"] == pytest.approx(1)
    assert (good["picks"], good["regret"]) == (["a"], 0)
    bad = judge({"a": 1.0, "b": 3.0, "c": 2.0}, truth)
    assert bad["spearman"] == pytest.approx(-1)
    assert (bad["picks"], round(bad["regret"], 6)) == (["b"], 0.3)
    # Of several first ones any may be taken.
    tied = judge({"a": 1.0, "b": 1.0, "c": 0.0}, truth)
    assert (tied["picks"], round(tied["regret"], 6)) == (["a", "b"], 0.15)
    # A network without a score leaves the count, not the rest.
    few = judge({"a": 1.0, "b": None, "c": 0.5}, truth)
    assert few == {"networks": 2, "picks": ["a"]}  # two have no order to speak of


def test_the_interval_of_a_rank_correlation_is_over_networks(rng):
    truth = {f"n{i}": float(a) for i, a in enumerate(rng.random(60))}
    noisy = {name: a + 0.3 * rng.normal() for name, a in truth.items()}
    found = judge(noisy, truth)
    low, high = found["interval"]
    assert low < found["spearman"] < high
    few = {name: truth[name] for name in list(truth)[:15]}
    wide = judge(noisy, few)["interval"]
    assert wide[1] - wide[0] > high - low


def test_means_over_targets_compare_with_a_reference_in_the_same_resamples(rng):
    names = [f"n{i}" for i in range(20)]
    truth = {t: {n: float(v) for n, v in zip(names, rng.random(20), strict=True)} for t in "st"}
    del truth["t"]["n0"]  # not every network counts for every target
    scores = {
        t: {
            "right": dict(accuracy),
            "right too": {n: 2 * a for n, a in accuracy.items()},
            "wrong": {n: -a for n, a in accuracy.items()},
            "partial": {n: a if n != "n3" else None for n, a in accuracy.items()},
        }
        for t, accuracy in truth.items()
    }
    found = summarise(scores, truth, "right")
    assert set(found) == {"right", "right too", "wrong"}, "a mean over other networks is none"
    assert found["right too"]["difference_interval"] == pytest.approx([0, 0])
    assert found["wrong"]["spearman"] == pytest.approx(-1)
    assert found["wrong"]["difference"] == pytest.approx(-2)
    assert found["right"]["regret"] == 0
    widest = [max(a.values()) - min(a.values()) for a in truth.values()]
    assert found["wrong"]["regret"] == pytest.approx(np.mean(widest))


def test_fine_tuning_learns_and_leaves_the_model_alone(rng):
    model = small_network(num_classes=5)
    # Red or blue pictures: nothing that a linear head does not learn at once.
    labels = np.arange(40) % 2
    images = [rng.integers(0, 99, (32, 32, 3)).astype(np.uint8) for _ in labels]
    for image, label in zip(images, labels, strict=True):
        image[..., 2 * label] += 100
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(model.variables)]
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        found = fine_tuned(model, Labelled(images, labels), seeds=2, train=24, steps=12)
    assert found["accuracy"].shape == (2,)
    assert found["accuracy"].min() >= 0.9
    for kept, leaf in zip(before, jax.tree.leaves(model.variables), strict=True):
        assert (kept == leaf).all(), "the model given was changed"


def test_weights_are_counted_without_the_classes():
    few, many = small_network(num_classes=5), small_network(num_classes=9)
    assert weight_count(few) == weight_count(many) > 0


def small_network(num_classes: int) -> Model:
    config = ResNetConfig(depth=8, family="cifar", width=0.25, num_classes=num_classes)
    variables = random_variables(ResNet, config, jax.random.key(0))
    return port_model(ResNet, config, variables=variables)


def test_one_walk_gives_the_vectors_of_both_grids(rng):
    """As `attribute` and `node_vectors` do, scaled; photographs of any size."""
    model = small_network(num_classes=5)
    larger = dataclasses.replace(model.spec.input, size=(96, 96), resize=None)
    spec = dataclasses.replace(model.spec, input=larger)
    model = dataclasses.replace(model, spec=spec)
    images = [rng.integers(0, 255, (100 + k, 120, 3)).astype(np.uint8) for k in range(3)]
    probe, recipe, layer = probe_of(images), RECIPES["default"], spec.encoder
    found = graph_arrays(model, probe)
    assert set(found) == {"features", "nodes32", "nodes96"}
    batch = jnp.asarray(probe.array(spec.input))
    features, maps = attribute(model.forward, model.variables, batch, (layer,), recipe)
    np.testing.assert_allclose(found["features"], features[layer], rtol=1e-5)
    for grid in GRIDS:
        want = np.asarray(node_vectors(maps[layer], recipe.replace(grid=grid)))
        want = want / np.abs(want).max(axis=1, keepdims=True)
        # Half precision of numbers up to 1.
        np.testing.assert_allclose(found[f"nodes{grid}"], want, atol=1e-3)
    # Each picture has its place in the digest.
    assert probe_of(images[::-1]).fingerprint != probe.fingerprint


def test_the_committed_results_give_the_readmes_tables(capsys):
    assert study.main(["--from-results"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 70
    readme = (HERE / "README.md").read_text().splitlines()
    for line in lines:
        assert line in readme, f"README.md lacks: {line}"


def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DEPARA_SHARED", str(tmp_path / "nowhere"))

    def refused(*argv):
        assert study.main([*argv, "--output", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "cannot be read (FileNotFoundError" in refused("--from-results", "none.json")
    (tmp_path / "other.json").write_text('{"settings": []}')
    assert "cannot be read (KeyError" in refused("--from-results", str(tmp_path / "other.json"))
    assert "weights file" in refused()
    assert "does not exist" in refused("--report")
    # A folder of cells as they were named before.
    (tmp_path / "run/run.json").unlink()
    (tmp_path / "run/probe").mkdir()
    assert "something else than a run" in refused("--report")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="DEPARA_SHARED does not point to the shared data")
def test_a_small_run_ends_in_tables(tmp_path, capsys):
    config = StudyConfig(
        zoo=(str(HERE / "zoo.toml"),), output=tmp_path / "run", images=8, target_images=140,
        targets=("visda", "fashion"), fashion=tmp_path / "nothing", finetune=("visda",), seeds=1,
        only=("cifar_resnet8", "person_detector", "mnv1_025"), results=tmp_path / "r.json",
        figures=tmp_path,
    )  # fmt: skip
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        study.extract(dataclasses.replace(config, finetune=()))
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
        assert len(kept) == 1 + 3 * 3 + 2  # run.json; three cells a network; the target's network
        study.extract(dataclasses.replace(config, finetune=()))
        assert {path: path.stat().st_mtime_ns for path in kept} == kept, "a cell was made again"
        assert "fashion is left out" in capsys.readouterr().err
        lines = report(config)
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["networks"] == ["mnv1_025", "person_detector", "cifar_resnet8"]
    assert (tmp_path / "tree.png").stat().st_size < 150_000
    visda = result["transfer"]["targets"]["visda"]
    assert visda["images"] == {"estimators": 80, "truth": 60}
    assert visda["target_network"]["trained_on"] == 80
    # Twelve classes and little data: ImageNet's features must do better than CIFAR's.
    assert np.mean(visda["truth"]["mnv1_025"]) > np.mean(visda["truth"]["cifar_resnet8"]) > 1 / 12
    assert visda["judged"]["DEPARA"]["networks"] == 3
    assert any(line.startswith("| DEPARA |") for line in lines)
    # Cells of other images are not taken for these.
    with pytest.raises(DeparaError, match="holds no graph of these networks and images"):
        report(dataclasses.replace(config, images=9))
