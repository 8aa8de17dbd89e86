"""A store on disk, or wherever etils.epath reaches: whole artefacts or none, verified when read.

    STORE/store.json                          format of the store
    STORE/objects/ab/ab12.../artefact.json    the record: key, digests, origin; there last of all
    STORE/objects/ab/ab12.../data-UUID/       the arrays, as an orbax checkpoint

An artefact exists from the moment that its record does, and the record names its own data. A writer
that dies leaves data without a record, which no reader looks at and `gc` removes; two writers of
one artefact have a folder of data each.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.store.arrays import content_digest, describe, read_arrays, write_arrays
from depara_jax.store.keys import ArtefactKey, canonical
from depara_jax.store.locks import Locks

__all__ = ["Artefact", "DamagedArtefactError", "Store", "StoreError"]

FORMAT = 1
RECORD = "artefact.json"


class StoreError(DeparaError):
    """The store itself cannot be used: not there, read-only, full."""


class DamagedArtefactError(DeparaError):
    """An artefact whose bytes are not those that were written."""


class Artefact(NamedTuple):
    """A verified artefact.

    Attributes:
      arrays: by name.
      record: its key, digests, info and provenance.
    """

    arrays: dict[str, np.ndarray]
    record: dict[str, Any]


class Store:
    """A folder of artefacts.

    Args:
      root: a local folder, or what `etils.epath` takes (gs://bucket/folder).
      create: make the store if it is not there.

    Raises:
      StoreError: there is no store and none is to be made, or the place is something else.
    """

    def __init__(self, root: str | os.PathLike[str], *, create: bool = False):
        from etils import epath

        self.is_local = "://" not in os.fspath(root)
        self.root = epath.Path(os.path.abspath(root) if self.is_local else os.fspath(root))
        with self.explained():
            self._open(create)
        self.locks = Locks(os.fspath(self.root / ".lock") if self.is_local else None)

    def has(self, key: ArtefactKey) -> bool:
        """Whether the artefact is there; its bytes are not looked at."""
        return (self._folder(key.address) / RECORD).exists()

    def get(self, key: ArtefactKey) -> Artefact | None:
        """An artefact with every byte verified; None if it is not there.

        Raises:
          DamagedArtefactError: it is there but its bytes have changed.
        """
        return self.read(key.address)

    def read(self, address: str) -> Artefact | None:
        """As `get`, by address."""
        record = self.record(address)
        if record is None:
            return None
        try:
            arrays = read_arrays(self._folder(address) / record["data"], record["arrays"])
        except Exception as error:  # noqa: BLE001 - orbax and tensorstore raise what they like
            raise self._damaged(address, f"unreadable data ({type(error).__name__})") from error
        found = describe(arrays)
        if found != record["arrays"] or content_digest(found) != record["content"]:
            raise self._damaged(address, "its arrays do not have their checksum")
        return Artefact(arrays, record)

    def record(self, address: str) -> dict[str, Any] | None:
        """The record of an artefact, verified without its arrays; None if there is none.

        Raises:
          DamagedArtefactError: it is not what was written, or lies under another's address.
        """
        try:
            text = (self._folder(address) / RECORD).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            record = json.loads(text)
            checksum = record.pop("checksum")
            key = ArtefactKey(**record["key"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(address, "its record is not readable") from error
        if checksum != _checksum(record):
            raise self._damaged(address, "its record does not have its checksum")
        if key.address != address:
            raise self._damaged(address, "it belongs to another address")
        return record

    def put(
        self,
        key: ArtefactKey,
        arrays: Mapping[str, np.ndarray],
        *,
        info: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> str:
        """Stores an artefact whole or not at all, and returns its content digest.

        If the artefact is there already, as another writer may have made it meanwhile, it stays.

        Args:
          key: what it is of.
          arrays: by name.
          info: names, for people and for later stages.
          provenance: see `depara_jax.store.provenance`.

        Raises:
          StoreError: the store cannot be written to.
        """
        described = describe({name: np.asarray(array) for name, array in arrays.items()})
        content = content_digest(described)
        folder, data = self._folder(key.address), f"data-{uuid.uuid4().hex}"
        record = {
            "format": FORMAT,
            "key": dataclasses.asdict(key),
            "arrays": described,
            "content": content,
            "data": data,
            "info": dict(info),
            "provenance": dict(provenance),
        }
        record["checksum"] = _checksum(record)
        with self.explained(), self.locks.held(f"artefact {key.address}"):
            present = self._present(key.address)
            if present is not None:
                return present
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_arrays(folder / data, arrays)
                self._write(folder / RECORD, json.dumps(record, indent=1, sort_keys=True))
            except BaseException:
                _remove(folder / data)
                raise
        return content

    def discard(self, address: str) -> None:
        """Removes an artefact, its record first."""
        folder = self._folder(address)
        with self.explained(), self.locks.held(f"artefact {address}"):
            (folder / RECORD).unlink(missing_ok=True)
            for data in list(folder.iterdir()) if folder.exists() else []:
                _remove(data)

    def addresses(self) -> Iterator[str]:
        """Addresses of all artefacts, sorted; damaged ones among them."""
        for folder in self.folders():
            if (folder / RECORD).exists():
                yield folder.name

    def folders(self) -> Iterator[Any]:
        """Folders of artefacts, finished or not, in the order of their addresses."""
        top = self.root / "objects"
        for shelf in sorted(top.iterdir(), key=lambda p: p.name) if top.exists() else []:
            yield from sorted(shelf.iterdir(), key=lambda p: p.name)

    def check_writable(self) -> None:
        """Refuses a store that cannot be written to, before the work.

        Raises:
          StoreError: it is read-only, or full.
        """
        with self.explained():
            probe = self.root / f".depara-{uuid.uuid4().hex}.tmp"
            probe.write_text("x")
            probe.unlink()

    def write_result(self, name: str, value: Any) -> str:
        """Writes a result file of the store as JSON, at once or not at all; returns its path."""
        path = self.root / name
        with self.explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
        return os.fspath(path)

    def _open(self, create: bool) -> None:
        marker = self.root / "store.json"
        if not marker.exists():
            # Another process may be making the same store at this moment.
            ours = ("objects", "store.json", ".lock", ".depara-")
            names = [path.name for path in self.root.iterdir()] if self.root.exists() else []
            there = any(not name.startswith(ours) for name in names)
            if not create or there:
                what = "a folder with other things in it" if there else "nothing there"
                raise StoreError(
                    f"store {self.root}: {what}, expected a store; `depara sweep` makes one in a "
                    "new or empty folder"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            self._write(marker, json.dumps({"format": FORMAT}) + "\n")
        try:
            found = json.loads(marker.read_text())["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"store {self.root}: store.json in it is damaged") from error
        if found != FORMAT:
            raise StoreError(
                f"store {self.root}: its format is {found}, expected {FORMAT}; it was made by "
                "another version of depara_jax"
            )

    def _folder(self, address: str) -> Any:
        return self.root / "objects" / address[:2] / address

    def _present(self, address: str) -> str | None:
        """Content digest of a sound artefact that another writer has finished meanwhile."""
        with contextlib.suppress(DamagedArtefactError):
            record = self.record(address)
            return record["content"] if record else None
        return None

    def _write(self, path: Any, text: str) -> None:
        if self.is_local:
            write_atomically(os.fspath(path), lambda file: file.write(text.encode()))
        else:
            path.write_text(text)  # an object appears in its bucket whole

    def _damaged(self, address: str, why: str) -> DamagedArtefactError:
        return DamagedArtefactError(f"store {self.root}: artefact {address[:16]} is damaged: {why}")

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the system says while something is written into one line."""
        try:
            yield
        except StoreError:
            raise
        except (OSError, DeparaError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            full = "No space left" in reason or "RESOURCE_EXHAUSTED" in reason
            what = "its disk is full" if full else reason[:300]
            raise StoreError(
                f"store {self.root}: cannot write there ({what}); nothing half-written is in use, "
                "and the same command goes on where it stopped once that is mended"
            ) from error


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def _remove(path: Any) -> None:
    """Removes a file or a folder; what orbax calls by another name until it is whole, too."""
    with contextlib.suppress(OSError):
        for part in [path, *path.parent.glob(f"{path.name}.*")]:
            if part.is_dir():
                part.rmtree()
            else:
                part.unlink(missing_ok=True)
