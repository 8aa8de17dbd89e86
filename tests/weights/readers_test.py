"""Weight files: what is read, and what is refused with which message."""

import hashlib
import os
import pickle
import stat

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from depara_jax.errors import DeparaError
from depara_jax.weights.readers import file_sha256, read_metadata, read_tensors, write_safetensors


class RunsCode:
    """Unpickling this calls a function."""

    def __reduce__(self):
        return (print, ("this pickle ran code",))


@pytest.fixture
def tensors(rng):
    return {
        "a.weight": rng.normal(size=(2, 3)).astype(np.float32),
        "a.steps": np.asarray(7),
        "b": rng.normal(size=(4,)),
    }


def check_same(got, want):
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_array_equal(got[name], value)


def test_safetensors_come_back_as_they_were_written(tmp_path, tensors):
    # A transposed view: safetensors itself would write its memory in the wrong order.
    tensors["turned"] = np.arange(6, dtype=np.float32).reshape(2, 3).T
    path = tmp_path / "w.safetensors"
    write_safetensors(path, tensors, {"source": "here"})
    check_same(read_tensors(path), tensors)
    assert read_metadata(path) == {"source": "here"}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_npz_comes_back_as_it_was_written(tmp_path, tensors):
    np.savez(tmp_path / "w.npz", **tensors)
    check_same(read_tensors(tmp_path / "w.npz"), tensors)


def test_bfloat16_becomes_float32(tmp_path):
    value = np.asarray([1.5, -2.25], ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"x": value}, tmp_path / "w.safetensors")
    got = read_tensors(tmp_path / "w.safetensors")
    check_same(got, {"x": np.asarray([1.5, -2.25], np.float32)})


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module."])
def test_pytorch_files_give_the_state_dictionary(tmp_path, tensors, wrap):
    torch = pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
    state = {name: torch.as_tensor(value) for name, value in tensors.items()}
    if wrap == "module.":
        saved = {f"module.{name}": value for name, value in state.items()}
    else:
        saved = {"state_dict": state, "epoch": 3} if wrap == "state_dict" else state
    torch.save(saved, tmp_path / "w.pth")
    check_same(read_tensors(tmp_path / "w.pth"), tensors)


def test_pytorch_bfloat16_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
    torch.save({"x": torch.tensor([1.5, -2.25], dtype=torch.bfloat16)}, tmp_path / "w.pt")
    check_same(read_tensors(tmp_path / "w.pt"), {"x": np.asarray([1.5, -2.25], np.float32)})


def test_a_failed_write_leaves_the_old_file(tmp_path, tensors, monkeypatch):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, tensors)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeparaError, match=r"w\.safetensors: cannot write there \(no space left"):
        write_safetensors(path, {"x": np.zeros(3)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_written_files_are_readable_by_others(tmp_path, tensors):
    plain, path = tmp_path / "plain", tmp_path / "w.safetensors"
    plain.touch()
    write_safetensors(path, tensors)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 1000)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 1000).hexdigest()


@pytest.mark.parametrize("call", [read_tensors, read_metadata, file_sha256])
def test_a_missing_file_is_named(tmp_path, call):
    with pytest.raises(DeparaError, match=r"weights file .*none\.safetensors does not exist"):
        call(tmp_path / "none.safetensors")
    with pytest.raises(DeparaError, match="is a folder"):
        call(tmp_path)


def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(DeparaError, match=r"'\.onnx'; expected \.safetensors, \.npz, \.pth, \.pt"):
        read_tensors(tmp_path / "w.onnx")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_file_is_named_in_one_line(tmp_path, tensors, suffix, damage):
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        write_safetensors(path, tensors)
    elif suffix == ".npz":
        np.savez(path, **tensors)
    else:
        torch = pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
        torch.save({"x": torch.ones(1000)}, path)
    whole = path.read_bytes()
    # What Git LFS leaves in place of a file that was not fetched is text.
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": text, "empty": b""}[damage])
    with pytest.raises(DeparaError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert message.startswith(f"weights file {path} is not a complete ")
    assert "\n" not in message


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys, protocol):
    torch = pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
    path = tmp_path / "evil.pth"
    torch.save({"x": torch.ones(2), "y": RunsCode()}, path, pickle_protocol=protocol)
    with pytest.raises(DeparaError, match=r"evil\.pth is refused: .*could run code"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


def test_a_bare_pickle_that_runs_code_is_refused(tmp_path, capsys):
    pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(RunsCode(), protocol=2))
    with pytest.raises(DeparaError, match="refused: it holds .*print.*could run code"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


def test_an_npz_that_runs_code_is_refused(tmp_path, capsys):
    objects = np.empty(1, dtype=object)
    objects[0] = RunsCode()
    np.savez(tmp_path / "evil.npz", good=np.ones(2), bad=objects)
    with pytest.raises(DeparaError, match="refused: it holds object array 'bad'"):
        read_tensors(tmp_path / "evil.npz")
    assert capsys.readouterr().out == ""


def test_entries_that_are_not_tensors_are_named(tmp_path):
    torch = pytest.importorskip("torch", reason="reading .pth needs the [torch] extra")
    torch.save({"x": torch.ones(2), "epoch": 3, "best": 0.5}, tmp_path / "w.pth")
    with pytest.raises(DeparaError, match=r"2 entries are not tensors \(best, epoch\)"):
        read_tensors(tmp_path / "w.pth")
    torch.save([torch.ones(2)], tmp_path / "w.pth")
    with pytest.raises(DeparaError, match="holds a list, not a dictionary of tensors"):
        read_tensors(tmp_path / "w.pth")


def test_a_single_array_is_not_a_weights_file(tmp_path):
    with open(tmp_path / "w.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DeparaError, match=r"w\.npz .*it is not an archive of named arrays"):
        read_tensors(tmp_path / "w.npz")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_tensors_with_nan_or_infinity_are_named(tmp_path, tensors, bad):
    tensors["a.weight"][1, 2] = bad
    tensors["b"][0] = bad
    write_safetensors(tmp_path / "w.safetensors", tensors)
    with pytest.raises(DeparaError, match=r"NaN or infinity in 2 of 3 tensors: a\.weight, b"):
        read_tensors(tmp_path / "w.safetensors")


def test_a_file_without_tensors_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz")
    with pytest.raises(DeparaError, match="holds no tensors"):
        read_tensors(tmp_path / "w.npz")
    with pytest.raises(DeparaError, match="is not written: there are no tensors"):
        write_safetensors(tmp_path / "w.safetensors", {})


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DeparaError, match="nowhere.*cannot write there"):
        write_safetensors(tmp_path / "nowhere" / "w.safetensors", {"x": np.ones(2)})
