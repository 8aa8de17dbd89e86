"""Stores of small graphs, and file systems that fill up or cannot be written to."""

import contextlib
import os
import subprocess

import pytest

from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.store import Store, artefact_key
from tests.networks import model, probe


@contextlib.contextmanager
def mounted(folder, *options):
    """A small tmpfs; skipped where mounting is not allowed (it needs root and a capability)."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path, "size=512k") as folder:
        yield folder


@pytest.fixture
def tmpfs(tmp_path):
    with mounted(tmp_path, "size=64m") as folder:
        yield folder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", create=True)


@pytest.fixture(scope="module")
def graph_and_key():
    network, images, recipe = model(0), probe(), RECIPES["paper"]
    graph = attribution_graphs(network, images, recipe)["answer"]
    return graph, artefact_key("graph", network, "answer", recipe, images.fingerprint)
