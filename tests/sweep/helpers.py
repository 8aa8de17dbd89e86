"""Sweeps in processes of their own, and zoos with bad networks in them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import depara_jax
from depara_jax.store import Store
from depara_jax.weights.readers import file_sha256

ROOT = Path(__file__).resolve().parent.parent.parent
MINI = Path(depara_jax.__file__).parent / "zoo" / "mini"
CLI = "from depara_jax.cli.main import entry_point; entry_point()"


def environment(cache: Path | None = None) -> dict[str, str]:
    more = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    if cache is not None:  # a sweep that is killed twenty times need not compile twenty times
        more |= {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
    return {**os.environ, **more}


def start(*argv: object, cache: Path | None = None, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", CLI, *map(str, argv)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment(cache), **(pipes | options))


def finish(process: subprocess.Popen, timeout: float = 300) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def zoo(folder: Path, names: list[str]) -> Path:
    """A zoo of some of the packaged networks."""
    folder.mkdir()
    head, *entries = (MINI / "zoo.toml").read_text().split("[[model]]")
    kept = [entry for entry in entries if entry.split('"')[1] in names]
    for name in names:
        shutil.copy(MINI / f"{name}.safetensors", folder / f"{name}.safetensors")
    (folder / "zoo.toml").write_text("[[model]]".join([head, *kept]))
    return folder


def spoil(folder: Path, name: str, how: str) -> None:
    """Makes a network of a zoo bad: "truncated" weights, or weights of "nan"."""
    path = folder / f"{name}.safetensors"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
        return
    tensors, before = load_file(path), file_sha256(path)
    save_file({key: np.full_like(value, np.nan) for key, value in tensors.items()}, path)
    manifest = folder / "zoo.toml"
    manifest.write_text(manifest.read_text().replace(before, file_sha256(path)))


def plan_file(path: Path, **fields: object) -> Path:
    """A plan as TOML; values that JSON and TOML spell alike."""
    fields = {"probes": ["photographs:probe[:6]"], "recipes": ["paper"], **fields}
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    path.write_text("\n".join(lines))
    return path


def results(store: Path) -> bytes:
    (path,) = store.glob("sweeps/*/results.json")
    return path.read_bytes()


def contents(store: Path) -> dict[str, str]:
    """Content digest by address, of artefacts verified byte for byte."""
    opened = Store(store)
    return {a: opened.read(a).record["content"] for a in opened.addresses()}


def log(store: Path) -> list[dict]:
    (path,) = store.glob("sweeps/*/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]
