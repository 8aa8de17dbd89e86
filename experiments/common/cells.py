"""Cells: the parts of a run that cost time, each a file that is written when it is complete.

A folder is of one run, which `run.json` in it describes; another run's folder, or one that holds
something else, is refused. A cell carries a digest of the run and of what else it depends on: one
with another digest counts as not there and is computed again. So a run that was stopped goes on
with the first cell that is missing, and no cell of other settings is ever read.

    cells = Cells(output, "my_study", {"images": probe.fingerprint})
    record = cells.get("scores/mnv2.json", lambda: {"value": slow()}, train=TrainConfig())
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import load_arrays, write_atomically
from depara_jax.training import RunFolder
from depara_jax.training.config import digest

FORMAT = 1


class Cells:
    """The folder of one run and the cells in it.

    Attributes:
      folder: where they are; other files of the run may stand beside them.
    """

    def __init__(self, folder: Path, study: str, run: Mapping[str, Any] | None = None):
        """Opens or makes the folder.

        Args:
          folder: of this run alone.
          study: whose run it is.
          run: what every cell depends on: plain values and dataclasses of them.

        Raises:
          DeparaError: the folder holds another run, or something else.
        """
        self.folder = folder
        self._run = {"cells": FORMAT, "study": study, "run": _plain(run or {})}
        _make_folder(folder)
        record = folder / "run.json"
        if record.is_file():
            made = _read_json(record)
            if (made.get("cells"), made.get("study")) != (FORMAT, study):
                raise DeparaError(
                    f"{folder} holds a run of another study or of an earlier format; name a new or "
                    "an empty folder"
                )
        RunFolder(folder, self._run)

    def get(
        self, name: str, make: Callable[[], Mapping[str, Any]], **depends: Any
    ) -> dict[str, Any]:
        """A cell's content, made and stored first where it is not there yet.

        Args:
          name: its file below the folder: .json for plain values, .npz for arrays.
          make: gives the content by name. Files that belong to the cell are best written in here,
            so that the cell itself comes last.
          depends: what the cell depends on beside the run: plain values and dataclasses of them.

        Raises:
          DeparaError: the file is damaged or cannot be written.
        """
        found = self.read(name, **depends)
        if found is None:
            self.write(name, make(), **depends)
            found = self.read(name, **depends)
            assert found is not None
        return found

    def read(self, name: str, **depends: Any) -> dict[str, Any] | None:
        """A cell's content; None where it is not there, or is of other settings.

        Raises:
          DeparaError: the file is damaged.
        """
        path, wanted = self.path(name), self._digest(name, depends)
        if not path.is_file():
            return None
        content: Any = load_arrays(path) if path.suffix == ".npz" else _read_json(path)
        made = isinstance(content, dict) and content.pop("digest", None)
        return content if str(made) == wanted else None

    def write(self, name: str, content: Mapping[str, Any], **depends: Any) -> None:
        """Stores a cell, whole or not at all.

        Raises:
          DeparaError: it cannot be written.
        """
        path = self.path(name)
        _make_folder(path.parent)
        marked: dict[str, Any] = {"digest": self._digest(name, depends), **content}
        if path.suffix == ".npz":
            write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **marked))
        else:
            write_json(path, marked)

    def path(self, name: str) -> Path:
        """Where a cell is stored, and what belongs to it."""
        return self.folder / name

    def _digest(self, name: str, depends: Mapping[str, Any]) -> str:
        return digest({"run": self._run, "name": name, "depends": _plain(depends)})


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all; its folder is made where it is missing."""
    _make_folder(path.parent)
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Any, *, compact: bool = False) -> None:
    """Writes plain values, whole or not at all; NaN is refused."""
    form: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 1}
    write_text(path, json.dumps(content, allow_nan=False, **form) + "\n")


@contextlib.contextmanager
def readable(name: str, hint: str) -> Iterator[None]:
    """Turns what reading plain values may raise into one line that ends with the hint."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DeparaError(f"{name} cannot be read ({reason}); {hint}") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeparaError(
            f"folder {path} cannot be made ({error.strerror}); name another"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeparaError(f"{path} is not JSON ({error}); delete it to compute it anew") from error
    return content if isinstance(content, dict) else {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back."""
    return json.loads(json.dumps(values, default=_fields, allow_nan=False))


def _fields(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a cell cannot depend on {value!r}: expected plain values")
