"""One sweep as one job of several processes that talk through gloo."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from depara_jax.store import Store, collect_garbage, verify_store
from tests.sweep.helpers import (
    CLI,
    contents,
    environment,
    finish,
    log,
    plan_file,
    results,
    start,
)

OTHER_CODE = "import depara_jax.sweep.runner as r; r.code_version = lambda: 'other'; " + CLI


def launch(
    argv, count: int, *, folders: list[Path], codes: list[str] | None = None, cache=None
) -> list[subprocess.Popen]:
    """The processes of a job."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for number in range(count):
        more = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", str(count),
                "--process", str(number)]  # fmt: skip
        command = [sys.executable, "-c", (codes or [CLI] * count)[number], *map(str, argv), *more]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options = {"cwd": folders[number % len(folders)], "env": environment(cache)}
        processes.append(subprocess.Popen(command, **options, **pipes))
    return processes


def job(argv, count: int, **options) -> list[tuple[int, str]]:
    """Exit code and stderr of every process of a job."""
    return [(code, err) for code, _, err in map(finish, launch(argv, count, **options))]


def arrays(store: Path) -> dict:
    opened = Store(store)
    return {address: opened.read(address).arrays for address in opened.addresses()}


@pytest.mark.slow
def test_two_and_four_processes_agree_with_one(tmp_path):
    # Seven images: no job's share of a chunk is whole.
    plan = plan_file(
        tmp_path / "plan.toml", models=["edges"], probes=["photographs:probe[:7]"],
        recipes=["default"], layers=["encoder", "block2"], batch_size=5,
    )  # fmt: skip
    code, _, err = finish(start("sweep", plan, "--store", tmp_path / "one"))
    assert code == 0, err
    one = arrays(tmp_path / "one")
    for count in (2, 4):
        store = tmp_path / f"of{count}"
        for code, err in job(["sweep", plan, "--store", store], count, folders=[tmp_path]):
            assert code == 0, err[-2000:]
        many = arrays(store)
        assert set(many) == set(one)
        for address in one:
            a, b = one[address], many[address]
            # Sums are associated differently; maps have any scale, edges are cosines.
            scale = np.abs(a["nodes"]).max()
            assert np.abs(a["nodes"] - b["nodes"]).max() < 1e-6 * scale
            assert np.abs(a["edges"] - b["edges"]).max() < 1e-6
        assert len(log(store)) == 1  # one process writes
        assert verify_store(Store(store)) == (2, {})


@pytest.mark.slow
@pytest.mark.parametrize("differs", ["code", "probe set"])
def test_a_host_that_differs_is_refused_by_all(tmp_path, differs):
    generator, folders = np.random.default_rng(0), []
    for number in range(2):
        folder = tmp_path / f"host{number}"
        folder.mkdir()
        folders.append(folder)
        # The same images on both hosts, or not.
        if number == 0 or differs == "probe set":
            images = generator.integers(0, 255, (5, 40, 40, 3), dtype=np.uint8)
        np.savez(folder / "images.npz", images=images)
    plan = plan_file(tmp_path / "plan.toml", models=["edges"], probes=["images.npz"])
    codes = [CLI, OTHER_CODE if differs == "code" else CLI]
    argv = ["sweep", plan, "--store", tmp_path / "store"]
    for code, err in job(argv, 2, folders=folders, codes=codes):
        assert code == 2, err[-2000:]
        assert f"do not have the same {differs}: process 1 differs" in err
        assert "Traceback" not in err
    assert contents(tmp_path / "store") == {}


NAMES = ["edges", "corners", "jigsaw", "scale", "denoising", "orientation"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A plan, what a job of two makes of it if nothing happens, and compiled programs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = plan_file(folder / "plan.toml", models=NAMES, layers=["encoder", "block2"],
                     probes=["photographs:probe[:12]"], batch_size=2)  # fmt: skip
    argv = ["sweep", plan, "--store", folder / "store"]
    for code, err in job(argv, 2, folders=[folder], cache=folder / "cache"):
        assert code == 0, err[-2000:]
    return plan, results(folder / "store"), contents(folder / "store"), folder / "cache"


@pytest.mark.slow
@pytest.mark.parametrize("told", [[0], [1], [0, 1]], ids=["lead", "other", "all"])
def test_sigterm_to_any_process_ends_the_whole_job_and_nothing_is_lost(tmp_path, undisturbed, told):
    plan, quiet, artefacts, cache = undisturbed
    store = tmp_path / "store"
    argv = ["sweep", plan, "--store", store]
    processes = launch(argv, 2, folders=[tmp_path], cache=cache)
    while not processes[0].stdout.readline().startswith("[1/6]"):  # gloo has its own lines
        assert processes[0].poll() is None
    began = time.monotonic()
    for number in told:
        processes[number].send_signal(signal.SIGTERM)
    try:
        for process in processes:
            code, _, err = finish(process, timeout=30)
            assert code == 128 + signal.SIGTERM, err[-2000:]
            assert "Traceback" not in err
    finally:
        for process in processes:
            process.kill()
    # Five seconds of grace, and what a loaded machine adds to the way out.
    assert time.monotonic() - began < 25
    done = contents(store)
    assert 2 <= len(done) < len(artefacts)
    assert collect_garbage(Store(store)) == []  # abandoned cleanly
    for code, err in job(argv, 2, folders=[tmp_path], cache=cache):
        assert code == 0, err[-2000:]
    assert (results(store), contents(store)) == (quiet, artefacts)
    computed = [entry["model"] for entry in log(store) if entry["status"] == "computed"]
    assert sorted(computed) == sorted(NAMES)  # nothing finished is made again
