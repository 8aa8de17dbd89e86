"""Outputs are whole or not there, special files are not replaced, damaged arrays have one line."""

import io
import os
import stat
import threading

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.files import check_writable, load_arrays, write_atomically


def write(path, content=b"new"):
    write_atomically(path, lambda file: file.write(content))


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "a"
    write(path, b"old")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(DeparaError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    write(path)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(tmp_path, exists):
    folder = tmp_path / "real"
    folder.mkdir()
    if exists:
        (folder / "a").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(folder / "a")
    check_writable(link, "--json")
    write(link)
    assert link.is_symlink()
    assert (folder / "a").read_bytes() == b"new"
    assert os.listdir(folder) == ["a"]


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    check_writable(tmp_path / "null", "--json")
    write(tmp_path / "null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    check_writable(fifo, "--json")  # must not open it: that would wait for a reader
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    # An archive seeks back while it is written, which a pipe cannot.
    write_atomically(fifo, lambda file: np.savez_compressed(file, a=np.arange(3)))
    reader.join()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert np.load(io.BytesIO(read[0]))["a"].tolist() == [0, 1, 2]
    source, sink = os.pipe()
    check_writable(f"/dev/fd/{sink}", "--json")
    write(f"/dev/fd/{sink}")
    assert os.read(source, 10) == b"new"
    os.close(source)
    os.close(sink)


@pytest.mark.parametrize("name", ["/proc/x", "no/such/x", "n" * 300, "", "loop", "locked"])
def test_other_places_are_refused_before_the_work(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "locked").mkdir()
    for attempt in (lambda: check_writable(name, "--json"), lambda: write(name)):
        with pytest.raises(DeparaError, match="cannot write there"):
            attempt()
    assert sorted(os.listdir(tmp_path)) == ["locked", "loop"]


def test_a_suffix_is_asked_for(tmp_path):
    check_writable(tmp_path / "a.NPZ", "--output", (".npz",))
    with pytest.raises(DeparaError, match=r"--output .*a.csv: expected a name that ends in .npz"):
        check_writable(tmp_path / "a.csv", "--output", (".npz",))
    assert os.listdir(tmp_path) == []


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def damaged_deflate():
    content = bytearray(npz(a=np.arange(1000)))
    content[60:120] = bytes(60)
    return bytes(content)


def promising(shape):
    """A .npy whose header promises more than there is."""
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


DAMAGED = {
    "deflate": damaged_deflate,
    "memory": lambda: promising((1 << 50,)),
    "overflow": lambda: promising((10**30,)),
    "zip": lambda: b"PK\x03\x04garbage",
    "empty": lambda: b"",
    "text": lambda: b"hello",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_arrays_are_named(tmp_path, kind):
    (tmp_path / "x.npy").write_bytes(DAMAGED[kind]())
    with pytest.raises(DeparaError, match=r"x\.npy'?: not a readable NumPy array file"):
        load_arrays(tmp_path / "x.npy")
    with pytest.raises(DeparaError, match="--features x: not a readable"):
        load_arrays(tmp_path / "x.npy", name="--features x")


def test_arrays_are_read_by_content(tmp_path):
    (tmp_path / "a.npy").write_bytes(npz(x=np.arange(2), y=np.arange(3)))
    arrays = load_arrays(tmp_path / "a.npy")
    assert isinstance(arrays, dict)
    assert {key: value.tolist() for key, value in arrays.items()} == {"x": [0, 1], "y": [0, 1, 2]}
    chosen = load_arrays(tmp_path / "a.npy", choose=lambda names: names[-1])
    assert isinstance(chosen, np.ndarray)
    assert chosen.tolist() == [0, 1, 2]
