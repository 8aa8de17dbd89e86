"""`depara plot`, through the frame: what each figure is given, and where it goes."""

import json
from pathlib import Path

import numpy as np
import pytest

from depara_jax import reporting
from depara_jax.cli import main as cli
from depara_jax.cli import plot

PAPERS = Path(__file__).parents[1] / "golden" / "papers"
ARCHIVE = f"{PAPERS}/tam_affinity_taskonomy_probe.npz"
TRUTH = f"{PAPERS}/sort_gt.npy"


@pytest.fixture(autouse=True)
def _verb(monkeypatch):
    monkeypatch.setitem(cli.VERBS, "plot", cli.Verb("depara_jax.cli.plot", "draw a figure"))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    saved, save = [], reporting.save_figure

    def keep(figure, path):
        saved.append(figure)
        return save(figure, path)

    monkeypatch.setattr(reporting, "save_figure", keep)
    return saved


def run(*options):
    return cli.main(["plot", *map(str, options)])


def test_pr_draws_each_matrix_with_random_and_oracle(tmp_path, drawn, capsys):
    options = ["--similarity", f"S={ARCHIVE}:saliency", "--similarity", f"{ARCHIVE}:epsilon_lrp"]
    output = tmp_path / "pr.svg"
    assert run("pr", *options, "--truth", TRUTH, "--output", output, "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["figure"], result["output"]) == ("pr", str(output))
    assert set(result["provenance"]["inputs"]) == {ARCHIVE, TRUTH}
    assert output.read_text().startswith("<?xml")
    labels = [line.get_label() for line in drawn[0].axes[0].get_lines()]
    assert labels == ["oracle", "random", "S", "tam_affinity_taskonomy_probe.npz:epsilon_lrp"]
    random = drawn[0].axes[1].get_lines()[1]
    # R@K of a random ranking rises as K / 19, which the authors' plot does not show.
    np.testing.assert_allclose(random.get_ydata(), np.arange(1, 20) / 19, rtol=1e-12)


def test_one_method_gets_a_band(tmp_path, drawn):
    options = ["--similarity", f"{ARCHIVE}:saliency", "--truth", TRUTH]
    assert run("pr", *options, "--output", tmp_path / "pr.png") == 0
    assert len(drawn[0].axes[0].collections) == 1


def test_heatmap_and_tree_take_names_and_families(tmp_path, drawn):
    names = ",".join(f"t{i}" for i in range(20))
    matrix = ["--similarity", f"{ARCHIVE}:saliency", "--names", names]
    assert run("heatmap", *matrix, "--output", tmp_path / "h.png", "--title", "T") == 0
    assert drawn[0].axes[0].get_title("left") == "T"
    (tmp_path / "f.json").write_text(json.dumps({"t1": "2D"}))
    options = ["--families", tmp_path / "f.json", "--construction", "authors"]
    assert run("tree", *matrix, *options, "--output", tmp_path / "t.png") == 0
    assert "Euclidean" in drawn[1].axes[0].get_xlabel()
    assert {t.get_text() for t in drawn[1].axes[0].get_yticklabels()} == set(names.split(","))


def test_the_authors_tree_is_of_rows_whose_columns_are_other_networks(tmp_path, drawn, capsys):
    with np.load(ARCHIVE) as matrices:
        rows = np.delete(matrices["saliency"], (7, 19), axis=0)
    targets, sources = ([f"{kind}{i}" for i in range(n)] for kind, n in (("t", 18), ("s", 20)))
    path = tmp_path / "rows.npz"
    np.savez(path, affinity=rows, targets=targets, sources=sources)
    options = ["--similarity", f"{path}:affinity", "--output", tmp_path / "t.png"]
    assert run("tree", *options, "--construction", "authors") == 0
    assert {t.get_text() for t in drawn[0].axes[0].get_yticklabels()} == set(targets)
    assert run("tree", *options) == 2
    assert "rows and columns of a similarity need the same names" in capsys.readouterr().err


def ranking(tmp_path, **more):
    rows = [
        {"rank": 1, "layer": "b", "score": 0.9, "node": 0.5, "edge": 0.4},
        {"rank": 2, "layer": "a", "score": 0.3, "node": 0.2, "edge": 0.1},
    ]
    (tmp_path / "r.json").write_text(json.dumps({"ranking": rows, **more}))
    return tmp_path / "r.json"


@pytest.mark.parametrize("way", ["option", "file"])
def test_layers_stand_from_shallow_to_deep(tmp_path, drawn, way):
    path = ranking(tmp_path, **({"names": ["a", "b"]} if way == "file" else {}))
    (tmp_path / "acc.json").write_text(json.dumps({"10%": {"a": 50, "b": 60}}))
    options = ["--ranking", path, "--accuracy", tmp_path / "acc.json"]
    options += ["--order", "a,b"] if way == "option" else []
    assert run("layers", *options, "--output", tmp_path / "l.png") == 0
    axes, twin = drawn[0].axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()[:3]}
    assert lines == {"V (nodes)": [0.2, 0.5], "E (edges)": [0.1, 0.4], "SIM = V + λE": [0.3, 0.9]}
    assert twin.get_lines()[0].get_ydata().tolist() == [50, 60]


def test_layers_without_an_order_are_refused(tmp_path, capsys):
    assert run("layers", "--ranking", ranking(tmp_path), "--output", tmp_path / "l.png") == 2
    assert "--order" in capsys.readouterr().err


LAYERS = {"ranking": [{"layer": "a", "score": 0.5}], "names": ["a"]}


@pytest.mark.parametrize(
    ("change", "accuracy", "message"),
    [
        ({"ranking": 5}, None, "expected 'ranking'"),
        ({"ranking": None}, None, "expected 'ranking'"),
        ({"names": 5}, None, "expected 'ranking'"),
        ({"names": [["a"]]}, None, "expected 'ranking'"),
        ({"ranking": [{"layer": ["a"], "score": 1}]}, None, "no layer 'a'"),
        ({"ranking": [{"layer": "a", "score": "x"}]}, None, "score: expected numbers"),
        ({"ranking": [{"layer": "a", "score": 1, "node": [1]}]}, None, "V (nodes): expected"),
        ({"ranking": [{"layer": "a", "score": 10**400}]}, None, "score: expected numbers"),
        ({}, {"10%": {"a": "x"}}, "expected {label"),
        ({}, {"a": "x"}, "expected {label"),
        ({}, {"a": 10**400}, "is not numbers"),
        ({}, {"10%": {"a": 1}, "b": 2}, "expected {label"),
        ({}, {}, "expected {label"),
    ],
)
def test_layers_refuse_what_is_not_a_ranking(tmp_path, capsys, change, accuracy, message):
    (tmp_path / "r.json").write_text(json.dumps(LAYERS | change))
    (tmp_path / "acc.json").write_text(json.dumps(accuracy))
    options = [] if accuracy is None else ["--accuracy", tmp_path / "acc.json"]
    options += ["--ranking", tmp_path / "r.json", "--output", tmp_path / "l.png"]
    assert run("layers", *options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_families_are_text(tmp_path, capsys):
    (tmp_path / "f.json").write_text('{"0": [1]}')
    options = ["--similarity", f"{ARCHIVE}:saliency", "--families", tmp_path / "f.json"]
    assert run("tree", *options, "--output", tmp_path / "t.png") == 2
    assert "expected {name: family}" in capsys.readouterr().err


@pytest.mark.parametrize("figure", ["heatmap", "tree"])
def test_names_and_titles_with_dollar_signs(tmp_path, figure):
    np.save(tmp_path / "s.npy", np.eye(3) + 0.1)
    options = ["--similarity", tmp_path / "s.npy", "--names", "$\\x$,b,c", "--title", "$\\foo{$"]
    assert run(figure, *options, "--output", tmp_path / "f.png") == 0


def test_edges_take_a_saved_graph_and_thumbnails(tmp_path, drawn, rng):
    edges = rng.random(10)
    images = rng.integers(0, 256, size=(5, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "g.npz", nodes=rng.random((5, 8)), edges=edges)
    np.save(tmp_path / "i.npy", images)
    options = ["--graph", tmp_path / "g.npz", "--thumbnails", tmp_path / "i.npy"]
    assert run("edges", *options, "--strongest", 3, "--output", tmp_path / "e.png") == 0
    assert len(drawn[0].axes[0].get_images()) == 5
    assert drawn[0].axes[0].get_title() == "The 3 strongest of 10 edges"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["heatmap", "--output", "x.pdf"], ".png or .svg"),
        (["heatmap", "--output", "/nowhere/x.png"], "existing folder"),
        (["tree", "--families", TRUTH, "--output", "x.png"], "not readable JSON"),
        (["pr", "--truth", TRUTH, "--similarity", f"{ARCHIVE}:saliency"], "two methods named"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    full = [*options, "--similarity", f"{ARCHIVE}:saliency"]
    full += [] if "--output" in options else ["--output", "x.png"]
    assert run(*full) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_accuracy_files_of_either_depth():
    assert plot.nested("f", {"a": 1.0, "b": None}) == {"measured": {"a": 1.0, "b": None}}
    assert plot.nested("f", {"x": {"a": 1.0}}) == {"x": {"a": 1.0}}
