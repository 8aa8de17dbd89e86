"""Which files of this package stored numbers depend on: what their makers import, to the end."""

import ast
import functools
from pathlib import Path

__all__ = ["PACKAGE", "imported_files", "numerical_source"]

PACKAGE = Path(__file__).resolve().parent.parent
# What computes artefacts, and what makes arrays of results. They, and all else that only plans,
# launches and stores, may change freely.
_MAKERS = ("sweep/items.py", "store/values.py")
_WITHOUT_NUMBERS = {"sweep", "store"}


@functools.cache
def numerical_source() -> tuple[Path, ...]:
    """The files that features, graphs and vectors depend on, sorted.

    The ports of all architectures are among them: a sweep meets them by name, when it runs.
    """
    found, waiting = set(), [PACKAGE / maker for maker in _MAKERS]
    while waiting:
        ours = {p for p in imported_files(waiting.pop()) if _folder(p) not in _WITHOUT_NUMBERS}
        waiting += ours - found
        found |= ours
    return tuple(sorted(found))


def imported_files(path: Path) -> set[Path]:
    """This package's files that one imports, at its top, inside functions or for types alone.

    A name that a package's `__init__.py` only passes on stands for the file that it comes from.
    """
    return {_origin(module, name) for _, module, name in _imports(path)}


@functools.cache
def _imports(path: Path) -> frozenset[tuple[str, str, str]]:
    """(name as the file knows it, module of this package, name there) of each import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {(name, name, "") for name in names if _is_ours(name)}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # only stubs of packages import relatively, and from beside them
                inside = [PACKAGE.name, *path.parent.relative_to(PACKAGE).parts]
                module = ".".join([*inside, *module.split(".")]).rstrip(".")
            if _is_ours(module):
                found |= {(a.asname or a.name, module, a.name) for a in node.names}
    return frozenset(found)


def _origin(module: str, name: str) -> Path:
    """The file that defines a name of a module, or that is the module `module.name`."""
    base = PACKAGE.parent.joinpath(*module.split("."))
    for path in (base / f"{name}.py", base / name / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    for package in filter(Path.is_file, (base / "__init__.pyi", base / "__init__.py")):
        for known, *origin in _imports(package):
            if known == name:
                return _origin(*origin)
    return base / "__init__.py"


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE.name


def _folder(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]
