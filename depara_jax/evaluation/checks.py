"""The checks behind `GroundTruth`: every fault named, with the row it is in."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = [
    "check_known",
    "check_row",
    "check_targets",
    "check_unique",
    "default_names",
    "describe",
    "entry_id",
]

# More candidates than anybody has; their names would fill the memory.
MOST_NAMES = 1_000_000


def check_unique(kind: str, names: Sequence[str]) -> None:
    """Raises `DeparaError` if a name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DeparaError(f"ground truth: {kind} {twice[0]!r} occurs twice; names must be unique")


def check_known(kind: str, names: Sequence[str], known: Sequence[str], *, hint: str = "") -> None:
    """Raises `UnknownNameError` for the first name that is not known."""
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known, hint=hint)


def check_targets(targets: Sequence[str], candidates: Sequence[str]) -> None:
    """Raises `UnknownNameError` if a target is not a candidate."""
    check_known("target", targets, candidates, hint="a target must be in the matrix")


def check_row(row: np.ndarray, target: str, candidates: Sequence[str]) -> None:
    """Raises `DeparaError` unless `row` ranks sources of `target`: in range, once each, -1 last."""
    known = row[row >= 0]
    if (row < -1).any() or (known >= len(candidates)).any():
        bad = [int(i) for i in row if i < -1 or i >= len(candidates)]
        raise DeparaError(
            f"ground truth: the row of {target!r} has ids {bad}, expected 0..{len(candidates) - 1}"
        )
    if (row[: len(known)] < 0).any():
        raise DeparaError(f"ground truth: the row of {target!r} has a gap (-1) before its end")
    ids, counts = np.unique(known, return_counts=True)
    if (counts > 1).any():
        twice = [candidates[int(i)] for i in ids[counts > 1]]
        raise DeparaError(f"ground truth: the row of {target!r} repeats {describe(twice)}")
    if candidates.index(target) in known:
        raise DeparaError(
            f"ground truth: the row of {target!r} ranks the target itself; it belongs in the first "
            "column alone"
        )


def entry_id(entry: Any, where: dict[str, int]) -> int:
    """Index of a row's entry: an id in range, or a name."""
    if isinstance(entry, str) and entry in where:
        return where[entry]
    try:
        number = int(entry)
    except (TypeError, ValueError, OverflowError):
        raise UnknownNameError("candidate in the ground truth", str(entry), where) from None
    if number != entry and str(number) != str(entry).strip():
        raise DeparaError(f"ground truth: id {entry!r} is not a whole number")
    if not 0 <= number < len(where):
        raise DeparaError(
            f"ground truth: id {str(number)[:20]} is outside 0..{len(where) - 1}, the "
            f"{len(where)} candidates"
        )
    return number


def default_names(rows: Sequence[Sequence[Any]] | np.ndarray) -> list[str]:
    """Names "0", "1", ... up to the largest id."""
    try:
        largest = max(int(entry) for row in rows for entry in row)
    except (TypeError, ValueError, OverflowError):
        raise DeparaError(
            "ground truth: rows of names need the list of candidates, in the order of the "
            "similarity matrix"
        ) from None
    if largest >= MOST_NAMES:
        raise DeparaError(f"ground truth: id {str(largest)[:20]} is too large for a candidate")
    return [str(i) for i in range(largest + 1)]


def describe(names: Sequence[str]) -> str:
    """A short list for a message."""
    if not names:
        return "none"
    return ", ".join(map(repr, names[:6])) + (" ..." if len(names) > 6 else "")
