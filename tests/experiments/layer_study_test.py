"""The layer study: a tiny run stopped and continued, its arithmetic, what is committed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.training import Examples, TrainConfig
from experiments.layer_study import analysis, data, main
from experiments.layer_study.config import StudyConfig
from experiments.layer_study.report import write_report

TINY = StudyConfig(
    sources=("corners",),
    targets=("clothing",),
    fractions=(("large", 0.5), ("small", 0.25)),
    seeds=(0, 1),
    epochs=(("encoder", "large", 1), ("encoder", "small", 1)),
    train=TrainConfig(batch_size=16),
    target_epochs=1,
    probe_images=12,
    resamples=5,
)
QUIET = Console(quiet=True)
HERE = Path(main.__file__).parent


def blobs(folder: Path) -> Examples:
    """Three classes of different brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 120, (120, 32, 32, 3)) + 60 * labels[:, None, None, None]
    return Examples.from_arrays(images.astype(np.uint8), labels, ("a", "b", "c"))


@pytest.mark.slow
def test_a_stopped_study_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setitem(data.TARGETS, "clothing", blobs)
    output, places = tmp_path / "run", {"shared": tmp_path, "fashion": None}

    def run(config=TINY):
        return main.run(config, output=output, console=QUIET, **places)

    first = run()
    (setting,) = first["settings"]
    assert setting["cuts"] == ["stem", "block1", "block2", "block3", "block4", "encoder"]
    for size in ("large", "small"):
        assert np.shape(setting["accuracy"][size]) == (6, 2)
        assert len(setting["certain"][size]["full"]["depara"]["share"]) == 6
    # A cell that is gone is run again and gives the same; the others are left alone.
    cells = sorted((output / "cells" / "corners-clothing").glob("*.json"))
    assert len(cells) == 24
    times = {path: path.stat().st_mtime_ns for path in cells[1:]}
    cells[0].unlink()
    with pytest.raises(DeparaError, match="holds no finished pair"):
        main.run(TINY, output=output, console=QUIET, finished_only=True, **places)
    again = run()
    assert {path: path.stat().st_mtime_ns for path in cells[1:]} == times
    assert again["settings"][0]["accuracy"] == setting["accuracy"]
    with pytest.raises(DeparaError, match="another configuration: run.target_epochs is 1, not 2"):
        run(dataclasses.replace(TINY, target_epochs=2))
    results = tmp_path / "results.json"
    results.write_text(json.dumps(first))
    lines = write_report(results, tmp_path)
    assert any(line.startswith("| corners | clothing | large |") for line in lines)
    for name in ("curves.png", "lambda.png"):
        assert 5_000 < (tmp_path / name).stat().st_size < 150_000


def test_the_committed_results_give_the_readmes_tables(tmp_path):
    lines = write_report(main.RESULTS, tmp_path)
    readme = (HERE / "README.md").read_text()
    for line in lines:
        assert line in readme, f"README.md lacks: {line}"
    for name in ("curves.png", "lambda.png"):
        assert (tmp_path / name).stat().st_size < 150_000


def made_up():
    setting = {
        "cuts": ["a", "b", "c"],
        "accuracy": {"large": [[0.2, 0.4], [0.8, 0.6], [0.5, 0.5]]},
        "graphs": {
            "full": {
                "paper": {"node": [0.1, 0.2, 0.9], "edge": [0.1, 0.5, 0.2]},
                "default": {"node": [0.1, 0.2, 0.9], "edge": [0.5, 0.1, 0.2]},
            }
        },
        "estimators": {
            **{name: {"full": [3.0, 2.0, 1.0]} for name in ("cka_linear", "rsa")},
            **{name: {"large": [1.0, 2.0, 1.5]} for name in ("logme", "knn")},
        },
    }
    return [setting]


def test_spearman_regret_and_hits_by_hand():
    """Mean accuracies .3, .7, .5: the best is b, then c, then a."""
    rows = {row["method"]: row for row in analysis.table_rows(made_up(), "large")}
    # V + E is .2, .7, 1.1: picks c, 20 points below b; ranks 1 2 3 against 1 3 2.
    assert rows["depara"]["regret"] == pytest.approx(20)
    assert rows["depara"]["spearman"] == pytest.approx(0.5)
    assert rows["E"]["spearman"] == pytest.approx(1.0)
    assert (rows["E"]["regret"], rows["E"]["hits"]) == (0, 1)
    assert rows["rsa"]["spearman"] == pytest.approx(-0.5)
    assert rows["rsa"]["regret"] == pytest.approx(40)
    assert rows["logme"]["hits"] == 1
    assert rows["deepest"]["regret"] == pytest.approx(20)
    assert rows["middle"]["regret"] == 0
    assert analysis.random_regret(made_up(), "large") == pytest.approx(20)


def test_the_lambda_curve_goes_from_the_nodes_to_the_edges():
    rhos, losses = analysis.lambda_curve(made_up(), "large", "paper")
    assert len(rhos) == len(analysis.LAMBDAS)
    assert (rhos[0], losses[0]) == (pytest.approx(0.5), pytest.approx(20))
    assert (rhos[-1], losses[-1]) == (pytest.approx(1.0), 0)


def test_a_constant_score_correlates_with_nothing():
    assert analysis.spearman(np.zeros(3), np.arange(3.0)) == 0


def test_of_two_middle_layers_the_deeper_is_taken():
    setting = made_up()[0]
    for row in (*setting["graphs"]["full"].values(), *setting["estimators"].values()):
        for key in row:
            row[key] = [*row[key], 0.0]
    scores = analysis.method_scores({**setting, "cuts": list("abcd")}, "large", "full")
    assert scores["middle"].argmax() == 2
    assert scores["deepest"].argmax() == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "give --shared FOLDER and --output FOLDER, or --report"),
        (["--report", "--results", "none.json"], "cannot be read"),
        (["--shared", "x", "--output", "y", "--targets", ","], "--targets names nothing"),
        (["--shared", "x", "--output", "{tmp}", "--targets", "mnist"], "unknown target 'mnist'"),
        (["--shared", "x", "--output", "{tmp}", "--targets", "clothing"], "name the shared data"),
        (["--shared", "x", "--output", "{tmp}", "--targets", "fashion"], "needs --fashion FOLDER"),
        (
            ["--shared", "x", "--output", "{tmp}", "--targets", "fashion", "--fashion", "none"],
            "Fashion-MNIST in none cannot be read",
        ),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, argv, words):
    options = [a.format(tmp=tmp_path / "out") for a in argv]
    if "--results" not in options:
        options += ["--results", str(tmp_path / "r.json")]
    assert main.main(options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r.json").exists()


def test_cifar_is_no_target_for_networks_that_were_trained_on_it():
    pairs = StudyConfig(sources=("resnet20", "corners")).pairs()
    assert ("resnet20", "cifar10") not in pairs
    assert ("corners", "cifar10") in pairs
    with pytest.raises(UnknownNameError):
        data.load_target("mnist", shared=Path("x"), fashion=None)
