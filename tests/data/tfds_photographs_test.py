"""The packaged TFDS dataset: its contents, its cache, and that TensorFlow stays out."""

import subprocess
import sys

import numpy as np
import pytest

from depara_jax.data import photographs, tfds_photographs
from depara_jax.errors import DeparaError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    tfds_photographs.prepared_photographs(folder)
    return folder


def test_the_records_are_the_patches_in_order(cache):
    builder = tfds_photographs.prepared_photographs(cache)
    for split in ("validation", "probe"):
        source = builder.as_data_source(split)
        want = photographs.patches(split)
        assert len(source) == len(want)
        for i in range(0, len(want), 37):
            np.testing.assert_array_equal(source[i]["image"], want.images[i])
            assert source[i]["id"].decode() == want.ids[i]
            assert source[i]["photograph"] == want.photograph[i]
    assert len(builder.as_data_source("train[10:30]")) == 20


def test_a_prepared_cache_is_not_made_again(cache, monkeypatch):
    def refuse(root):
        raise AssertionError("prepared twice")

    monkeypatch.setattr(tfds_photographs, "_install", refuse)
    assert len(tfds_photographs.prepared_photographs(cache).as_data_source("probe")) == 480


def small(monkeypatch):
    """Makes preparing quick: 12 patches a split."""
    original = photographs.patches
    monkeypatch.setattr(photographs, "patches", lambda split: original(split, per_photograph=1))


def cached_files(folder):
    return sorted(path for path in folder.glob("photographs-*/*/*/*") if path.is_file())


@pytest.mark.parametrize("harm", ["truncate", "delete", "flip", "manifest", "empty"])
def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch, harm):
    small(monkeypatch)
    tfds_photographs.prepared_photographs(tmp_path)
    records = next(path for path in cached_files(tmp_path) if "probe" in path.name)
    good = records.read_bytes()
    if harm == "truncate":
        records.write_bytes(good[: len(good) // 2])
    elif harm == "flip":
        records.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    elif harm == "manifest":
        next(tmp_path.glob("*/sha256.json")).write_text("{")
    else:
        for path in cached_files(tmp_path) if harm == "empty" else [records]:
            path.unlink()
    source = tfds_photographs.prepared_photographs(tmp_path).as_data_source("probe")
    want = photographs.patches("probe")
    np.testing.assert_array_equal([source[i]["image"] for i in range(12)], want.images)
    assert [path.name for path in tmp_path.iterdir()] == [records.parents[2].name]


def test_what_another_process_left_half_written_is_replaced(tmp_path, monkeypatch):
    small(monkeypatch)
    root = tmp_path / f"photographs-{tfds_photographs._content_key()}"
    (root / "depara_photographs" / "1.0.0.incomplete").mkdir(parents=True)
    (root / "depara_photographs" / "1.0.0.incomplete" / "part").write_bytes(b"half")
    assert len(tfds_photographs.prepared_photographs(tmp_path).as_data_source("probe")) == 12


def test_the_slower_of_two_processes_keeps_the_other_s_work(tmp_path, monkeypatch):
    small(monkeypatch)
    root = tmp_path / f"photographs-{tfds_photographs._content_key()}"
    original = tfds_photographs._digests
    calls = []

    def meanwhile(folder):
        if folder.name == "fresh" and not calls:  # the first has prepared but not yet moved
            calls.append(folder)
            tfds_photographs._install(root)
            (root / "mark").write_text("the other's")
        return original(folder)

    monkeypatch.setattr(tfds_photographs, "_digests", meanwhile)
    tfds_photographs.prepared_photographs(tmp_path)
    assert (root / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_two_processes_at_once_both_end_well_and_without_tensorflow(tmp_path):
    program = (
        "import sys\n"
        "from depara_jax.data import photographs, tfds_photographs\n"
        "original = photographs.patches\n"
        "photographs.patches = lambda split: original(split, per_photograph=2)\n"
        "source = tfds_photographs.prepared_photographs().as_data_source('probe')\n"
        "assert len(source) == 24 and source[23]['image'].shape == (32, 32, 3)\n"
        "assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'\n"
    )
    environment = {"DEPARA_CACHE": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out == ""  # a command's stdout may hold JSON alone
    assert len(list((tmp_path / "tfds").iterdir())) == 1


def test_importing_the_data_package_imports_neither_tfds_nor_tensorflow():
    program = (
        "import sys, depara_jax.data, depara_jax.data.probes\n"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DeparaError, match="file.*set DEPARA_CACHE"):
        tfds_photographs.prepared_photographs(tmp_path / "file")


def test_a_missing_photograph_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "_folder", lambda: tmp_path)
    with pytest.raises(DeparaError, match="astronaut.png.*reinstall"):
        tfds_photographs.prepared_photographs(tmp_path)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DEPARA_CACHE", str(tmp_path))
    assert tfds_photographs.cache_dir() == tmp_path / "tfds"
    monkeypatch.delenv("DEPARA_CACHE")
    assert tfds_photographs.cache_dir().parts[-3:] == (".cache", "depara_jax", "tfds")
