"""The examples of docs/models.md run as they stand."""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depara_jax.cli.main import main

TEXT = (Path(__file__).parent.parent / "docs/models.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_is_an_example_for_each_adapter():
    assert len(EXAMPLES) == 4
    for example in EXAMPLES:
        assert len([line for line in example.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("number", range(3))
def test_an_example_runs(number):
    said, values = io.StringIO(), {}
    with contextlib.redirect_stdout(said):
        exec(compile(EXAMPLES[number], f"docs/models.md, example {number}", "exec"), values)
    _check(EXAMPLES[number], said.getvalue())
    out = values["model"].forward(values["model"].variables, np.ones((2, 8, 8, 3), np.float32))
    assert tuple(out) == values["model"].spec.layers


@pytest.mark.slow
def test_the_keras_example_runs():
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs Keras: the [keras] extra")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[3]], env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    _check(EXAMPLES[3], done.stdout)


def _check(example, said):
    """What an example prints is what its last line says."""
    promised = re.search(r"print\(.*\)  # (.*)", example)
    assert said.strip() == (promised.group(1) if promised else "")


SHARED = Path(os.environ.get("DEPARA_SHARED", "nowhere")) / "data"
FLAX = """
from flax import nnx
from depara_jax import InputSpec
from depara_jax.models.adapters import from_nnx

def flax_network():
    network = nnx.Sequential(nnx.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0)), nnx.relu)
    return from_nnx(network, name="mine", input=InputSpec(size=(16, 16)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="DEPARA_SHARED does not point to the shared data")
def test_three_frameworks_are_ranked_by_one_command(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="needs PyTorch: the [torch] extra")
    monkeypatch.setattr("depara_jax.weights.cache.cache_folder", lambda: tmp_path / "cache")
    with np.load(SHARED / "zoo/cifar10_resnet20.npz") as file:
        torch.save({k: torch.as_tensor(file[k]) for k in file.files}, tmp_path / "cifar.pth")
    (tmp_path / "persons.npz").write_bytes((SHARED / "zoo/mlperf_vww_96_float.npz").read_bytes())
    (tmp_path / "my_models.py").write_text(FLAX)
    manifest = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL).group(1)
    manifest = re.sub(r"sha256 = .*\n", "", manifest)
    (tmp_path / "my_zoo.toml").write_text(manifest)
    command = re.search(r"depara (rank-models --zoo my_zoo.toml.*)", TEXT).group(1).split()
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--json", "-"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert sorted(row["model"] for row in ranking) == ["flax", "persons"]
    assert all(np.isfinite(row["score"]) for row in ranking)
