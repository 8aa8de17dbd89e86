"""Plain numbers from .npy, .npz, .json and .csv files; whatever is wrong names the file."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.files import load_arrays

__all__ = [
    "choose_key",
    "name_list",
    "numbers",
    "read_array",
    "read_csv",
    "read_json",
    "split_key",
]

SUFFIXES = (".npy", ".npz", ".json", ".csv")


def split_key(location: str | Path) -> tuple[Path, str | None]:
    """Splits `FILE[:key]`; a file whose own name has the colon wins.

    Raises:
      DeparaError: no such file, or a suffix that is not .npy, .npz, .json or .csv.
    """
    path, key = Path(location), None
    if not path.is_file() and ":" in str(location):
        stem, _, key = str(location).rpartition(":")
        path = Path(stem)
    if not path.is_file():
        raise DeparaError(f"{str(location)!r}: no such file (expected FILE or FILE.npz:key)")
    if path.suffix not in SUFFIXES:
        raise DeparaError(f"{str(path)!r}: expected a file {' '.join(SUFFIXES)}")
    if key is not None and path.suffix != ".npz":
        raise DeparaError(f"{str(location)!r}: only an .npz holds several arrays; omit ':{key}'")
    return path, key


def choose_key(path: Path, key: str | None, arrays: dict[str, np.ndarray]) -> str:
    """The array asked for, or the only one that is not a list of names."""
    if key is not None:
        if key not in arrays:
            raise UnknownNameError(f"array in {str(path)!r}", key, arrays)
        return key
    numeric = [name for name, value in arrays.items() if value.dtype.kind != "U"]
    if len(numeric) != 1:
        raise DeparaError(
            f"{str(path)!r} holds {len(numeric)} arrays of numbers "
            f"({', '.join(numeric) or 'none'}); say which: {path}:KEY"
        )
    return numeric[0]


def numbers(path: Path, values: Any) -> np.ndarray:
    """A float matrix of nested lists; None is NaN."""
    try:
        rows = [[np.nan if cell is None else float(cell) for cell in row] for row in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise DeparaError(f"{str(path)!r}: expected rows of numbers: {error}") from error
    if len({len(row) for row in rows}) != 1:
        raise DeparaError(f"{str(path)!r}: expected rows of one length, at least one row")
    return np.array(rows, np.float64)


def read_array(path: Path, key: str | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The array of a .npy or .npz file, without pickles, and what stands beside it."""
    loaded = load_arrays(path)
    if isinstance(loaded, dict):
        if path.suffix == ".npy":
            raise DeparaError(f"{str(path)!r}: holds an archive of arrays; name it .npz")
        return loaded[choose_key(path, key, loaded)], loaded
    if path.suffix == ".npz":
        raise DeparaError(f"{str(path)!r}: holds a single array; name it .npy")
    return loaded, {}


def read_json(path: Path) -> Any:
    """Parsed JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    # ValueError: not JSON, not UTF-8, or a number of thousands of digits.
    except (OSError, ValueError, RecursionError) as error:
        raise DeparaError(f"{str(path)!r}: not readable JSON: {error}") from error


def read_csv(path: Path) -> list[list[str]]:
    """Non-empty rows of a CSV file."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeparaError(f"{str(path)!r}: not readable as CSV text: {error}") from error
    if not rows:
        raise DeparaError(f"{str(path)!r}: the file is empty; expected rows")
    return rows


def name_list(path: Path, content: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    """The names under a key of a JSON object, None if there are none."""
    names = content.get(key)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(n, str | int | float) for n in names):
        raise DeparaError(f"{str(path)!r}: {key!r} must be a list of names")
    return tuple(map(str, names))
