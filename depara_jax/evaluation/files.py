"""Similarity matrices and ground truths in files: .npy, .npz, .json and .csv."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.evaluation.ground_truth import GroundTruth
from depara_jax.evaluation.readers import (
    name_list,
    numbers,
    read_array,
    read_csv,
    read_json,
    split_key,
)

__all__ = ["NamedMatrix", "load_array", "load_ground_truth", "load_matrix"]

# Arrays of an .npz that name the rows and columns of the others.
ROW_NAMES = ("targets", "names")
COLUMN_NAMES = ("candidates", "sources", "names")


@dataclasses.dataclass(frozen=True, eq=False)
class NamedMatrix:
    """A matrix from a file; `rows` and `columns` are names, or None where the file has none.

    `provenance` is what a JSON file says of where the numbers come from, empty if it says nothing.
    """

    values: np.ndarray
    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def load_array(location: str | Path) -> np.ndarray:
    """The array at `FILE.npy` or `FILE.npz[:key]`.

    Raises:
      DeparaError: no such file or array, or one that is not plain numbers (pickles are refused).
    """
    path, key = split_key(location)
    if path.suffix not in (".npy", ".npz"):
        raise DeparaError(f"{str(path)!r}: expected an array in a .npy or .npz file")
    return read_array(path, key)[0]


def load_matrix(location: str | Path) -> NamedMatrix:
    """A matrix with its names from `FILE[:key]`.

    An .npz may name its rows and columns in `names` (both), `targets` (rows) and `candidates` or
    `sources` (columns). JSON: `{"names": [...], "similarity": [[...]]}`, or what
    `ModelSimilarity.to_dict` gives (`score`). CSV: a header whose first cell is anything and whose
    others name the columns, then rows that start with their name; an empty cell is NaN.

    Raises:
      DeparaError: no such file or key, unreadable content, or not two-dimensional numbers.
    """
    path, key = split_key(location)
    if path.suffix == ".json":
        matrix = json_matrix(path, read_json(path))
    elif path.suffix == ".csv":
        matrix = csv_matrix(path, read_csv(path))
    else:
        values, beside = read_array(path, key)
        matrix = NamedMatrix(values, *npz_names(beside, values.shape))
    if matrix.values.ndim != 2 or matrix.values.dtype.kind not in "fiub":
        raise DeparaError(
            f"{str(location)!r}: expected a matrix of numbers, got shape {matrix.values.shape}, "
            f"dtype {matrix.values.dtype}"
        )
    return matrix


def load_ground_truth(
    location: str | Path, *, candidates: Sequence[str] | None = None
) -> GroundTruth:
    """A ground truth from `FILE[:key]`.

    Rankings, whose first column names the target and whose others are its sources, best first: a
    .npy or .npz array of integer ids (the authors' `sort_gt.npy`); a .csv without header; a .json
    list of rows, or `{"candidates": [...], "rows": [...]}`. Affinities, higher is better: an .npz
    array of floats; a .csv whose header starts with "target"; a .json
    `{"targets": [...], "candidates": [...], "affinity": [[...]]}` with null for a missing pair.

    Args:
      location: the file, with `:key` for an array of an .npz.
      candidates: names of the similarity matrix's rows, used where the file has no names of its
        own.

    Raises:
      DeparaError: no such file or key, unreadable content, or an invalid truth (see `GroundTruth`).
    """
    path, key = split_key(location)
    if path.suffix == ".json":
        return json_truth(path, read_json(path), candidates)
    if path.suffix == ".csv":
        table = read_csv(path)
        if table[0][0].strip().lower() != "target":
            return GroundTruth.from_rows(table, candidates)
        matrix = csv_matrix(path, table)
    else:
        values, beside = read_array(path, key)
        if values.dtype.kind in "iu":
            known = next((beside[name] for name in COLUMN_NAMES if name in beside), None)
            names = candidates if known is None or known.ndim != 1 else known.tolist()
            return GroundTruth.from_rows(check_2d(path, values).tolist(), names)
        matrix = NamedMatrix(values, *npz_names(beside, values.shape))
    check_2d(path, matrix.values)
    return affinity_truth(path, matrix, candidates)


def affinity_truth(
    path: Path, matrix: NamedMatrix, candidates: Sequence[str] | None
) -> GroundTruth:
    """A truth from affinities; without names they must be square, row i the target i."""
    columns = matrix.columns or candidates
    if columns is None:
        columns = [str(j) for j in range(matrix.values.shape[1])]
    rows = matrix.rows
    if rows is None:
        if matrix.values.shape[0] != matrix.values.shape[1]:
            raise DeparaError(
                f"{str(path)!r}: affinities of shape {matrix.values.shape} without names; store "
                "'targets' and 'candidates' beside them, or a square matrix"
            )
        rows = columns
    return GroundTruth.from_affinity(matrix.values, rows, columns)


def json_truth(path: Path, content: Any, candidates: Sequence[str] | None) -> GroundTruth:
    """A truth from parsed JSON."""
    if isinstance(content, list):
        content = {"rows": content}
    if not isinstance(content, dict) or not ({"rows", "affinity"} & set(content)):
        raise DeparaError(
            f"{str(path)!r}: expected a list of rows, or an object with 'rows' or 'affinity'"
        )
    names = name_list(path, content, "candidates") or candidates
    if "rows" in content:
        rows = content["rows"]
        if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
            raise DeparaError(f"{str(path)!r}: 'rows' must be a list of non-empty lists")
        return GroundTruth.from_rows(rows, names)
    rows = name_list(path, content, "targets")
    columns = None if names is None else tuple(names)
    matrix = NamedMatrix(numbers(path, content["affinity"]), rows, columns)
    return affinity_truth(path, matrix, candidates)


def json_matrix(path: Path, content: Any) -> NamedMatrix:
    """A similarity matrix from parsed JSON."""
    key = "similarity" if "similarity" in content else "score"
    if not isinstance(content, dict) or key not in content:
        raise DeparaError(
            f"{str(path)!r}: expected an object with 'similarity' or 'score' (and 'names')"
        )
    names = name_list(path, content, "names")
    origin = content.get("provenance", {})
    if not isinstance(origin, dict):
        raise DeparaError(f"{str(path)!r}: 'provenance' must be an object")
    return NamedMatrix(numbers(path, content[key]), names, names, origin)


def csv_matrix(path: Path, table: list[list[str]]) -> NamedMatrix:
    """A matrix from a table with a header and row names."""
    header = tuple(cell.strip() for cell in table[0][1:])
    values = []
    for row in table[1:]:
        if len(row) != len(table[0]):
            raise DeparaError(
                f"{str(path)!r}: the row of {row[0]!r} has {len(row)} cells, the header "
                f"{len(table[0])}"
            )
        values.append([cell.strip() or None for cell in row[1:]])
    return NamedMatrix(numbers(path, values), tuple(row[0].strip() for row in table[1:]), header)


def npz_names(
    arrays: dict[str, np.ndarray], shape: tuple[int, ...]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Row and column names stored beside a matrix, where their number fits."""

    def find(keys: tuple[str, ...], length: int) -> tuple[str, ...] | None:
        for key in keys:
            if key in arrays and arrays[key].shape == (length,) and arrays[key].dtype.kind == "U":
                return tuple(arrays[key].tolist())
        return None

    if len(shape) != 2:
        return None, None
    return find(ROW_NAMES, shape[0]), find(COLUMN_NAMES, shape[1])


def check_2d(path: Path, values: np.ndarray) -> np.ndarray:
    """Returns `values` if it is a matrix of numbers."""
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DeparaError(
            f"{str(path)!r}: expected a matrix of ids or affinities, got shape {values.shape}, "
            f"dtype {values.dtype}"
        )
    return values
