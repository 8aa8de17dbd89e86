"""The public surface: documented, typed, light to import, and imported in one direction."""

import ast
import graphlib
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import depara_jax
from depara_jax.store.source import imported_files

PACKAGE = Path(depara_jax.__file__).parent
# A stage may import itself, what stands before it in its own half, and the foundations.
FOUNDATIONS = {"types", "spec", "stats", "host", "errors", "recipe", "files"}
NUMERICAL = ["graph", "attribution", "walk", "estimators", "evaluation", "selection"]
ALLOWED = {
    "host": {"host"},
    "graph": {"graph"},
    "attribution": {"attribution"},
    "estimators": {"estimators", "attribution", "graph"},
    "evaluation": {"evaluation"},
    "walk": {"walk", "graph", "attribution"},
    "selection": {"selection", "walk", "graph", "estimators"},
    "store": {"store", "graph"},
    "index": {"index", "store", "graph"},
    "sweep": {"sweep", "store", "graph", "walk", "selection", "models", "data"},
    "weights": {"weights"},
    "models": {"models", "weights"},
    "data": {"data"},
    "training": {"training", "models", "data", "weights"},
    "reporting": {"reporting", "evaluation", "graph"},
}


def imported(path: Path) -> set[str]:
    """Stages that a file imports at module level or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {n.split(".")[1] for n in names if n.startswith("depara_jax.")}
    return found


@pytest.mark.parametrize("stage", list(ALLOWED))
def test_imports_go_in_one_direction(stage):
    files = list((PACKAGE / stage).rglob("*.py"))
    assert files
    for path in files:
        extra = imported(path) - ALLOWED[stage] - FOUNDATIONS
        assert not extra, f"{path.relative_to(PACKAGE)} imports {extra}"


def test_no_import_goes_in_a_circle():
    # The package's own file names all of them, and imports none before it is used.
    files = set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"}
    imports = {path: imported_files(path) & files for path in files}
    assert any(imports.values())
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_experiments_are_not_imported_by_the_library():
    for path in PACKAGE.rglob("*.py"):
        assert "import experiments" not in path.read_text()
        assert "from experiments" not in path.read_text()


def test_one_place_asks_jax_for_its_backend():
    files = [path for path in PACKAGE.rglob("*.py") if "default_backend" in path.read_text()]
    assert files == [PACKAGE / "host" / "platform.py"]


def loaded_by(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


HEAVY = {"torch", "tensorflow", "keras", "ray", "sklearn", "captum", "skimage"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import depara_jax", HEAVY | {"jax", "flax", "matplotlib", "tensorflow_datasets"}),
        (
            "import depara_jax.selection, depara_jax.estimators, depara_jax.evaluation",
            HEAVY | {"flax", "matplotlib", "tensorflow_datasets", "orbax", "PIL"},
        ),
        ("import depara_jax; depara_jax.rank_models, depara_jax.load_probe", HEAVY | {"flax"}),
        ("import depara_jax.training", HEAVY | {"orbax", "tensorflow_datasets", "matplotlib"}),
        ("import depara_jax; depara_jax.load_model", HEAVY | {"tensorflow_datasets"}),
    ],
)
def test_heavy_packages_are_imported_where_they_are_used(statement, absent):
    assert not loaded_by(statement) & absent


def test_every_public_name_exists_and_is_documented():
    for name in depara_jax.__all__:
        value = getattr(depara_jax, name)
        assert inspect.getdoc(value) or name == "RECIPES", f"{name} has no docstring"
    assert set(depara_jax.__all__) < set(dir(depara_jax))
    with pytest.raises(AttributeError, match="no attribute 'rank_modles'"):
        depara_jax.rank_modles  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize("stage", NUMERICAL)
def test_public_functions_take_hyperparameters_by_keyword_and_are_typed(stage):
    module = importlib.import_module(f"depara_jax.{stage}")
    for name in module.__all__:
        value = getattr(module, name)
        if not inspect.isfunction(value):
            continue
        for parameter in inspect.signature(value).parameters.values():
            where = f"{stage}.{name}({parameter.name})"
            assert parameter.annotation is not inspect.Parameter.empty, f"{where} has no type"
            plain = isinstance(parameter.default, (bool, int, float, str))
            assert not (plain and parameter.kind is parameter.POSITIONAL_OR_KEYWORD), where
