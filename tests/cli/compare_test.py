"""`depara compare`, and the provenance that every verb's result carries."""

import json

import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.store import code_version

PROBE = ["--probe", "photographs:probe[:6]", "--recipe", "paper"]
RANK = ["rank-models", "--target", "edges", "--sources", "corners,jigsaw,scale", *PROBE]


def run(capsys, *argv):
    code = main([*map(str, argv), "--json", "-"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranked") / "a.json"
    assert main([*RANK, "--json", str(path)]) == 0
    return path


def altered(path, **changes):
    """The result under `path` with parts of its provenance changed."""
    content = json.loads(path.read_text())
    content["provenance"] |= changes
    other = path.with_name("altered.json")
    other.write_text(json.dumps(content))
    return other


def ranking(path, places: dict[str, int], **origin):
    rows = [{"rank": rank, "model": name, "score": -rank} for name, rank in places.items()]
    path.write_text(json.dumps({"ranking": rows, "provenance": origin}))
    return path


def test_a_result_says_where_it_comes_from(ranked):
    result = json.loads(ranked.read_text())
    origin = result["provenance"]
    assert origin["recipe"] == result["recipe"]
    assert origin["probe"] == result["probe"]["fingerprint"]
    assert set(origin["networks"]) == {"edges", "corners", "jigsaw", "scale"}
    assert all(len(network["weights"]) == 64 for network in origin["networks"].values())
    assert origin["code"] == code_version()
    assert origin["devices"]["count"] >= 1
    assert origin["command"].startswith("depara rank-models --target edges --sources corners")
    assert origin["versions"]["jax"]
    assert origin["seconds"] > 0
    assert origin["time"].endswith("+00:00")


def test_a_result_of_an_earlier_version_is_refused_in_one_line(capsys, ranked):
    content = json.loads(ranked.read_text())
    other = ranked.with_name("old.json")
    other.write_text(json.dumps(content | {"target": "edges", "recipe": "paper"}))
    for files in ((ranked, other), (other, ranked)):
        code, _, err = run(capsys, "compare", *files)
        assert (code, err.count("\n")) == (2, 1)
        assert "old.json: written by an earlier version" in err
        assert "rank again" in err
    other.write_text(json.dumps(content | {"kind": "graph"}))
    code, _, err = run(capsys, "compare", ranked, other)
    assert (code, err.count("\n")) == (2, 1)
    assert "a ranking of graphs; give one of models or of layers" in err


def test_the_same_twice_agrees_and_another_machine_does_not_matter(capsys, ranked):
    other = altered(ranked, host="elsewhere", time="1970-01-01T00:00:00+00:00", seconds=1)
    code, result, _ = run(capsys, "compare", ranked, other)
    assert (code, result["candidates"], result["different"]) == (0, 3, {})
    assert result["spearman"] == result["kendall"] == pytest.approx(1)
    assert result["moves"] == result["only_in_first"] == result["only_in_second"] == []
    assert set(result["provenance"]["inputs"]) == {str(ranked), str(other)}


def test_what_is_not_comparable_is_refused_unless_it_is_meant(capsys, ranked):
    recipe = json.loads(ranked.read_text())["provenance"]["recipe"] | {"lam": 0.5}
    other = altered(ranked, recipe=recipe, code="0.0.1+abc")
    code, _, err = run(capsys, "compare", ranked, other)
    assert (code, err.count("\n")) == (2, 1)
    assert "not comparable (recipe: lam 1.0 and 0.5; code: " in err
    code, _, err = run(capsys, "compare", ranked, other, "--allow-different", "recipe")
    assert code == 2
    assert "recipe:" not in err
    code, result, err = run(capsys, "compare", ranked, other, "--allow-different", "recipe,code")
    assert code == 0
    assert set(result["different"]) == {"recipe", "code"}
    assert "different recipe: lam 1.0 and 0.5" in err


def test_agreement_is_that_of_the_ranks_of_what_both_have(capsys, tmp_path):
    first = ranking(tmp_path / "1.json", {"a": 1, "x": 2, "b": 3, "c": 4, "d": 5}, probe="p")
    second = ranking(tmp_path / "2.json", {"b": 1, "a": 2, "c": 3, "d": 4, "y": 5}, probe="p")
    _, result, _ = run(capsys, "compare", first, second)
    # Ranks 1 2 3 4 against 2 1 3 4: rho = 1 - 6 * 2 / (4 * 15), tau = (5 - 1) / 6.
    assert result["spearman"] == pytest.approx(0.8)
    assert result["kendall"] == pytest.approx(2 / 3)
    assert result["best"] == ["a", "b"]
    assert result["top"] == [{"k": 1, "overlap": 0.0}, {"k": 3, "overlap": 1.0}]
    assert result["moves"] == [{"model": "a", "ranks": [1, 2]}, {"model": "b", "ranks": [2, 1]}]
    assert (result["only_in_first"], result["only_in_second"]) == (["x"], ["y"])
    tied = ranking(tmp_path / "3.json", {"a": 1, "b": 1, "c": 1}, probe="p")
    assert run(capsys, "compare", first, tied)[1]["spearman"] is None


def test_bad_files_are_one_line(capsys, tmp_path, ranked):
    content = json.loads(ranked.read_text())
    layers = tmp_path / "layers.json"
    layers.write_text(
        json.dumps(content | {"kind": "layer", "ranking": [{"rank": 1, "layer": "stem"}]})
    )
    old = tmp_path / "old.json"
    old.write_text(json.dumps({k: v for k, v in content.items() if k != "provenance"}))
    other = tmp_path / "other.json"
    other.write_text('{"ranking": []}')
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"ranking": [{"model": "a", "rank": None}]}))
    alone = ranking(tmp_path / "alone.json", {"edges": 1}, **content["provenance"])
    for argv, message in (
        ((ranked, layers), "give two of a kind"),
        ((ranked, old), "does not say where it comes from"),
        ((ranked, other), "no ranking"),
        ((ranked, broken), "no model or no rank"),
        ((ranked, alone), "0 models in common"),
        ((ranked, tmp_path / "none"), "not readable"),
        ((ranked, ranked, "--moves", -1), "at least 0"),
        ((ranked, ranked, "--allow-different", "recipes"), "did you mean 'recipe'"),
    ):
        code, _, err = run(capsys, "compare", *argv)
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err


def test_verbs_that_read_files_name_their_digests(capsys, tmp_path):
    rng = np.random.default_rng(0)
    features, labels = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(features, rng.random((12, 3)))
    np.save(labels, np.arange(12) % 2)
    argv = ["estimate", "--features", features, "--labels", labels, "--estimators", "h_score"]
    origin = run(capsys, *argv)[1]["provenance"]
    assert set(origin["inputs"]) == {str(features), str(labels)}
    similarity, truth = tmp_path / "s.json", tmp_path / "t.json"
    values = rng.random((4, 4)).tolist()
    said = {"recipe": {"lam": 1.0}, "probe": "p"}
    matrix = {"names": list("abcd"), "similarity": values, "provenance": said}
    similarity.write_text(json.dumps(matrix))
    truth.write_text(json.dumps([list("abcd"), list("bacd")]))
    both = ["--similarity", similarity, "--truth", truth]
    origin = run(capsys, "evaluate", *both, "--relevant", 2)[1]["provenance"]
    assert set(origin["inputs"]) == {str(similarity), str(truth)}
    assert origin["similarity"] == said  # what the matrix says of itself is carried on
    figure = ["plot", "pr", *both, "--relevant", 2, "--output", tmp_path / "f.png"]
    assert run(capsys, *figure)[1]["provenance"]["inputs"] == origin["inputs"]
    # A second method is welcome, another probe set is not.
    other = tmp_path / "other.json"
    other.write_text(json.dumps(matrix | {"provenance": said | {"recipe": {"lam": 0.0}}}))
    assert run(capsys, *figure, "--similarity", other)[0] == 0
    other.write_text(json.dumps(matrix | {"provenance": said | {"probe": "q"}}))
    code, _, err = run(capsys, *figure, "--similarity", other)
    assert code == 2
    assert "not comparable (probe: p and q)" in err


def test_a_saved_graph_and_an_index_know_their_code(capsys, tmp_path):
    path = tmp_path / "g.npz"
    result = run(capsys, "graph", "edges", *PROBE, "--output", path)[1]
    with np.load(path) as saved:
        origin = json.loads(str(saved["provenance"]))
        arrays = dict(saved)
    for name in ("recipe", "probe", "networks", "code", "command"):
        assert origin[name] == result["provenance"][name]
    plan, store, index = tmp_path / "p.toml", tmp_path / "store", tmp_path / "i"
    plan.write_text('models = ["edges", "scale"]\nrecipes = ["paper"]\n'
                    'probes = ["photographs:probe[:6]"]')  # fmt: skip
    assert "recipes" in run(capsys, "sweep", plan, "--store", store)[1]["provenance"]
    run(capsys, "index", "build", store, "--output", index, "--dim", 256)
    found = run(capsys, "index", "query", index, path)[1]
    assert found["provenance"]["probe"] == origin["probe"]
    assert found["provenance"]["recipe"]["lam"] == origin["recipe"]["lam"]
    arrays["provenance"] = np.array(json.dumps(origin | {"code": "0.0.1+abc"}))
    np.savez(path, **arrays)
    code, _, err = run(capsys, "index", "query", index, path)
    assert (code, err.count("\n")) == (2, 1)
    assert "not comparable (code: 0.0.1+abc and " in err
