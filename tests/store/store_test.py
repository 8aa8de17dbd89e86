"""Artefacts: what goes in comes out, what is damaged does not, whoever else is writing."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import InputSpec, Model
from depara_jax.recipe import RECIPES
from depara_jax.store import (
    DamagedArtefactError,
    Store,
    StoreError,
    artefact_key,
    collect_garbage,
    load_graph,
    save_graph,
    save_vector,
    verify_store,
)
from depara_jax.store.keys import ArtefactKey, weights_digest
from depara_jax.store.locks import Locks
from tests.networks import forward, model, probe, variables

PAPER = RECIPES["paper"]


def some_key(number: int = 0) -> ArtefactKey:
    fields = [f.name for f in dataclasses.fields(ArtefactKey)]
    return ArtefactKey(**{name: f"{name}{number}" for name in fields})


def some_arrays(seed: int = 0, size: int = 50) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"nodes": generator.normal(size=(4, size)).astype(np.float32), "none": np.zeros((3, 0))}


def put(store: Store, number: int = 0, size: int = 50) -> str:
    return store.put(some_key(number), some_arrays(number, size), info={}, provenance={})


def files_of(store: Store) -> list[Path]:
    return [path for path in Path(store.root).rglob("*") if path.is_file()]


def test_a_graph_comes_back_bit_for_bit(store, graph_and_key):
    graph, key = graph_and_key
    assert store.get(key) is None
    save_graph(store, key, graph, provenance={"time": "now"})
    artefact = store.get(key)
    assert artefact is not None
    back = load_graph(artefact)
    np.testing.assert_array_equal(back.nodes, graph.nodes)
    np.testing.assert_array_equal(back.edges, graph.edges)
    assert back.info == graph.info
    assert artefact.record["provenance"] == {"time": "now"}


def test_a_vector_is_the_embedded_graph_and_empty_arrays_keep_their_shape(store, graph_and_key):
    graph, key = graph_and_key
    key = dataclasses.replace(key, kind="vector")
    save_vector(store, key, graph, PAPER, provenance={})
    artefact = store.get(key)
    # <z, z> = node_weight + lam.
    assert artefact.arrays["vector"] @ artefact.arrays["vector"] == pytest.approx(2, abs=1e-5)
    put(store)
    assert store.get(some_key()).arrays["none"].shape == (3, 0)


def test_every_field_of_the_key_changes_the_address():
    key = some_key()
    for field in dataclasses.fields(key):
        other = dataclasses.replace(key, **{field.name: "other"})
        assert other.address != key.address, field.name
    assert some_key().address == key.address


def test_the_key_knows_what_a_kind_depends_on():
    def address(kind="graph", network=None, layer="answer", recipe=PAPER, images="p"):
        return artefact_key(kind, network or model(0), layer, recipe, images).address

    same, half = address(), PAPER.replace(lam=0.5)
    assert address(recipe=half) == same  # a graph does not depend on lambda
    assert address("vector", recipe=half) != address("vector")
    assert address("features", recipe=RECIPES["tam"]) == address("features")
    assert address(recipe=PAPER.replace(lam=0.0)) != same  # it has no edges
    assert address(recipe=PAPER.replace(grid=4)) != same
    assert address(layer="stem") != same
    assert address(images="q") != same
    assert address(network=model(1)) != same
    assert address(network=model(0, size=16)) != same
    assert address(network=model(0, name="another name")) == same
    with pytest.raises(UnknownNameError, match="kind of artefact"):
        address("grpah")
    with pytest.raises(UnknownNameError, match="layer"):
        address(layer="stemm")


def test_functions_of_one_name_with_other_programs_have_other_digests():
    def twice(shift):
        def network(v, x):
            return {"answer": forward(v, x)["answer"] + shift}

        return Model.from_function(network, variables(0), name="n", input=InputSpec(size=(8, 8)))

    a, b = twice(jnp.ones(6)), twice(jnp.full(6, 2.0))  # the same program, another constant
    assert weights_digest(a) == weights_digest(twice(jnp.ones(6)))
    assert weights_digest(a) != weights_digest(b)
    assert weights_digest(a) != weights_digest(model(0))


def test_any_changed_byte_is_found_and_never_used(store):
    put(store)
    sound = {path: path.read_bytes() for path in files_of(store) if "objects" in str(path)}
    found = 0
    for path, content in sound.items():
        for position in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[position] ^= 0x10
            path.write_bytes(changed)
            try:
                arrays = store.get(some_key()).arrays
                # orbax has files beside the arrays whose bytes it does not need
                np.testing.assert_array_equal(arrays["nodes"], some_arrays()["nodes"])
            except DamagedArtefactError:
                found += 1
        path.write_bytes(content)
    assert found >= 5  # the record and the arrays' own bytes at least
    for path in sound:
        path.write_bytes(b"")
    with pytest.raises(DamagedArtefactError, match=some_key().address[:16]):
        store.get(some_key())


def test_an_artefact_under_anothers_address_is_refused(store):
    put(store)
    theirs = some_key(1).address
    shutil.copytree(
        store.root / "objects" / some_key().address[:2] / some_key().address,
        store.root / "objects" / theirs[:2] / theirs,
    )
    with pytest.raises(DamagedArtefactError, match="another address"):
        store.get(some_key(1))


def test_verify_names_the_damaged_and_gc_removes_them(store):
    put(store, 0)
    put(store, 1)
    record = (
        store.root / "objects" / some_key(1).address[:2] / some_key(1).address / "artefact.json"
    )
    record.write_text(record.read_text().replace("nodes1", "nodes2").replace("layer1", "layer2"))
    sound, damaged = verify_store(store)
    assert (sound, list(damaged)) == (1, [some_key(1).address])
    assert collect_garbage(store) == []
    assert collect_garbage(store, damaged=True, dry_run=True)
    assert list(damaged) == [a for a in store.addresses() if a != some_key(0).address]
    ((removed, why),) = collect_garbage(store, damaged=True)
    assert removed == some_key(1).address
    assert "checksum" in why
    assert verify_store(store) == (1, {})
    put(store, 1)
    assert verify_store(store) == (2, {})


def test_gc_removes_artefacts_of_other_code(store):
    put(store)
    ((removed, why),) = collect_garbage(store, other_code=True)
    assert removed == some_key().address
    assert "code0" in why
    assert list(store.addresses()) == []


def _put_many(root, numbers, start):
    start.wait()
    store = Store(root, create=True)
    for number in numbers:
        put(store, number)


def test_writers_side_by_side_leave_a_sound_store(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    orders = (range(6), range(5, -1, -1), [2, 0, 4, 1, 3, 5])
    root = tmp_path / "store"
    writers = [context.Process(target=_put_many, args=(root, list(o), start)) for o in orders]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    store = Store(root)
    assert verify_store(store) == (6, {})
    assert collect_garbage(store) == []
    for number in range(6):
        np.testing.assert_array_equal(
            store.get(some_key(number)).arrays["nodes"], some_arrays(number)["nodes"]
        )


HALF_WAY = """
import sys
from tests.store.store_test import Store, put
import depara_jax.store.artefacts as artefacts
def stop(*_):
    print("half", flush=True)
    sys.stdin.readline()
Store._write = stop  # the arrays are there, the record is not
put(Store(sys.argv[1]), 7)
"""


def test_data_of_a_living_writer_stays_that_of_a_dead_one_goes(tmp_path):
    store = Store(tmp_path / "store", create=True)
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, str(tmp_path / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with writer:
        assert writer.stdout.readline() == "half\n"
        assert store.get(some_key(7)) is None
        assert collect_garbage(store) == []
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(30)
    assert store.get(some_key(7)) is None
    deadline = time.monotonic() + 10
    while not (removed := collect_garbage(store)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [why for _, why in removed] == ["half-written"]
    put(store, 7)
    assert verify_store(store) == (1, {})


def test_places_that_are_no_store_are_refused_in_one_line(tmp_path):
    with pytest.raises(StoreError, match="nothing there"):
        Store(tmp_path / "none")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("work")
    with pytest.raises(StoreError, match="other things"):
        Store(tmp_path / "other", create=True)
    Store(tmp_path / "store", create=True)
    (tmp_path / "store" / "store.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="99"):
        Store(tmp_path / "store")
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path / "store")


def test_a_full_disk_is_one_line_and_leaves_nothing_in_use(small_disk):
    store = Store(small_disk / "store", create=True)
    put(store, 0)
    with pytest.raises(StoreError, match="full"):
        put(store, 1, size=100_000)
    assert store.get(some_key(1)) is None
    assert verify_store(store) == (1, {})
    put(store, 1)
    assert verify_store(store) == (2, {})


def test_a_read_only_store_is_read_and_not_written(tmpfs):
    store = Store(tmpfs / "store", create=True)
    put(store, 0)
    os.close(store.locks._handle)  # a file open for writing would keep the file system from it
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True)
    store = Store(tmpfs / "store")
    assert verify_store(store) == (1, {})
    with pytest.raises(StoreError, match="Read-only"):
        store.check_writable()
    with pytest.raises(StoreError, match="Read-only"):
        put(store, 1)


def test_an_object_store_cannot_be_collected_without_a_promise(store):
    store.is_local = False
    with pytest.raises(DeparaError, match="no-writers"):
        collect_garbage(store)
    assert collect_garbage(store, no_writers=True) == []


def test_a_place_without_locks_and_renaming_holds_whole_artefacts_too(store):
    # What differs for gs:// paths: no lock file, no atomic rename. No bucket was tried.
    store.is_local, store.locks = False, Locks(None)
    put(store)
    assert put(store) == store.record(some_key().address)["content"]
    assert verify_store(store) == (1, {})
    assert collect_garbage(store, no_writers=True) == []
    assert not (store.root / ".lock").exists()


def test_records_are_plain_json(store):
    put(store)
    record = store.record(some_key().address)
    assert json.loads(json.dumps(record)) == record
    assert probe().fingerprint == "seed1-9"
