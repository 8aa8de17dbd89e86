"""The pretrained-zoo study: its manifest, its counting, and a run on two tiny networks."""

import argparse
import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

from depara_jax.estimators import EstimatorInputs, estimate
from experiments.pretrained_zoo import main as study
from experiments.pretrained_zoo.similarity import (
    FEATURE_MEASURES,
    family,
    grouping,
    signatures,
    twin_ranks,
)
from experiments.pretrained_zoo.transfer import judge

HERE = Path(study.__file__).parent
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


def test_the_signatures_give_the_library_s_measures(rng):
    one, two = rng.normal(size=(9, 5)), rng.normal(size=(9, 7)).astype(np.float32)
    two[:, :5] += 2 * one
    inputs = EstimatorInputs(features=one.astype(np.float32), target_features=two)
    want = estimate(list(FEATURE_MEASURES.values()), inputs)
    left, right = signatures(one.astype(np.float32)), signatures(two)
    for name, row in FEATURE_MEASURES.items():
        # Float32 against float64.
        assert left[name] @ right[name] == pytest.approx(want[row].value, abs=1e-5)


def test_the_rank_of_a_twin_counts_the_nearer_ones():
    names = ["mnv2", "mnv2_tf2", "other"]
    matrix = np.array([[1, 0.9, 0.2], [0.9, 1, 0.95], [0.2, 0.95, 1]])
    assert twin_ranks(matrix, names) == {"mnv2": 1, "mnv2_tf2": 2}


def test_an_estimator_is_judged_by_rank_and_by_its_first_pick():
    truth = {"a": [0.9, 0.7], "b": [0.5], "c": [0.6]}
    good = judge({"a": 3.0, "b": 1.0, "c": 2.0}, truth)
    assert good["spearman"] == pytest.approx(1)
    assert (good["pick"], good["regret"]) == ("a", 0)
    bad = judge({"a": 1.0, "b": 3.0, "c": 2.0}, truth)
    assert bad["spearman"] == pytest.approx(-1)
    assert (bad["pick"], round(bad["regret"], 6)) == ("b", 0.3)
    # A network without a score leaves the count, not the rest.
    few = judge({"a": 1.0, "b": None, "c": 0.5}, truth)
    assert few == {"networks": 2, "pick": "a"}  # two have no order to speak of


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="DEPARA_SHARED does not point to the shared data")
def test_a_small_run_ends_in_tables(tmp_path, capsys):
    arguments = argparse.Namespace(
        zoo=str(HERE / "zoo.toml"), output=tmp_path, images=8, target_images=140,
        targets="", only="cifar_resnet8,person_detector", results=tmp_path / "r.json",
        figures=tmp_path,
    )  # fmt: skip
    study.extract(arguments)
    kept = tmp_path / "probe/cifar_resnet8.npz"
    stamp = kept.stat().st_mtime_ns
    study.extract(arguments)
    assert kept.stat().st_mtime_ns == stamp, "a complete cell was made again"
    study.report(arguments)
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["networks"] == ["person_detector", "cifar_resnet8"]
    assert (tmp_path / "tree.png").stat().st_size < 150_000
    assert "| DEPARA |" in capsys.readouterr().out
