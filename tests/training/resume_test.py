"""A run that is killed and resumed ends with the same bits; folders and checkpoints are checked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.training import (
    Images,
    RunFolder,
    TrainConfig,
    cut_network,
    fit,
    load_values,
    save_values,
)
from depara_jax.weights.readers import read_tensors
from tests.training import small

ROOT = Path(__file__).parents[2]


def start(folder, *options):
    command = [sys.executable, "-m", "tests.training.small", str(folder), *options]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=pipe, stdin=pipe)


def wait_for(process, line):
    for found in process.stdout:
        if found.strip() == line:
            return
    raise AssertionError(f"ended without {line!r}")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    uninterrupted = start(whole)
    killed = start(broken, "--slow")
    wait_for(killed, "epoch 1")
    killed.stdin.write("\n")
    killed.stdin.flush()
    wait_for(killed, "epoch 2")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (broken / "result.json").exists()
    # As if killed after a line of metrics and before its checkpoint, in the middle of another line.
    with open(broken / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "rate": 0.01, "loss": 9}\n{"epo')
    resumed = start(broken)
    lines = resumed.communicate()[0].split("\n")[:-1]
    assert lines == ["epoch 3", "epoch 4", "epoch 5"]  # went on, and did not start anew
    uninterrupted.communicate()
    assert uninterrupted.returncode == resumed.returncode == 0
    tensors = [read_tensors(f / "weights.safetensors") for f in (whole, broken)]
    assert set(tensors[0]) == set(small.network("resnet").shapes)
    for name, value in tensors[0].items():
        np.testing.assert_array_equal(value, tensors[1][name], err_msg=name)
    for name in ("metrics.jsonl", "result.json"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


@pytest.fixture(scope="module")
def net():
    return small.network("encoder")


def state_of(net):
    parts = cut_network(net, None, None, seed=0)
    optimizer = TrainConfig().transformation().init(parts.parameters)
    return {"parameters": parts.parameters, "statistics": {}, "optimizer": optimizer}


@pytest.mark.slow
def test_dropout_and_augmentation_go_on_where_they_were(tmp_path):
    """In one process, with a network that drops: three epochs, or two and one."""
    net = small.network("vgg")
    parts = cut_network(net, None, None, seed=0)
    data, prepare = small.examples(8), Images(small.INPUT, shift=2)

    def run(epochs, folder):
        config = TrainConfig(epochs=epochs, batch_size=4)
        return fit(net, parts, data, prepare, config, folder=folder).values

    kept = RunFolder(tmp_path / "run", {"it": 1})
    run(2, kept)
    resumed = run(3, RunFolder(tmp_path / "run", {"it": 1}))
    whole = run(3, None)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_another_configurations_folder_is_refused_and_left_alone(tmp_path):
    RunFolder(tmp_path / "run", {"config": {"epochs": 3}, "cut": "stem"})
    before = (tmp_path / "run" / "run.json").read_bytes()
    RunFolder(tmp_path / "run", {"cut": "stem", "config": {"epochs": 3}})  # the same one
    with pytest.raises(DeparaError, match="another configuration: config.epochs is 3, not 5; name"):
        RunFolder(tmp_path / "run", {"config": {"epochs": 5}, "cut": "stem"})
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(DeparaError, match="holds something else than a run"):
        RunFolder(tmp_path / "photos", {})
    with pytest.raises(DeparaError, match="holds something else than a run"):
        RunFolder(tmp_path / "photos" / "a.jpg", {})
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(DeparaError, match="not JSON"):
        RunFolder(tmp_path / "run", {})


def test_truncated_damaged_and_foreign_checkpoints(tmp_path, net):
    state = state_of(net)
    folder = RunFolder(tmp_path / "run", {})
    for epoch in (1, 2):
        folder.save(epoch, state)
        folder.record({"epoch": epoch})
    again = RunFolder(tmp_path / "run", {})
    epoch, restored, metrics = again.restore(state)
    assert (epoch, [row["epoch"] for row in metrics]) == (2, [1, 2])
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert all(map(np.array_equal, jax.tree.leaves(restored), jax.tree.leaves(state)))

    other = state_of(small.network("resnet"))
    with pytest.raises(DeparaError, match=r"checkpoints/2 is of another network: \['optimizer'\]"):
        RunFolder(tmp_path / "run", {}).restore(other)

    files = [p for p in (tmp_path / "run/checkpoints/2/state").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: len(content) // 2])
    with pytest.raises(DeparaError, match=r"checkpoints/2 is truncated or damaged.*delete that"):
        RunFolder(tmp_path / "run", {}).restore(state)
    largest.unlink()
    with pytest.raises(DeparaError, match=r"checkpoints/2 is (truncated or )?damaged"):
        RunFolder(tmp_path / "run", {}).restore(state)


def test_a_checkpoint_whose_numbers_changed_is_refused(tmp_path, net):
    state = state_of(net)
    folder = RunFolder(tmp_path / "run", {})
    folder.save(1, state)
    folder.record({"epoch": 1})
    path = tmp_path / "run/checkpoints/1/about/metadata"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "digest": "0" * 64}))
    with pytest.raises(DeparaError, match="its digest differs"):
        RunFolder(tmp_path / "run", {}).restore(state)
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    path.write_text(json.dumps(about))
    with pytest.raises(DeparaError, match="metrics.jsonl is damaged"):
        RunFolder(tmp_path / "run", {}).restore(state)


def test_weights_of_another_architecture_or_truncated(tmp_path, net):
    path = tmp_path / "w.safetensors"
    values = small.trained_values(net)
    save_values(path, net, values)
    found = load_values(path, net)
    assert all(np.array_equal(found[name], values[name]) for name in values)
    with pytest.raises(
        DeparaError, match=r"w.safetensors \(encoder-residual2 with 3 classes\) doe"
    ):
        load_values(path, small.network("resnet"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DeparaError, match="not a complete safetensors file"):
        load_values(path, net)
    assert jnp.ndim(found["classifier.bias"]) == 1


def test_a_damaged_result_is_named(tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    assert folder.result is None
    (tmp_path / "run" / "result.json").write_text("{")
    with pytest.raises(DeparaError, match="result.json is not JSON"):
        _ = folder.result
