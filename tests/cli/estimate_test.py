"""`depara estimate` through the command line's own frame."""

import json
from pathlib import Path

import numpy as np
import pytest

from depara_jax.cli import main as cli
from depara_jax.estimators import ESTIMATORS


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    verb = cli.Verb(
        "depara_jax.cli.estimate", "score cached features by transferability estimators"
    )
    monkeypatch.setitem(cli.VERBS, "estimate", verb)
    r = np.random.default_rng(0)
    labels = np.arange(40) % 3
    arrays = {
        "f": r.normal(size=(40, 6)) + labels[:, None],
        "y": labels,
        "p": r.dirichlet(np.ones(5), size=40),
        "g": r.normal(size=(40, 4)),
        "short": labels[:30],
        "reals": labels + 0.5,
        "one": np.zeros(40, int),
        "nan": np.full((40, 6), np.nan),
        "halves": np.full((40, 5), 0.5),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "many.npz", **arrays)
    paths = {name: str(tmp_path / f"{name}.npy") for name in [*arrays, "text", "absent"]}
    return paths | {"many": str(tmp_path / "many.npz"), "folder": str(tmp_path)}


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["estimate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_holds_values_and_what_is_missing(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--features", files["f"], "--labels", files["y"], "--estimators"]
    code, out, _ = call([*arguments, "knn, logme,leep", "--json", "-"], capsys)
    result = json.loads(out)
    assert code == 0
    assert list(result["estimators"]) == ["knn", "logme", "leep"]
    assert result["samples"] == 40
    assert 0 < result["estimators"]["knn"]["value"] <= 1
    assert result["estimators"]["leep"]["value"] is None
    assert result["estimators"]["leep"]["why"] == "needs probabilities"


def test_every_array_reaches_its_estimators(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path(files["folder"]) / "out.json"
    code, out, _ = call(
        ["--features", files["f"], "--labels", files["y"], "--probabilities", files["p"]]
        + ["--against", files["g"], "--json", str(target)],
        capsys,
    )
    assert code == 0
    result = json.loads(target.read_text())["estimators"]
    assert list(result) == list(ESTIMATORS)
    given = {"features", "labels", "probabilities", "target_features"}
    for name, one in result.items():
        assert (one["value"] is not None) == (set(ESTIMATORS[name].needs) <= given), name
        assert name in out
    assert result["linear_probe"]["standard_error"] is not None


BAD = {
    "lengths differ": (["--labels", "short"], "one label for each of 40"),
    "labels are no integers": (["--labels", "reals"], "expected integers"),
    "a single class": (["--labels", "one"], "all 40 samples"),
    "probabilities do not sum to one": (["--probabilities", "halves"], "sum to 1"),
    "NaN": (["--against", "nan"], "NaN or infinity"),
    "no such file": (["--labels", "absent"], "No such file"),
    "no array": (["--labels", "text"], "not a readable NumPy"),
    "an archive": (["--labels", "many"], "archive"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    kind: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (flag, name), message = BAD[kind]
    code, out, err = call(["--features", files["f"], flag, files[name]], capsys)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert message in err


def test_unknown_estimator(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(["--features", files["f"], "--estimators", "logm"], capsys)
    assert code == 2
    assert "did you mean 'logme'" in err
    code, _, err = call(["--features", files["f"], "--estimators", ","], capsys)
    assert code == 2
    assert "name at least one" in err
