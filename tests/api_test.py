"""The public surface: documented, typed, light to import, and imported in one direction."""

import ast
import graphlib
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import depara_jax
from depara_jax.store.source import imported_files

PACKAGE = Path(depara_jax.__file__).parent
# A stage may import itself, what stands before it in its own half, and the foundations.
FOUNDATIONS = {"types", "spec", "stats", "host", "errors", "recipe", "files"}
NUMERICAL = ["graph", "attribution", "walk", "estimators", "evaluation", "selection"]
NAMESPACES = [
    "attribution", "data", "estimators", "evaluation", "graph", "index", "models", "reporting",
    "selection", "store", "sweep", "training", "walk", "weights",
]  # fmt: skip
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


def modules_after(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def loaded_by(statement: str) -> set[str]:
    return {name.split(".")[0] for name in modules_after(statement)}


def whole(*namespaces: str) -> str:
    """A statement that uses every public name of some namespaces."""
    listed = ", ".join(f"d.{name}" for name in namespaces)
    return f"import depara_jax as d; [getattr(m, name) for m in ({listed},) for name in m.__all__]"


HEAVY = {"torch", "tensorflow", "keras", "ray", "sklearn", "captum", "skimage"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import depara_jax", HEAVY | {"jax", "flax", "matplotlib", "tensorflow_datasets"}),
        (
            whole(*NUMERICAL),
            HEAVY | {"flax", "matplotlib", "tensorflow_datasets", "orbax", "PIL"},
        ),
        ("import depara_jax; depara_jax.rank_models, depara_jax.load_probe", HEAVY | {"flax"}),
        (whole("training"), HEAVY | {"orbax", "tensorflow_datasets", "matplotlib"}),
        ("import depara_jax; depara_jax.load_model", HEAVY | {"tensorflow_datasets"}),
        (whole(*NAMESPACES), HEAVY | {"tensorflow_datasets"}),
    ],
)
def test_heavy_packages_are_imported_where_they_are_used(statement, absent):
    assert not loaded_by(statement) & absent


def test_the_import_loads_a_handful_of_small_modules():
    more = modules_after("import depara_jax") - modules_after("pass")
    own = {name for name in more if name.startswith("depara_jax")}
    assert own == {"depara_jax"}
    foreign = {name.split(".")[0] for name in more} - own - set(sys.stdlib_module_names)
    assert foreign == {"lazy_loader"}
    assert len(more) < 20, sorted(more)


def test_every_folder_is_a_namespace_of_the_package():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - {"cli", "host"} == set(NAMESPACES)  # a program, and forms of others' functions
    assert set(NAMESPACES) <= set(dir(depara_jax))
    with pytest.raises(AttributeError, match="rank_modles"):
        depara_jax.rank_modles  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize("namespace", ["", *NAMESPACES])
def test_every_public_name_exists_is_listed_once_and_documented(namespace):
    module = importlib.import_module(f"depara_jax.{namespace}".rstrip("."))
    stub = Path(module.__file__).with_suffix(".pyi")
    if stub.exists():
        found = [alias.name for node in ast.walk(ast.parse(stub.read_text()))
                 if isinstance(node, ast.ImportFrom) for alias in node.names]  # fmt: skip
        assert sorted(found) == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"{namespace}.{name} has no docstring"


def functions_of(namespace: str) -> Iterator[tuple[str, Callable]]:
    """Public functions of a namespace, and constructors and public methods of its classes."""
    module = importlib.import_module(f"depara_jax.{namespace}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield f"{namespace}.{name}", value
        elif inspect.isclass(value) and value.__module__.startswith("depara_jax"):
            for key, method in vars(value).items():
                method = getattr(method, "__func__", method)  # class and static methods
                if inspect.isfunction(method) and (key == "__init__" or key[0] != "_"):
                    yield f"{namespace}.{name}.{key}", method


@pytest.mark.parametrize("namespace", [*NAMESPACES, "recipe"])
def test_options_are_explicit_and_typed(namespace):
    for where, function in functions_of(namespace):
        if where == "recipe.Recipe.replace":
            continue  # takes the class's own fields, as `dataclasses.replace` does
        for parameter in list(inspect.signature(function).parameters.values()):
            if parameter.name in ("self", "cls"):
                continue
            assert parameter.kind is not parameter.VAR_KEYWORD, f"{where} hides its options"
            assert parameter.annotation is not inspect.Parameter.empty, f"{where}: {parameter}"


@pytest.mark.parametrize("stage", NUMERICAL)
def test_public_functions_take_hyperparameters_by_keyword(stage):
    for where, function in functions_of(stage):
        if where.count(".") > 1:
            continue  # methods
        for parameter in inspect.signature(function).parameters.values():
            plain = isinstance(parameter.default, (bool, int, float, str))
            assert not (plain and parameter.kind is parameter.POSITIONAL_OR_KEYWORD), where
