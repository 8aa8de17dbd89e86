"""The index: a projection that keeps dot products, a file that grows, queries that find."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.graph import embed, similarity_matrix
from depara_jax.index import (
    Index,
    IndexHeader,
    Projection,
    add_to_index,
    build_index,
    query_index,
    standard_error,
)
from depara_jax.index.file import HEADER, META, sign_bits
from depara_jax.index.handover import export_index
from depara_jax.index.query import nearest_rows
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.store import Store, artefact_key, save_graph
from tests.networks import model, probe
from tests.sweep.helpers import plan_file

PAPER = RECIPES["paper"]
COUNT = 9


def header(dim: int = 128, **changes) -> IndexHeader:
    fields = {"length": dim, "exact": True, "seed": 0, "recipe": PAPER.to_dict(), "probe": "p",
              "images": 3, "code": "c"}  # fmt: skip
    return IndexHeader(dim=dim, **(fields | changes))


def metas(count: int, start: int = 0) -> list[dict]:
    return [
        {"name": f"m{i}:l", "model": f"m{i}", "layer": "l", "address": f"{i:064x}"}
        for i in range(start, start + count)
    ]


def graph_of(number: int, recipe=PAPER, images=None):
    return attribution_graphs(model(number), images or probe(COUNT), recipe)["answer"]


def fill(store: Store, numbers, recipe=PAPER, images=None):
    for number in numbers:
        graph = graph_of(number, recipe, images)
        key = artefact_key("graph", model(number), "answer", recipe, graph.info.probe)
        save_graph(store, key, graph, provenance={})


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("index") / "store", create=True)
    fill(store, range(4))
    return store


def test_a_projection_is_the_sum_that_its_definition_says(rng):
    projection = Projection(50, 8, seed=3)
    x = rng.normal(size=50).astype(np.float32)
    words = np.random.Philox(key=3).random_raw(50)
    slow = np.zeros(8)
    for value, word in zip(x.tolist(), words.tolist(), strict=True):
        slow[(word >> 32) * 8 >> 32] += value if word % 2 == 0 else -value
    np.testing.assert_allclose(projection(x), slow, atol=1e-6)  # float32 of a float64 sum


def test_the_projection_of_a_seed_is_fixed_for_good():
    # If these change, indexes that are on people's disks can no longer be added to.
    found = Projection(4, 1000, seed=0)(np.array([1, 2, 3, 4], np.float32))
    assert {int(i): float(found[i]) for i in np.flatnonzero(found)} == FIXED


FIXED = {11: -1.0, 111: -3.0, 241: 2.0, 564: 4.0}


def test_the_error_over_seeds_is_the_one_stated(rng):
    # 400 seeds: the standard deviation is known to 1 / sqrt(800) = 3.5%; four times that.
    x, y = rng.normal(size=(2, 2000)).astype(np.float32)
    y = (x + y).astype(np.float32)
    exact = float(x @ y)
    norms = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    errors = []
    for seed in range(400):
        projection = Projection(2000, 256, seed)
        errors.append(projection(x) @ projection(y) - exact)
    bound = standard_error(256, *norms, exact)
    measured = float(np.sqrt(np.mean(np.square(errors))))
    assert measured == pytest.approx(bound, rel=0.14)
    assert abs(np.mean(errors)) < 4 * bound / np.sqrt(400)  # it has no bias


def test_rows_come_back_and_adding_leaves_the_old_bytes(tmp_path, rng):
    index = Index.create(tmp_path / "i", header(100))
    first = rng.normal(size=(300, 100)).astype(np.float32)
    index = index.append(metas(300), first)
    before = (tmp_path / "i").read_bytes()
    more = rng.normal(size=(7, 100)).astype(np.float32)
    index = index.append(metas(7, 300), more)
    assert len(index) == 307
    np.testing.assert_array_equal(index.vectors(range(307)), np.concatenate([first, more]))
    assert index.names() == [meta["name"] for meta in metas(307)]
    after = (tmp_path / "i").read_bytes()
    # Two blocks of 256 rows: only places that were zero are written, and the number of rows.
    changed = np.flatnonzero(
        np.frombuffer(before, np.uint8)[HEADER:] != np.frombuffer(after, np.uint8)[HEADER:]
    )
    assert not np.frombuffer(before, np.uint8)[HEADER:][changed].any()
    np.testing.assert_array_equal(index.block(1)["signs"][50], sign_bits(more[6]))


def test_a_writer_that_dies_leaves_the_rows_before_it(tmp_path, rng, monkeypatch):
    index = Index.create(tmp_path / "i", header(64)).append(metas(2), np.eye(2, 64, dtype="f4"))

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        index.append(metas(3, 2), np.ones((3, 64), np.float32))
    monkeypatch.undo()
    assert len(Index(tmp_path / "i")) == 2
    index = Index(tmp_path / "i").append(metas(1, 2), np.full((1, 64), 5, np.float32))
    assert index.names() == ["m0:l", "m1:l", "m2:l"]
    np.testing.assert_array_equal(index.vectors([2]), np.full((1, 64), 5))


def test_the_scan_by_signs_finds_what_the_full_scan_finds(tmp_path, rng):
    centres = rng.normal(size=(20, 512))
    rows = centres[rng.integers(0, 20, 3000)] + 0.3 * rng.normal(size=(3000, 512))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    index = Index.create(tmp_path / "i", header(512)).append(metas(3000), rows)
    for query in rows[:5]:
        expected = np.argsort(-(rows @ query), kind="stable")[:10]
        found, products = nearest_rows(index, query, 10, by_signs=600)
        assert len(set(found) & set(expected)) >= 9
        np.testing.assert_allclose(products, rows[found] @ query, atol=1e-6)
        everything, _ = nearest_rows(index, query, 10, by_signs=3000)
        np.testing.assert_array_equal(everything, expected)


def test_an_exact_index_gives_the_similarities_of_the_library(filled, tmp_path):
    index = build_index(filled, tmp_path / "i", dim=None)
    graphs = [graph_of(number) for number in range(4)]
    expected = np.asarray(similarity_matrix(graphs, PAPER).score)
    for number in range(4):
        matches = query_index(index, f"net{number}", top=3)
        assert len(matches) == 3
        for match in matches:
            # Both are float32 sums of 1,764 products.
            assert match.estimate == pytest.approx(expected[number, int(match.model[3:])], abs=1e-5)
        assert list(matches) == sorted(matches, key=lambda m: -m.estimate)
        assert (matches.exact, matches.node, matches.edge) == (True, None, None)
        np.testing.assert_array_equal(matches.score, [m.estimate for m in matches])


def test_a_shortlist_is_ranked_exactly_from_the_store(filled, tmp_path):
    index = build_index(filled, tmp_path / "i", dim=64, seed=5)
    pairs = similarity_matrix([graph_of(n) for n in range(4)], PAPER)
    expected = np.asarray(pairs.score)
    assert not query_index(index, "net0", top=3).exact
    matches = query_index(index, "net0:answer", top=3, store=filled)
    places = [int(match.model[3:]) for match in matches]
    np.testing.assert_allclose(matches.node, np.asarray(pairs.node)[0, places], atol=1e-5)
    np.testing.assert_allclose(matches.edge, np.asarray(pairs.edge)[0, places], atol=1e-5)
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)
    for match in matches:
        assert match.score == pytest.approx(expected[0, int(match.model[3:])], abs=1e-5)
    # A graph from outside is asked for in the same way, and finds itself first.
    matches = query_index(index, graph_of(2), top=2, store=filled)
    assert matches[0].model == "net2"
    assert matches[0].score == pytest.approx(2, abs=1e-5)


def test_adding_costs_the_new_rows_only(tmp_path):
    store = Store(tmp_path / "store", create=True)
    fill(store, range(2))
    index = build_index(store, tmp_path / "i", dim=64)
    assert add_to_index(index, store)[1] == 0
    fill(store, range(3))
    index, added = add_to_index(index, store)
    assert (added, len(index)) == (1, 3)
    whole = build_index(store, tmp_path / "whole", dim=64)
    np.testing.assert_array_equal(whole.vectors(range(3)), index.vectors(range(3)))
    exact = np.asarray(embed(graph_of(2), PAPER))
    np.testing.assert_allclose(index.vectors([2])[0], Projection(len(exact), 64)(exact), atol=1e-6)


def test_what_cannot_be_compared_is_refused_with_the_reason(filled, tmp_path):
    index = build_index(filled, tmp_path / "i", dim=64)
    others = {
        "another probe set": {"images": probe(COUNT, seed=2)},
        "another recipe": {"recipe": RECIPES["default"]},
    }
    for number, (reason, options) in enumerate(others.items()):
        store = Store(tmp_path / f"store{number}", create=True)
        fill(store, [0], **options)
        with pytest.raises(DeparaError, match=reason):
            add_to_index(index, store)
        with pytest.raises(DeparaError, match=reason):
            query_index(index, graph_of(0, **options))
        fill(store, [0])
        with pytest.raises(DeparaError, match="2 kinds that cannot be compared"):
            build_index(store, tmp_path / "j", dim=64)
        assert not (tmp_path / "j").exists()
        assert add_to_index(index, store)[1] == 0
    old = Index.create(tmp_path / "k", header(64, length=1764, code="old", exact=False,
                                              probe=f"seed1-{COUNT}"))  # fmt: skip
    with pytest.raises(DeparaError, match="other code"):
        add_to_index(old, filled)


def test_names_that_are_not_there(filled, tmp_path):
    index = build_index(filled, tmp_path / "i", dim=64)
    with pytest.raises(UnknownNameError, match="did you mean"):
        query_index(index, "net0:answr")
    with pytest.raises(DeparaError, match="top"):
        query_index(index, "net0", top=0)
    twice = index.append(
        [{"name": "net0:stem", "model": "net0", "layer": "stem", "address": "0"}],
        np.zeros((1, 64), np.float32),
    )
    with pytest.raises(DeparaError, match="several layers"):
        query_index(twice, "net0")
    with pytest.raises(DeparaError, match="too long"):
        index.append([{**metas(1)[0], "name": "x" * META}], np.zeros((1, 64), np.float32))


@pytest.mark.parametrize("damage", ["cut", "header", "other", "missing"])
def test_damaged_files_are_one_line(filled, tmp_path, damage):
    path = Path(build_index(filled, tmp_path / "i", dim=64).path)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "header":
        path.write_bytes(content[:40] + b"x" * 100 + content[140:])
    else:
        path.write_bytes(b"something else" * 1000)
    with pytest.raises(DeparaError, match=str(path)):
        Index(path)


def test_an_index_is_handed_over(filled, tmp_path):
    index = build_index(filled, tmp_path / "i", dim=64)
    assert export_index(index, str(tmp_path / "rows.npy"), "npy") == 4
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), index.vectors(range(4)))
    assert json.loads((tmp_path / "rows.npy.names.json").read_text()) == index.names()


def test_usearch_finds_the_same_rows(filled, tmp_path):
    usearch = pytest.importorskip("usearch.index")
    index = build_index(filled, tmp_path / "i", dim=64)
    export_index(index, str(tmp_path / "u"), "usearch")
    theirs = usearch.Index.restore(str(tmp_path / "u"))
    found = theirs.search(index.vectors([1])[0], 4).keys.tolist()
    assert found == nearest_rows(index, index.vectors([1])[0], 4)[0].tolist()


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")  # SWIG's, on import
def test_faiss_finds_the_same_rows(filled, tmp_path):
    faiss = pytest.importorskip("faiss")
    index = build_index(filled, tmp_path / "i", dim=64)
    assert export_index(index, str(tmp_path / "f"), "faiss") == 4
    theirs = faiss.read_index(str(tmp_path / "f"))
    assert (theirs.ntotal, theirs.d) == (4, 64)
    for row in range(4):
        vector = index.vectors([row])[0]
        products, found = theirs.search(vector[None], 4)
        rows, ours = nearest_rows(index, vector, 4)
        assert found[0].tolist() == rows.tolist()
        np.testing.assert_allclose(products[0], ours, rtol=1e-5)
    assert json.loads((tmp_path / "f.names.json").read_text()) == index.names()
    with pytest.raises(DeparaError, match="faiss cannot write there"):
        export_index(index, str(tmp_path / "none" / "f"), "faiss")


def test_the_command_line(capsys, tmp_path):
    def run(*argv):
        code = main([*map(str, argv), "--json", "-"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    plan = plan_file(tmp_path / "p.toml", models=["edges", "corners", "jigsaw"])
    store, file = tmp_path / "store", tmp_path / "zoo.index"
    assert run("sweep", plan, "--store", store)[0] == 0
    code, result, _ = run("index", "build", store, "--output", file, "--dim", 1024)
    assert (code, result["graphs"], result["dim"]) == (0, 3, 1024)
    assert result["standard_error"] == pytest.approx(2 / 32, abs=1e-3)
    plan = plan_file(tmp_path / "p.toml", models=["scale"])
    assert run("sweep", plan, "--store", store)[0] == 0
    assert run("index", "add", file, store)[1]["added"] == 1
    code, result, _ = run("index", "query", file, "edges", "--top", 2, "--store", store)
    assert code == 0
    assert [match["rank"] for match in result["ranking"]] == [1, 2]
    assert (result["target"]["model"], result["exact"]) == ("edges", True)
    ranked = run("rank-models", "--target", "edges", "--sources", "corners,jigsaw,scale",
                 "--probe", "photographs:probe[:6]", "--recipe", "paper")[1]["ranking"]  # fmt: skip
    for match, row in zip(result["ranking"], ranked, strict=False):
        assert match["model"] == row["model"]
        for term in ("score", "node", "edge"):
            assert match[term] == pytest.approx(row[term], abs=1e-5)
    graph = tmp_path / "g.npz"
    run("graph", "edges", "--probe", "photographs:probe[:6]", "--recipe", "paper",
        "--output", graph)  # fmt: skip
    assert run("index", "query", file, graph, "--store", store)[1]["ranking"][0]["model"] == "edges"
    with np.load(graph) as arrays:
        settings = json.loads(str(arrays["recipe"])) | {"relu_alias": True}
        earlier = dict(arrays) | {"recipe": json.dumps(settings)}
    np.savez(tmp_path / "earlier.npz", **earlier)
    for argv, message in (
        (("query", file, tmp_path / "earlier.npz"), "experiments/fidelity/authors.py"),
        (("query", file, "edgse"), "did you mean"),
        (("query", file, "edges", "--shortlist", 5), "--shortlist serves"),
        (("query", plan, "edges"), "not an index"),
        (("build", store, "--output", file, "--dim", 3), "at least 64"),
        (("build", store, "--output", file, "--lam", 3), "name it with --recipe"),
        (("build", store, "--output", file, "--recipe", "tam"), "no graphs of that recipe"),
    ):
        code, _, err = run("index", *argv)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
