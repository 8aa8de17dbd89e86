"""Sweeps that are killed, told to stop, and run side by side, as processes of their own."""

import random
import signal
import time

import pytest

from depara_jax.store import Store, collect_garbage, verify_store
from tests.sweep.helpers import contents, finish, log, plan_file, results, start

KILLS = 20
RECIPES = ["paper", "default", "tam"]
NAMES = ["edges", "corners", "jigsaw", "scale", "denoising", "orientation"]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def records(store) -> dict[str, tuple]:
    """Every finished artefact's record, and which file it is."""
    found = {}
    for path in store.glob("objects/*/*/artefact.json"):
        status = path.stat()
        found[path.parent.name] = (status.st_ino, status.st_mtime_ns, path.read_bytes())
    return found


@pytest.mark.slow
def test_a_sweep_killed_at_any_moment_ends_the_same(tmp_path, cache):
    plan = plan_file(tmp_path / "plan.toml", recipes=RECIPES, layers=["encoder", "block2"])
    code, _, err = finish(start("sweep", plan, "--store", tmp_path / "quiet", cache=cache))
    assert code == 0, err
    quiet = results(tmp_path / "quiet"), contents(tmp_path / "quiet")
    choose, kills, in_units, before = random.Random(9), 0, 0, {}
    store = tmp_path / "store0"
    for attempt in range(100):
        process = start("sweep", plan, "--store", store, cache=cache)
        # Half of the kills anywhere from the start on, half while items are computed and stored.
        if attempt % 2:
            time.sleep(choose.uniform(0.1, 4.0))
        else:
            process.stdout.readline()
            time.sleep(choose.uniform(0.0, 0.5))
            in_units += process.poll() is None
        process.send_signal(signal.SIGKILL)
        _, _, err = finish(process)
        now = records(store)
        # What was finished before is the same file now: nothing finished is ever made again.
        assert before == {address: now[address] for address in before}
        before = now
        if process.returncode == 0:  # it was done before the shot: start over in another store
            assert (results(store), contents(store)) == quiet
            store, before = tmp_path / f"store{attempt + 1}", {}
            continue
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
        if kills == KILLS:
            break
    assert kills == KILLS
    assert in_units >= KILLS // 3
    code, _, err = finish(start("sweep", plan, "--store", store, cache=cache))
    assert code == 0, err
    after = records(store)
    assert before == {address: after[address] for address in before}
    assert results(store) == quiet[0]
    assert contents(store) == quiet[1]
    computed = [(e["model"], e["recipe"]) for e in log(store) if e["status"] == "computed"]
    assert len(set(computed)) == len(computed)
    collect_garbage(Store(store))
    assert verify_store(Store(store)) == (len(quiet[1]), {})


@pytest.mark.slow
def test_sigterm_stops_within_seconds_and_nothing_is_lost(tmp_path, cache):
    plan = plan_file(tmp_path / "plan.toml", layers=["block2"])
    process = start("sweep", plan, "--store", tmp_path / "store", cache=cache)
    for _ in range(3):
        process.stdout.readline()
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    # Five seconds of grace, and what a loaded machine adds to the way out.
    assert time.monotonic() - told < 15
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in err
    done = len(list(Store(tmp_path / "store").addresses()))
    assert 3 <= done < 17
    assert collect_garbage(Store(tmp_path / "store")) == []  # abandoned cleanly
    code, out, _ = finish(start("sweep", plan, "--store", tmp_path / "store", cache=cache))
    assert code == 0
    assert f"computed {17 - done}, reused {done}, failed 0" in out


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(tmp_path, cache):
    plan = plan_file(tmp_path / "plan.toml", models=NAMES)
    store = tmp_path / "store"
    both = [start("sweep", plan, "--store", store, cache=cache) for _ in range(2)]
    for process in both:
        code, _, err = finish(process)
        assert code == 0, err
    entries = log(store)
    assert len(entries) == 2 * len(NAMES)
    # An item that one is at is left to it: computed once, reused by the other.
    assert sum(entry["status"] == "computed" for entry in entries) == len(NAMES)
    assert len(contents(store)) == len(NAMES)
    assert collect_garbage(Store(store)) == []
