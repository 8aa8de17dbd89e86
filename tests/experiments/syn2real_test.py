"""Syn2Real: its layout, picks and curves from the paper's numbers; its runs on a small network."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from depara_jax.errors import DeparaError
from depara_jax.training import Examples
from experiments.syn2real import main, table
from experiments.syn2real.config import LAMBDAS, SIZES, SOURCES, SynConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "papers" / "depara_table2.json"
QUIET = Console(quiet=True)


def test_the_defaults_are_what_the_paper_states():
    config = SynConfig()
    assert config.network(12).architecture == "vgg19_bn"
    assert dict(config.sizes) == SIZES == {"acc_01T": 0.1, "acc_001T": 0.01}
    assert LAMBDAS == {"acc_01T": 1.0, "acc_001T": 10.0}
    assert (config.probe_images, config.size, config.recipe) == (200, 224, "paper")
    assert (config.scratch.epochs, config.scratch.milestones, config.transfer.epochs) == (
        80,
        (50,),
        50,
    )


def test_the_papers_table_is_rebuilt_from_its_numbers(tmp_path, capsys):
    assert main.main(["--golden", str(GOLDEN), "--output", str(tmp_path)]) == 0
    text = (tmp_path / "table2.md").read_text()
    assert "| DNN-ImageNet | V | 0.45 | 0.45 | 0.48 |" in text
    # Picks and correlations of the 14 printed layers: facts/papers.md section 4.
    for line in (
        "DNN-ImageNet, 0.1-T: picks #17 (80.71), best is #15 (81.15), Spearman(SIM, accuracy) 0.87",
        "DNN-ImageNet, 0.01-T: picks #17 (74.33), best is #17 (74.33), Spearman(SIM, accuracy) 0.8",
        "DNN-Source, 0.1-T: picks #3 (61.92), best is #5 (62.72), Spearman(SIM, accuracy) 0.950",
        "DNN-Source, 0.01-T: picks #13 (40.37), best is #13 (40.37), Spearman(SIM, accuracy) 0.990",
    ):
        assert line in text
    figures = {path.name for path in tmp_path.glob("*.png")}
    assert figures == {f"{source}-{size}.png" for source in SOURCES for size in SIZES}


def test_similarity_without_printed_rows_is_v_plus_lambda_e():
    golden = table.read_table(GOLDEN)
    row = golden["imagenet"]
    bare = {key: row[key] for key in ("V", "E")}
    for size in SIZES:
        # The paper's rows were rounded after the sum; lambda times a rounding of .005.
        atol = 0.011 + 0.005 * LAMBDAS[size]
        np.testing.assert_allclose(
            table.with_similarity(bare, size), table.with_similarity(row, size), atol=atol
        )


@pytest.mark.slow
def test_a_run_fills_the_table_and_is_not_run_twice(tmp_path, monkeypatch):
    config = dataclasses.replace(main.DRY_RUN, depth=11)
    monkeypatch.setattr(main, "DRY_RUN", config)
    synthetic, real = main._dry_domains()
    model = main._dry_imagenet()

    def run():
        return main.run(synthetic, real, model, config, tmp_path, QUIET, cuts=(2, 10))

    first = run()
    assert first["layers"] == [2, 10]
    assert first["cuts"] == ["features.6", "classifier.4"]
    for source in SOURCES:
        for row in ("V", "E", *SIZES):
            assert len(first[source][row]) == 2
    results = sorted(tmp_path.rglob("result.json"))
    assert len(results) == 2 + 2 + 2 * 2 * 2  # networks, from scratch, cells
    times = [path.stat().st_mtime_ns for path in results]
    # A cell that is gone is run again, from the same seed to the same accuracy.
    gone = tmp_path / "cells" / "source" / "acc_01T" / "features.6"
    (gone / "result.json").unlink()
    (gone / "metrics.jsonl").unlink()
    assert run() == first
    kept = [p.stat().st_mtime_ns for p in results if p.parent != gone]
    assert kept == [t for p, t in zip(results, times, strict=True) if p.parent != gone]
    split = json.loads((tmp_path / "split-real.json").read_text())["parts"]
    assert {k: len(v) for k, v in split.items()} == {
        "train": 84, "validation": 12, "test": 24, "acc_01T": 42, "acc_001T": 21,
    }  # fmt: skip
    longer = dataclasses.replace(config.scratch, epochs=2)
    other = dataclasses.replace(config, scratch=longer)
    with pytest.raises(DeparaError, match="another configuration: .*train.epochs is 1, not 2"):
        main.run(synthetic, real, model, other, tmp_path, QUIET, cuts=(2,))


def test_bad_input_is_one_line(tmp_path, capsys):
    def refused(*argv):
        assert main.main(["--output", str(tmp_path / "out"), *argv]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "give --synthetic, --real and --imagenet" in refused()
    assert "cannot be read" in refused("--golden", str(tmp_path / "none.json"))
    short = json.loads(GOLDEN.read_text())
    short["source"]["E"] = [1.0]
    (tmp_path / "short.json").write_text(json.dumps(short))
    assert "source/E has another length" in refused("--golden", str(tmp_path / "short.json"))
    assert "does not exist" in refused(
        "--synthetic", str(tmp_path / "s"), "--real", str(tmp_path), "--imagenet", "w.pth"
    )
    assert "expected numbers from 1 to 18" in refused("--dry-run", "--cuts", "19")


def test_sets_of_other_classes_are_refused(tmp_path):
    images = np.zeros((3, 32, 32, 3), np.uint8)
    one, other = (Examples.from_arrays(images, [0, 1, 2], c) for c in ("abc", "abd"))
    with pytest.raises(DeparaError, match="a, b, c against a, b, d"):
        main.run(one, other, None, main.DRY_RUN, tmp_path, QUIET)
