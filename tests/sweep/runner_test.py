"""A sweep in this process: what is computed once, what fails alone, what is found damaged."""

import dataclasses
import datetime
import json
import os
import subprocess
import time

import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.data import load_probe
from depara_jax.models import load_model
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.store import Store, artefact_key, load_graph
from depara_jax.sweep import estimate_sweep, read_plan, run_sweep
from depara_jax.sweep import items as items_module
from tests.store.conftest import mounted
from tests.sweep.helpers import contents, log, plan_file, results, spoil, zoo


@pytest.fixture
def plan(tmp_path):
    return plan_file(tmp_path / "plan.toml", models=["edges", "corners"])


@pytest.fixture
def place(tmp_path):
    return tmp_path / "store"


def sweep(capsys, plan, store, *argv):
    code = main(["sweep", str(plan), "--store", str(store), *argv, "--json", "-"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def counts(result):
    return tuple(result[key] for key in ("computed", "reused", "failed"))


def test_graphs_in_the_store_are_those_of_the_library(capsys, plan, place):
    code, result, err = sweep(capsys, plan, place)
    assert (code, counts(result)) == (0, (2, 0, 0))
    assert "[2/2] corners paper: computed" in err
    probe, model = load_probe("photographs:probe[:6]"), load_model("edges")
    expected = attribution_graphs(model, probe, RECIPES["paper"])["encoder"]
    key = artefact_key("graph", model, "encoder", RECIPES["paper"], probe.fingerprint)
    stored = load_graph(Store(place).get(key))
    np.testing.assert_array_equal(stored.nodes, expected.nodes)
    np.testing.assert_array_equal(stored.edges, expected.edges)
    assert stored.info == expected.info
    record = Store(place).record(key.address)
    assert {"versions", "devices", "time", "command", "code"} <= set(record["provenance"])


def test_what_is_there_is_not_computed_again(capsys, tmp_path, plan, place, monkeypatch):
    sweep(capsys, plan, place)
    first = results(place)
    monkeypatch.setattr(items_module, "load_model", None)  # not even the weights are read
    code, result, _ = sweep(capsys, plan, place)
    assert (code, counts(result)) == (0, (0, 2, 0))
    assert results(place) == first
    monkeypatch.undo()
    # One model and one layer more: one pass each for what is new. Another lambda: nothing.
    recipes = ["paper", {"base": "paper", "name": "half", "lam": 0.5}]
    text = plan.read_text().replace('["edges"', '["jigsaw", "edges"')
    text = text.replace('recipes = ["paper"]', 'recipes = ["paper", {base = "paper", lam = 0.5}]')
    more = tmp_path / "more.toml"
    more.write_text(text + '\nlayers = ["encoder", "block2"]')
    assert len(recipes) == len(read_plan(more).recipes)
    _, result, _ = sweep(capsys, more, place)
    assert counts(result) == (3, 3, 0)
    assert len(list(Store(place).addresses())) == 6


def test_features_and_vectors_are_kept_on_demand(capsys, tmp_path, place):
    plan = plan_file(
        tmp_path / "p.toml", models=["edges"], keep=["graph", "features", "vector"], layers=["stem"]
    )
    _, result, _ = sweep(capsys, plan, place)
    (row,) = result["rows"]
    assert row["reason"] is None
    arrays = {a["kind"]: Store(place).read(a["address"]).arrays for a in row["artefacts"]}
    assert arrays["features"]["features"].shape[0] == 6
    assert arrays["vector"]["vector"].shape == (6 * 3072 + 15,)


def test_bad_models_are_rows_and_the_rest_goes_on(capsys, tmp_path, place, monkeypatch):
    folder = zoo(tmp_path / "zoo", ["edges", "corners", "jigsaw", "scale"])
    spoil(folder, "corners", "truncated")
    spoil(folder, "jigsaw", "nan")
    real = items_module.load_model

    def load(name, **options):
        if name == "scale":
            raise MemoryError("cannot allocate 900 GiB")
        return real(name, **options)

    monkeypatch.setattr(items_module, "load_model", load)
    plan = plan_file(tmp_path / "p.toml", zoo=str(folder))
    code, result, _ = sweep(capsys, plan, place)
    assert (code, counts(result)) == (3, (1, 0, 3))
    reasons = {row["model"]: row["reason"] for row in result["rows"]}
    assert reasons["edges"] is None
    assert "has sha256" in reasons["corners"]
    assert "NaN" in reasons["jigsaw"]
    assert "out of memory" in reasons["scale"]
    assert len(list(Store(place).addresses())) == 1
    rows = json.loads(results(place))["rows"]
    assert [row["failed"] for row in rows] == [reasons[row["model"]] is not None for row in rows]
    monkeypatch.undo()
    # Once mended, the failed one alone is computed.
    assert counts(sweep(capsys, plan, place)[1]) == (1, 1, 2)


def test_a_damaged_artefact_is_reported_and_made_anew(capsys, plan, place):
    sweep(capsys, plan, place)
    before, first = contents(place), results(place)
    data = max(place.glob("objects/*/*/data-*/**/d/*"), key=lambda p: p.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    code, result, err = sweep(capsys, plan, place)
    assert (code, counts(result)) == (0, (1, 1, 0))
    assert "is damaged" in err
    assert "made anew" in err
    assert contents(place) == before
    assert results(place) == first


def test_a_dry_run_says_what_is_there_and_what_the_rest_costs(capsys, tmp_path, plan, place):
    code, result, _ = sweep(capsys, plan, place, "--dry-run")
    assert (code, result["to_compute"], result["there"]) == (0, 2, 0)
    assert not place.exists()
    estimate = result["estimate"]
    assert estimate["bytes"] == 2 * 4 * (6 * 3072 + 15)
    assert "timed now" in estimate["from"]
    assert 0 < estimate["seconds"] < 600
    sweep(capsys, plan, place)
    assert sweep(capsys, plan, place, "--dry-run")[1]["there"] == 2
    three = plan_file(tmp_path / "t.toml", models=["edges", "jigsaw", "nothing"])
    result = estimate_sweep(read_plan(three), Store(place))
    assert (result["to_compute"], result["there"], result["would_fail"]) == (1, 1, 1)
    assert result["estimate"]["from"] == "the store's log"


def test_models_of_several_sizes_need_a_grid(capsys, tmp_path, place):
    folder = zoo(tmp_path / "zoo", ["edges", "corners"])
    path = folder / "zoo.toml"
    path.write_text(path.read_text().replace("image_size = 32", "image_size = 64", 1))
    code, _, err = sweep(capsys, plan_file(tmp_path / "p.toml", zoo=str(folder)), place)
    assert code == 2
    assert "grid = 32" in err


def test_a_clock_that_jumps_changes_nothing(capsys, plan, place, tmp_path, monkeypatch):
    sweep(capsys, plan, tmp_path / "quiet")

    class Jumping(datetime.datetime):
        hours = 0

        @classmethod
        def now(cls, tz=None):
            cls.hours = -1000 if cls.hours > 0 else 1000
            return super().now(tz) + datetime.timedelta(hours=cls.hours)

    real, jumps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 1e6)
    monkeypatch.setattr(datetime, "datetime", Jumping)
    _, result, _ = sweep(capsys, plan, place)
    assert counts(result) == (2, 0, 0)
    assert 0 < result["seconds"] < 600
    for path in place.rglob("*"):  # files from the future
        os.utime(path, (2**32, 2**32))
    _, result, _ = sweep(capsys, plan, place)
    assert counts(result) == (0, 2, 0)
    assert results(place) == results(tmp_path / "quiet")


# Orbax leaves its event loop at the first array that fails; one that ends later finds it closed,
# and tensorstore's complaint, which nothing can catch, would fail the test on a loaded machine.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_store_that_cannot_be_written_to_is_one_line(capsys, tmp_path, plan, fault):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "size=400k" if fault == "full" else "size=9m"):
        if fault == "full":
            # Room for the store, and for less than one graph.
            plan.write_text(plan.read_text().replace("[:6]", "[:60]"))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, result, err = sweep(capsys, plan, disk / "store")
        assert (code, result) == (2, None)
        lines = [line for line in err.splitlines() if "depara sweep:" in line]
        assert len(lines) == 1
        assert "Traceback" not in err
        assert ("full" in lines[0]) == (fault == "full")
        if fault == "full":
            assert contents(disk / "store") == {}
            subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
            assert counts(sweep(capsys, plan, disk / "store")[1]) == (2, 0, 0)


def test_bad_input_is_one_line(capsys, tmp_path, plan, place):
    for change, message in (
        ({"models": ["edgse"]}, ""),
        ({"zoo": "minni"}, "did you mean 'mini'"),
        ({"probes": ["photographs:probe[:6]", "photographs:probe[:6]"]}, "more than once"),
        ({"probes": [str(tmp_path / "none")]}, "none"),
        ({"modles": ["edges"]}, "did you mean 'models'"),
    ):
        code, _, err = sweep(capsys, plan_file(tmp_path / "p.toml", **change), place)
        if change == {"models": ["edgse"]}:  # a model that is not there is a failed row
            assert code == 3
            assert "did you mean 'edges'" in err
            continue
        assert code == 2
        assert message in err
        assert "Traceback" not in err
    assert main(["sweep", str(plan), "--store", str(place), "--processes", "2"]) == 2
    plan.write_text(plan.read_text() + "\n[devices]\nimages = 64\n")
    assert "64 x 1 devices" in sweep(capsys, plan, place)[2]


def test_layers_that_a_model_lacks_are_its_failure(capsys, tmp_path, place):
    plan = plan_file(tmp_path / "p.toml", models=["edges", "corners"], layers=["blokc2"])
    code, result, _ = sweep(capsys, plan, place)
    assert (code, counts(result)) == (3, (0, 0, 2))
    assert "did you mean 'block2'" in result["rows"][0]["reason"]


def test_the_log_has_a_line_a_unit(capsys, plan, place):
    sweep(capsys, plan, place)
    assert [entry["status"] for entry in log(place)] == ["computed", "computed"]
    shown = []
    run_sweep(read_plan(plan), Store(place), show=lambda *a: shown.append(a))
    assert [(done, total) for done, total, *_ in shown] == [(1, 2), (2, 2)]
    assert dataclasses.is_dataclass(read_plan(plan))
