"""`depara store`: listing, verifying and cleaning from the command line."""

import json

import numpy as np
import pytest

from depara_jax.cli.main import main
from depara_jax.store import ArtefactKey, Store

KEY = ArtefactKey(
    kind="graph", weights="w", architecture="a", layer="l", recipe="{}", probe="p",
    preprocessing="{}", dtype="float32", code="old",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "store", create=True)
    arrays = {"nodes": np.ones((2, 3), np.float32)}
    store.put(KEY, arrays, info={"model": "m"}, provenance={})
    return tmp_path / "store"


def run(capsys, *argv):
    code = main(["store", *map(str, argv), "--json", "-"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def test_ls_verify_and_gc(capsys, folder):
    code, result, err = run(capsys, "ls", folder)
    assert code == 0
    assert [row["address"] for row in result["artefacts"]] == [KEY.address]
    assert result["artefacts"][0]["shapes"] == {"nodes": [2, 3]}
    assert KEY.address[:12] in err
    code, result, _ = run(capsys, "verify", folder)
    assert result.pop("provenance")["command"].startswith("depara store verify")
    assert (code, result) == (0, {"store": str(folder), "sound": 1, "damaged": []})
    code, result, _ = run(capsys, "gc", folder, "--other-code", "--dry-run")
    assert [entry["path"] for entry in result["removed"]] == [KEY.address]
    assert run(capsys, "ls", folder)[1]["artefacts"]
    run(capsys, "gc", folder, "--other-code")
    assert run(capsys, "ls", folder)[1]["artefacts"] == []


def test_damage_is_exit_code_3(capsys, folder):
    (record,) = folder.rglob("artefact.json")
    record.write_text("{")
    code, result, _ = run(capsys, "verify", folder)
    assert (code, result["sound"]) == (3, 0)
    assert result["damaged"][0]["address"] == KEY.address
    assert run(capsys, "ls", folder)[0] == 3


def test_bad_input_is_one_line(capsys, folder, tmp_path):
    for argv, message in (
        (("ls", tmp_path / "none"), "nothing there"),
        (("verify", folder, "--damaged"), "serves `depara store gc`"),
    ):
        code, result, err = run(capsys, *argv)
        assert (code, result) == (2, None)
        assert err.count("\n") == 1
        assert message in err
