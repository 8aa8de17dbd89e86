"""What stored numbers depend on: all that runs when they are made, and nothing that only shows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import depara_jax
from depara_jax.store.source import imported_files, numerical_source

PACKAGE = Path(depara_jax.__file__).parent
# One work item with everything that can be stored, and edges enough for ranks by numpy; prints the
# files whose functions have run.
ITEM = """
import inspect, json, sys, tempfile, threading
from depara_jax.data import load_probe
from depara_jax.recipe import RECIPES
from depara_jax.store import KINDS, Store
from depara_jax.sweep.items import WorkItem, compute_item

called = set()

def profile(frame, event, argument):
    if event == "call":
        called.add(frame.f_code)

store = Store(tempfile.mkdtemp(), create=True)
item = WorkItem("edges", "mini", ("encoder",), KINDS, RECIPES["default"], 0)
threading.setprofile(profile)
sys.setprofile(profile)
row = compute_item(item, load_probe("photographs:probe[:200]"), store)
sys.setprofile(None)
assert row.status == "computed", row.reason
# Bodies of modules and classes, which run at import, are not optimised as functions are.
ran = {c.co_filename for c in called if c.co_flags & inspect.CO_OPTIMIZED}
ran -= {c.co_filename for c in called if c.co_name == "__getattr__"}  # a package's lazy names
print(json.dumps(sorted(ran)))
"""


def names(paths) -> set[str]:
    ours = [Path(path) for path in paths if Path(path).is_relative_to(PACKAGE)]
    return {path.relative_to(PACKAGE).as_posix() for path in ours}


def test_all_that_runs_when_numbers_are_made_is_there():
    command = [sys.executable, "-c", ITEM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    ran = {n for n in names(json.loads(done.stdout)) if not n.startswith(("sweep/", "store/"))}
    assert {
        "host/ranks.py",
        "graph/embedding.py",
        "models/encoder/modeling.py",
        "data/preprocess.py",
    } <= ran
    assert ran <= names(numerical_source())


@pytest.mark.parametrize("name", ["stats.py", "host/ranks.py", "weights/mapping.py"])
def test_what_only_runs_for_some_inputs_is_there_too(name):
    assert name in names(numerical_source())


def test_all_ports_are_there():
    ports = set((PACKAGE / "models").glob("*/modeling.py"))
    assert len(ports) >= 8
    assert ports <= set(numerical_source())


def test_what_shows_stores_and_launches_may_change_freely():
    stages = {name.partition("/")[0] for name in names(numerical_source())}
    others = {"reporting", "cli", "training", "sweep", "store", "index", "evaluation"}
    assert not stages & others


def test_imports_are_followed_into_functions_and_through_packages():
    assert "data/tfds_source.py" in names(imported_files(PACKAGE / "data" / "probes.py"))
    found = names(imported_files(PACKAGE / "store" / "values.py"))
    assert "graph/embedding.py" in found
    assert "graph/__init__.py" not in found
    assert "attribution/__init__.py" in names(imported_files(PACKAGE / "walk" / "step.py"))


def test_relative_imports_of_stubs_and_names_of_one_file_from_two(tmp_path, monkeypatch):
    from depara_jax.store import source

    package = tmp_path / "depara_jax"
    (package / "part").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "two.py", "part/__init__.py", "part/inner.py"):
        (package / name).write_text("")
    (package / "part" / "__init__.pyi").write_text("from .inner import work as work")
    text = "def a():\n  from depara_jax.one import f\ndef b():\n  from depara_jax.two import f\n"
    (package / "user.py").write_text(text + "from depara_jax.part import work, other")
    monkeypatch.setattr(source, "PACKAGE", package)
    found = {p.relative_to(package).as_posix() for p in imported_files(package / "user.py")}
    assert found == {"one.py", "two.py", "part/inner.py", "part/__init__.py"}
