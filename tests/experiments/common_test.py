"""What the studies share: cells that resume, the frame of a command, tables, judging."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from depara_jax.errors import DeparaError
from experiments.common import judge, tables
from experiments.common.cells import Cells, write_json
from experiments.common.run import command, progress

# Cells.


@dataclasses.dataclass(frozen=True)
class Training:
    steps: int = 3
    rates: tuple[float, ...] = (0.1, 0.2)


def test_a_cell_is_made_once(tmp_path):
    made = []

    def make(value: Any = 7):
        made.append(value)
        return {"value": value, "pair": (1, 2)}

    for _ in range(2):  # the second as a process that starts anew
        cells = Cells(tmp_path, "study", {"images": "abc"})
        assert cells.get("a/one.json", make, train=Training()) == {"value": 7, "pair": [1, 2]}
        arrays = cells.get("two.npz", lambda: {"x": np.arange(3.0), "y/z": np.float32(2)})
        assert arrays["x"].tolist() == [0, 1, 2]
        assert arrays["y/z"] == 2
        assert set(arrays) == {"x", "y/z"}
    assert made == [7]


def test_a_cell_of_other_settings_is_none(tmp_path):
    cells = Cells(tmp_path, "study")
    cells.write("one.json", {"value": 1}, train=Training())
    assert cells.read("one.json", train=Training(steps=4)) is None
    assert cells.read("one.json") is None
    assert cells.get("one.json", lambda: {"value": 2}, train=Training(steps=4)) == {"value": 2}
    assert cells.read("one.json", train=Training()) is None
    # A file under another name, or of another run, is another cell.
    cells.path("two.json").write_bytes(cells.path("one.json").read_bytes())
    assert cells.read("two.json", train=Training(steps=4)) is None
    other = Cells(tmp_path / "other", "study", {"images": 5})
    other.path("one.json").write_bytes(cells.path("one.json").read_bytes())
    assert other.read("one.json", train=Training(steps=4)) is None


def test_a_cell_without_a_digest_or_a_damaged_one(tmp_path):
    cells = Cells(tmp_path, "study")
    write_json(cells.path("one.json"), {"value": 1})
    assert cells.read("one.json") is None
    cells.path("one.json").write_text('{"value": ')
    with pytest.raises(DeparaError, match=r"one\.json is not JSON .*delete it"):
        cells.read("one.json")
    cells.path("one.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DeparaError, match=r"one\.npz"):
        cells.read("one.npz")
    with pytest.raises(TypeError, match="expected plain values"):
        cells.read("one.json", path=Path("x"))


def test_a_cell_that_cannot_be_made_leaves_nothing(tmp_path):
    cells = Cells(tmp_path, "study")

    def fail():
        raise DeparaError("no")

    with pytest.raises(DeparaError, match="no"):
        cells.get("one.json", fail)
    with pytest.raises(ValueError, match="JSON compliant"):
        cells.write("one.json", {"value": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_folders_of_other_runs_and_formats_are_refused_in_a_line(tmp_path):
    Cells(tmp_path / "a", "study", {"weights": {"x": 1}})
    with pytest.raises(DeparaError, match=r"another configuration: run\.weights\.x is 1, not 2"):
        Cells(tmp_path / "a", "study", {"weights": {"x": 2}})
    with pytest.raises(DeparaError, match="another study"):
        Cells(tmp_path / "a", "other", {"weights": {"x": 1}})
    (tmp_path / "a" / "run.json").write_text('{"digest": "0123", "images": 20}')
    with pytest.raises(DeparaError, match="an earlier format; name a new"):
        Cells(tmp_path / "a", "study", {"weights": {"x": 1}})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "00000.npz").touch()
    with pytest.raises(DeparaError, match="something else than a run"):
        Cells(tmp_path / "b", "study")


def test_a_folder_that_cannot_be_made_is_a_line(tmp_path):
    (tmp_path / "file").touch()
    for below in ("file", "file/below"):
        with pytest.raises(DeparaError, match="cannot be made"):
            Cells(tmp_path / below, "study")
    with pytest.raises(DeparaError, match="cannot be made"):
        write_json(tmp_path / "file" / "a.json", {})


# The frame.


@dataclasses.dataclass(frozen=True)
class Config:
    """What it runs over.

    Attributes:
      sources: names of networks.
      size: pixels, 50% of them
        a side.
      lam: of the edges.
      network: not for users.
    """

    sources: tuple[str, ...] = ("a", "b")
    size: int = 256
    lam: float | None = None
    network: Training = Training()


@dataclasses.dataclass(frozen=True)
class Options:
    """The command.

    Attributes:
      output: where the run is kept.
      seeds: of the order.
      quick: a tiny one.
      probe_set: which.
    """

    output: Path
    seeds: tuple[int, ...] = (0,)
    quick: bool = False
    probe_set: str | None = dataclasses.field(default=None, metadata={"choices": ["x", "y"]})


def frame(argv, work=lambda options, console, **changes: None):
    fields = ("sources", "size", "lam")
    return command("common", work, Options, argv, about="A test.", config=Config, fields=fields)


def test_options_are_the_fields(capsys):
    seen = []

    def work(options, console, **changes):
        seen.append((options, dataclasses.replace(Config(), **changes)))
        return 1

    argv = ["--output", "x/y", "--seeds", "3, 4", "--sources", "c,", "--lam", ".5", "--quick"]
    assert frame([*argv, "--probe-set", "y"], work) == 1
    assert seen[0][0] == Options(Path("x/y"), (3, 4), True, "y")
    assert seen[0][1] == Config(sources=("c",), lam=0.5)
    assert frame(["--output", "x"]) == 0
    with pytest.raises(SystemExit) as end:
        frame(["--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "--output PATH where the run is kept --seeds A,B of the order (default: 0)",
        "--sources A,B names of networks (default: a,b)",
        "--size N pixels, 50% of them a side (default: 256)",
        "--lam X of the edges",
        "--probe-set {x,y} which",
    ):
        assert part in text
    assert "network" not in text.replace("of networks", "")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "the following arguments are required: --output"),
        (["--output", "x", "--size", "big"], "argument --size: invalid int value: 'big'"),
        (["--output", "x", "--seeds", "0,one"], "argument --seeds: '0,one'"),
        (["--output", "x", "--probe-set", "z"], "invalid choice: 'z'"),
        (["--output", "x", "--nothing"], "unrecognized arguments: --nothing"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(argv, words, capsys):
    assert frame(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("common: ")
    assert words in error
    assert error.count("\n") == 1


def test_exit_codes_of_the_work(capsys):
    def raising(error):
        def work(options, console, **changes):
            raise error

        return work

    assert frame(["--output", "x"], raising(DeparaError("two\n  lines"))) == 2
    assert capsys.readouterr().err == "common: two lines\n"
    assert frame(["--output", "x"], raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "common: stopped; what is finished is kept\n"
    with pytest.raises(ValueError, match="a bug"):
        frame(["--output", "x"], raising(ValueError("a bug")))


def test_progress_shows_a_line_for_each_name(tmp_path):
    with open(tmp_path / "log", "w") as file:
        console = Console(file=file, width=100)
        with progress(console) as report:
            report("first", 1, 4, ", loss 0.5")
            report("second", 2, 2)
            report("first", 4, 4)
        with progress(console, keep=False) as report:
            report("gone", 2, 2)
    shown = (tmp_path / "log").read_text()
    assert "first" in shown
    assert "4/4" in shown
    assert "2/2" in shown
    assert "gone" not in shown


# Tables and judging.


def test_a_table_is_markdown():
    lines = tables.markdown(["a", "b"], [["1", "x"], ["2", tables.with_interval(-0.5, (-1, 0.25))]])
    assert lines == ["| a | b |", "|---|---|", "| 1 | x |", "| 2 | -.50 [-1.00, .25] |"]
    assert [tables.short(v, 1) for v in (0.04, -0.96, 10.3)] == [".0", "-1.0", "10.3"]


def test_scores_are_judged_by_order_and_first_pick():
    truth = np.array([0.8, 0.5, 0.6])
    assert judge.rank_correlation(np.array([3, 1, 2]), truth) == pytest.approx(1)
    assert np.isnan(judge.rank_correlation(np.ones(3), truth))
    assert judge.rank_correlation(np.ones(3), truth, undefined=0.0) == 0
    assert np.isnan(judge.rank_correlation(np.arange(2), truth[:2], least=3))
    assert judge.regret(np.array([1, 3, 2]), truth) == pytest.approx(0.3)
    # Of several first ones any may be taken; the best one may have no score.
    assert judge.regret(np.array([1, 1, 0]), truth) == pytest.approx(0.15)
    assert judge.regret(np.array([1, 1, 0]), truth, best=1.0) == pytest.approx(0.35)


def test_intervals_are_of_the_resamples_that_are_defined():
    samples = np.append(np.arange(1001.0), [np.nan] * 50)
    assert judge.interval(samples) == pytest.approx((25, 975))
    assert np.isnan(judge.interval(np.full(3, np.nan))).all()
    positions = judge.draws(5, 200)
    assert positions.shape == (200, 5)
    assert set(positions.ravel().tolist()) == set(range(5))
    np.testing.assert_array_equal(positions, judge.draws(5, 200))


def test_json_is_written_in_a_new_folder(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": (1,)}, compact=True)
    assert (tmp_path / "a" / "b.json").read_text() == '{"x":[1]}\n'
