"""One sweep as one job of several processes that talk through gloo."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depara_jax.store import Store, verify_store
from tests.sweep.helpers import CLI, contents, environment, finish, log, plan_file, start

OTHER_CODE = "import depara_jax.sweep.runner as r; r.code_version = lambda: 'other'; " + CLI


def job(argv, count: int, *, folders: list[Path], codes: list[str] | None = None):
    """Exit code and stderr of every process of a job."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for number in range(count):
        more = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", str(count),
                "--process", str(number)]  # fmt: skip
        command = [sys.executable, "-c", (codes or [CLI] * count)[number], *map(str, argv), *more]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options = {"cwd": folders[number % len(folders)], "env": environment()}
        processes.append(subprocess.Popen(command, **options, **pipes))
    return [(code, err) for code, _, err in (finish(process) for process in processes)]


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
