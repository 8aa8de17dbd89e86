"""`depara evaluate`, through the frame."""

import json
from pathlib import Path

import numpy as np
import pytest

from depara_jax.cli import main as cli

PAPERS = Path(__file__).parents[1] / "golden" / "papers"
MATRIX = f"{PAPERS}/tam_affinity_taskonomy_probe.npz:gradient_times_input"
TRUTH = f"{PAPERS}/sort_gt.npy"


@pytest.fixture(autouse=True)
def _verb(monkeypatch):
    verb = cli.Verb("depara_jax.cli.evaluate", "score a similarity matrix")
    monkeypatch.setitem(cli.VERBS, "evaluate", verb)


def run(capsys, *options):
    code = cli.main(["evaluate", *map(str, options)])
    out, err = capsys.readouterr()
    return code, out, err


def test_json_on_stdout_holds_the_published_hits(capsys):
    code, out, err = run(capsys, "--similarity", MATRIX, "--truth", TRUTH, "--json", "-")
    result = json.loads(out)
    assert code == 0
    published = json.loads((PAPERS / "pr_counts_18targets.json").read_text())
    expected = published["tam_fig4/taskonomy_gradxinput"]
    # 8-bit colours swap near-ties: 2 hits at most.
    np.testing.assert_allclose(result["hits"], expected, rtol=0, atol=2)
    assert len(result["targets"]) == 18
    assert result["regret"] is None
    assert "P@K" in err  # the table goes to stderr, so that a pipe can read stdout


def test_dropping_a_target_gives_table_1(capsys):
    options = ["--drop-targets", "18", "--ks", "1,5", "--json", "-"]
    _, out, _ = run(capsys, "--similarity", MATRIX, "--truth", TRUTH, *options)
    # 12 of 17 and 58 of 85 hits: exact fractions.
    np.testing.assert_allclose(json.loads(out)["precision"], [12 / 17, 58 / 85], rtol=1e-12)


def test_names_and_targets_choose_by_name(capsys):
    names = ",".join(f"t{i}" for i in range(20))
    options = ["--names", names, "--targets", "t0,t2", "--json", "-"]
    _, out, _ = run(capsys, "--similarity", MATRIX, "--truth", TRUTH, *options)
    result = json.loads(out)
    assert result["targets"] == ["t0", "t2"]
    assert set(result["spearman"]["per_target"]) == {"t0", "t2"}


def test_named_files_are_matched_by_name(tmp_path, capsys, rng):
    values = rng.random((3, 3))
    table = {"names": ["c", "a", "b"], "similarity": values.tolist()}
    (tmp_path / "s.json").write_text(json.dumps(table))
    (tmp_path / "t.csv").write_text("target,a,b,c\na,0,3,1\nb,1,0,2\n")
    options = ["--relevant", 1, "--json", "-"]
    code, out, _ = run(
        capsys, "--similarity", tmp_path / "s.json", "--truth", tmp_path / "t.csv", *options
    )
    result = json.loads(out)
    assert code == 0
    assert result["candidates"] == ["c", "a", "b"]
    hits = int(values[1, 2] > values[1, 0]) + int(values[2, 0] > values[2, 1])
    assert result["hits"] == [hits, 2]
    assert result["regret"][1] == 0.0


def test_the_table_names_its_columns(capsys):
    code, out, _ = run(capsys, "--similarity", MATRIX, "--truth", TRUTH, "--level", "0.9")
    assert code == 0
    for word in ("18 targets", "90% interval", "random P@K", "spearman, mean over targets"):
        assert word in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ks", "20"], "K=20 is larger than the 19 candidates"),
        (["--ks", "a"], "expected whole numbers"),
        (["--relevant", "30"], "relevant=30"),
        (["--targets", "99"], "unknown target"),
        (["--drop-targets", "99"], "--drop-targets"),
        (["--targets", "0", "--drop-targets", "0"], "leave no target"),
        (["--names", "a,b"], "2 names for a matrix of 20 rows"),
        (["--truth", "missing.npy"], "no such file"),
        (["--targets", ","], "--targets ',' names nothing"),
        (["--drop-targets", ","], "--drop-targets ',' names nothing"),
        (["--names", ","], "--names ',' names nothing"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--level", "95"], "level must be between 0 and 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, options, message):
    code, out, err = run(capsys, "--similarity", MATRIX, "--truth", TRUTH, *options)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def faulty(kind):
    matrix = np.random.default_rng(0).random((20, 20))
    if kind == "wide":
        return matrix[:, :19]
    if kind == "small":
        return matrix[:5, :5]
    matrix[3, 4] = np.nan
    return matrix


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("wide", "expected a square matrix"),
        ("small", "outside 0..4"),
        ("nan", "1 values that are not finite, the first at ('3', '4')"),
    ],
)
def test_bad_matrices_are_one_line_and_exit_2(tmp_path, capsys, kind, message):
    np.save(tmp_path / "s.npy", faulty(kind))
    code, _, err = run(capsys, "--similarity", tmp_path / "s.npy", "--truth", TRUTH)
    assert code == 2
    assert message in err


def test_a_truth_with_repeated_ids_is_refused(tmp_path, capsys):
    rows = np.load(TRUTH)
    rows[4, 3] = rows[4, 2]
    np.save(tmp_path / "t.npy", rows)
    code, _, err = run(capsys, "--similarity", MATRIX, "--truth", tmp_path / "t.npy")
    assert code == 2
    assert "the row of '4' repeats '6'" in err
