"""Compiled programs are kept between runs of the console script, and only of that."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.compilation import keep_compiled_programs


def run(folder):
    """`depara graph` in a process of its own; (its result, the programs that are kept)."""
    script = "from depara_jax.cli.main import entry_point; entry_point()"
    graph, result = folder / "graph.npz", folder / "result.json"
    done = subprocess.run(
        [
            sys.executable, "-c", script, "graph", "edges", "--images", "4",
            "--output", str(graph), "--json", str(result),
        ],
        env={**os.environ, "DEPARA_CACHE": str(folder / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    programs = {p.name: p.stat().st_mtime_ns for p in folder.glob("cache/compiled/*/*-cache")}
    with np.load(graph) as file:
        numbers = file["nodes"].tobytes() + file["edges"].tobytes()
    return json.loads(result.read_text()), numbers, programs


def large(programs):
    return {name for name in programs if "run_step" in name}


@pytest.mark.slow
def test_a_second_run_finds_the_programs_of_the_first(tmp_path):
    _, first, programs = run(tmp_path)
    assert programs
    _, second, again = run(tmp_path)
    # The networks' programs: small ones are near the time from which they are worth keeping.
    assert large(again) == large(programs) != set()
    assert second == first


def test_your_own_setting_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "yours"))
    monkeypatch.setenv("DEPARA_CACHE", str(tmp_path))
    assert keep_compiled_programs() is None
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "yours")
    assert not (tmp_path / "compiled").exists()


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    file = tmp_path / "file"
    file.write_text("")
    assert keep_compiled_programs(file / "folder") is None


def test_calling_main_changes_no_setting(capsys, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = jax.config.jax_compilation_cache_dir
    assert main(["models"]) == 0
    assert jax.config.jax_compilation_cache_dir == before
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert "edges" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def _no_setting_leaks():
    yield
    assert jax.config.jax_compilation_cache_dir is None
