"""The Ray engine on a local cluster, with a worker that is really killed."""

import dataclasses
import os
import signal
import time

import psutil
import pytest

from depara_jax.data import load_probe
from depara_jax.errors import DeparaError
from depara_jax.models import list_models
from depara_jax.recipe import RECIPES
from depara_jax.store import Store, code_version, verify_store
from depara_jax.sweep import ProbeEntry, ray_engine
from depara_jax.sweep.items import WorkItem
from tests.sweep.helpers import contents, finish, log, plan_file, results, start

ITEM = WorkItem("edges", "mini", ("encoder",), ("graph",), RECIPES["paper"], 0)
ENTRY = ProbeEntry("photographs:probe[:6]")


def test_a_worker_with_other_code_or_images_refuses(tmp_path):
    store, probe = Store(tmp_path / "store", create=True), load_probe("photographs:probe[:6]")
    root = str(tmp_path / "store")
    row = ray_engine.run_remotely(ITEM, ENTRY, probe.fingerprint, root, "0.0.9+beef")
    assert row.status == "failed"
    assert "other code" in row.reason
    row = ray_engine.run_remotely(ITEM, ENTRY, "f" * 64, root, code_version())
    assert "another probe set" in row.reason
    row = ray_engine.run_remotely(
        ITEM, ProbeEntry(str(tmp_path / "none")), probe.fingerprint, root, code_version()
    )
    assert "cannot read the probe set" in row.reason
    many = dataclasses.replace(ITEM, images=64)
    row = ray_engine.run_remotely(many, ENTRY, probe.fingerprint, root, code_version())
    assert "64 x 1 devices" in row.reason
    assert list(store.addresses()) == []
    row = ray_engine.run_remotely(ITEM, ENTRY, probe.fingerprint, root, code_version())
    assert row.status == "computed"


def workers(driver: int) -> list[psutil.Process]:
    """Ray's worker processes that are running a task now."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if "ray::run_remotely" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_nothing_is_lost_when_workers_are_killed(tmp_path):
    pytest.importorskip("ray")
    # Enough work to be in the middle of it twice.
    names = [spec.name for spec in list_models("mini")][:10]
    plan = plan_file(tmp_path / "plan.toml", models=names, layers=["encoder", "block2"])
    quiet = tmp_path / "quiet"
    assert finish(start("sweep", plan, "--store", quiet))[0] == 0
    plan.write_text(plan.read_text() + "\n[ray]\nnum_cpus = 1\nretries = 5\n")
    store, killed = tmp_path / "store", []
    driver = start("sweep", plan, "--store", store, "--engine", "ray")
    deadline = time.monotonic() + 240
    while driver.poll() is None and time.monotonic() < deadline and len(killed) < 2:
        for process in workers(driver.pid)[:1]:
            time.sleep(1)  # into its work
            if process.is_running() and "ray::run_remotely" in " ".join(process.cmdline()):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
        time.sleep(0.2)
    code, out, err = finish(driver)
    assert code == 0, err
    assert len(killed) == 2
    assert "failed 0" in out
    assert contents(store) == contents(quiet)
    assert results(store) == results(quiet)
    assert sorted(entry["model"] for entry in log(store)) == sorted(names)
    assert verify_store(Store(store)) == (2 * len(names), {})


@pytest.mark.slow
def test_resources_that_no_machine_has_are_one_line(tmp_path):
    pytest.importorskip("ray")
    plan = plan_file(tmp_path / "plan.toml", models=["edges"])
    plan.write_text(plan.read_text() + "\n[ray]\nresources = {TPU = 4}\n")
    driver = start("sweep", plan, "--store", tmp_path / "store", "--engine", "ray")
    code, _, err = finish(driver)
    assert code == 2
    assert "TPU 4" in err
    assert "Traceback" not in err


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    from depara_jax.sweep.plan import parse_plan

    store = Store(tmp_path / "store", create=True)
    with pytest.raises(DeparaError, match=r"depara-jax\[ray\]"):
        list(ray_engine.ray_engine(parse_plan({}), [], [], store, lambda: None))
