"""The benchmarks of similarity and of scaling run, and both sides of a comparison agree."""

import argparse
import json
import sys

import numpy as np
import pytest
import scipy.stats

from experiments.benchmarks import scaling, similarity
from experiments.benchmarks.peers import similarity_loops as peers


def options(part, **changes):
    sizes = {"models": 4, "total": 16, "images": 16, "entries": 1500, "edges": 20_000, "repeats": 2}
    names = {"part": part, **sizes, **changes}
    return argparse.Namespace(**names)


def test_ours_equals_the_loops_and_the_numpy_version():
    mine, loops = similarity.ours(options("ours")), similarity.published(options("published"))
    assert loops["pairs"] == 6
    assert len(loops["found"]) == 6
    for row in loops["found"]:
        i, j = row["pair"]
        # Float32 maps in both; ours multiplies in float32 and adds in float64.
        np.testing.assert_allclose(mine["node_numbers"][i][j], row["node"], atol=1e-6)
        if "edge" in row:
            np.testing.assert_allclose(mine["edge_numbers"][i][j], row["edge"], atol=2e-6)
    assert any("edge" in row for row in loops["found"])
    nodes = similarity.Maps(4, 1500).chunk(0, similarity.CHUNK)
    by_numpy = peers.numpy_node_products(nodes) / similarity.CHUNK
    np.testing.assert_allclose(mine["node_numbers"], by_numpy, atol=1e-6)
    edges = np.stack(list(similarity.edges_of(4, 20_000)))
    np.testing.assert_allclose(mine["edge_numbers"], peers.numpy_edge_matrix(edges), atol=2e-6)


def test_the_loops_are_spearman_and_cosine(rng):
    a, b = rng.normal(size=(2, 3, 40))
    cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(peers.node_term(a, b), np.mean(cosines), rtol=1e-12)
    expected = scipy.stats.spearmanr(a[0], b[0]).statistic
    np.testing.assert_allclose(peers.edge_term(a[0], b[0]), expected, rtol=1e-12)


def test_maps_do_not_depend_on_the_chunk():
    maps = similarity.Maps(3, 50)
    whole = np.stack(maps.chunk(0, 12))
    parts = np.concatenate([maps.chunk(0, 8), maps.chunk(8, 4)], axis=1)
    np.testing.assert_array_equal(whole, parts)
    assert len(np.unique(whole.reshape(-1, 50), axis=0)) == 36  # no map twice


def test_the_floor_is_arithmetic():
    sizes = {"models": 20, "total": 1000, "entries": 65536, "edges": 499_500}
    machine = {"matmul_gflops": 100.0, "copy_gb_s": 10.0, "sort_million_s": 99.9}
    mine = {part: {"cpu": {"median": 2.0}} for part in ("nodes", "edges")}
    got = similarity.floor(sizes, machine, mine)
    assert got["gbytes"]["nodes"] == pytest.approx(5.24288)
    assert got["gflop"]["nodes"] == pytest.approx(27.52512)
    assert got["seconds"] == {"nodes": 0.524, "edges": 0.104}
    assert got["share"]["nodes"] == 0.262


def test_quick_similarity_prints_every_key(monkeypatch, capsys):
    # Its processes in this one: imports would take most of the time.
    def here(module, given, *, one_thread=False):
        return json.loads(json.dumps(similarity.PARTS[given["part"]](options(**given))))

    monkeypatch.setattr(similarity, "fresh_process", here)
    monkeypatch.setattr(similarity, "rates", lambda: {
        "matmul_gflops": 100.0, "copy_gb_s": 10.0, "sort_million_s": 100.0
    })  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["similarity", "--quick"])
    similarity.main()
    (line,) = capsys.readouterr().out.splitlines()
    got = json.loads(line)
    assert {"ratio_20", "ratio_100", "compile_s", "peak_mb", "floor_share"} <= got.keys()
    for case in got["models"].values():
        assert case["largest_difference"]["node"] < 1e-6
        assert case["largest_difference"]["edge"] < 2e-6


def test_quick_scaling_prints_every_curve(monkeypatch, capsys, tmp_path):
    figure = tmp_path / "scaling.png"
    monkeypatch.setattr(sys, "argv", ["scaling", "--quick", "--figure", str(figure)])
    scaling.main()
    (line,) = capsys.readouterr().out.splitlines()
    got = json.loads(line)
    for curve in got["curves"].values():
        assert len(curve["sizes"]) == len(curve["seconds"]) > 1
    assert got["adding_one_model"]["zoo"] == 9
    assert figure.stat().st_size > 10_000


def test_the_exponent_is_the_slope():
    assert scaling.exponent([1, 10, 100], [3e-3, 3e-1, 30]) == 2.0
