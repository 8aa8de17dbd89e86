"""The index file: a header and blocks of rows, memory-mapped, that grows without being rewritten.

    header     4,096 bytes: magic, number of rows, length of the JSON after it, JSON
    block      rows' metadata [r, 1024 bytes of JSON], digests of name, model and address [r, 3],
               signs [r, dim / 64 words], vectors [r, dim]
    block      ...

All rows of a block have their place from the start (the file is sparse: rows not yet there take no
room on the disk), so that the signs of many rows lie side by side and can be scanned at once. The
number of rows in the header is written last: a reader never sees a row that is not whole, and what
a writer that died has left behind it is overwritten by the next.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically

__all__ = ["Index", "IndexHeader", "building"]

MAGIC = b"depara-index-1\0\0"
HEADER, META = 4096, 1024
FIELDS = ("meta", "keys", "signs", "vectors")
KEYS = ("name", "model", "address")
COUNT_AT = len(MAGIC)
BLOCK_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexHeader:
    """What an index is of; two graphs belong into one index only if all of this is theirs.

    Attributes:
      dim: entries a row.
      length: entries of the graphs' vectors; equal to dim in an exact index.
      exact: whether rows are the vectors themselves.
      seed: of the projection.
      recipe: the method, as `Recipe.to_dict`.
      probe: fingerprint of the probe images.
      images: how many.
      code: version of the code that made the graphs.
      command: that made the index.
      versions: of the packages.
    """

    dim: int
    length: int
    exact: bool
    seed: int
    recipe: dict[str, Any]
    probe: str
    images: int
    code: str
    command: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)


class Index:
    """An index file, read in place.

    Args:
      path: the file.

    Raises:
      DeparaError: it is missing, damaged or something else.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        try:
            with open(self.path, "rb") as file:
                head = file.read(HEADER)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DeparaError(f"index {self.path}: cannot be read ({error.strerror})") from error
        if len(head) < HEADER or not head.startswith(MAGIC):
            raise DeparaError(f"index {self.path}: not an index; `depara index build` makes one")
        self.count, length = struct.unpack_from("<QQ", head, COUNT_AT)
        try:
            fields = json.loads(head[COUNT_AT + 16 : COUNT_AT + 16 + length])
            self.header = IndexHeader(**fields)
        except (ValueError, TypeError) as error:
            raise DeparaError(f"index {self.path}: its header is damaged; build it anew") from error
        self._dtype = _block(self.header.dim)
        self.block_rows: int = self._dtype["meta"].shape[0]
        self.blocks = -(-self.count // self.block_rows)
        if size < HEADER + self.blocks * self._dtype.itemsize:
            raise DeparaError(
                f"index {self.path}: {size} bytes are too few for its {self.count} rows (a copy "
                "that was cut off?); build it anew"
            )
        self._map = None
        if self.count:
            mapped = np.memmap(self.path, self._dtype, "r", HEADER, (self.blocks,))
            self._map = np.asarray(mapped)  # slicing a plain array is ten times faster

    def __len__(self) -> int:
        return self.count

    def block(self, number: int) -> Any:
        """One block: meta, keys, signs and vectors of the rows that are there."""
        assert self._map is not None
        rows = min(self.block_rows, self.count - number * self.block_rows)
        part = self._map[number]
        return {name: part[name][:rows] for name in FIELDS}

    def meta(self, row: int) -> dict[str, Any]:
        """Name, model, layer and address of a row.

        Raises:
          DeparaError: the row's metadata is damaged.
        """
        number, place = divmod(row, self.block_rows)
        try:
            return json.loads(bytes(self.block(number)["meta"][place]).rstrip(b"\0"))
        except ValueError as error:
            raise DeparaError(f"index {self.path}: row {row} is damaged; build it anew") from error

    def rows_with(self, field: str, value: str) -> list[int]:
        """Rows of a name, a model or an address, without reading the others' metadata."""
        if self._map is None:
            return []
        words = self._map["keys"][:, :, KEYS.index(field)].reshape(-1)[: self.count]
        rows = np.flatnonzero(words == _word(value)).tolist()
        return [row for row in rows if self.meta(row)[field] == value]

    def vectors(self, rows: Sequence[int] | np.ndarray) -> Float[np.ndarray, "r d"]:
        """Some rows' vectors."""
        assert self._map is not None
        picked = np.asarray(rows, np.intp)
        return self._map["vectors"][picked // self.block_rows, picked % self.block_rows]

    def names(self) -> list[str]:
        """All rows' names, in the order in which they were added."""
        return [self.meta(row)["name"] for row in range(self.count)]

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: IndexHeader) -> "Index":
        """Makes an index without rows, at once or not at all; an old file is replaced.

        Raises:
          DeparaError: it cannot be written.
        """
        text = json.dumps(dataclasses.asdict(header)).encode()
        if len(text) > HEADER - COUNT_AT - 16:  # a long command line
            return cls.create(path, dataclasses.replace(header, command=""))
        head = (MAGIC + struct.pack("<QQ", 0, len(text)) + text).ljust(HEADER, b"\0")
        write_atomically(path, lambda file: file.write(head))
        return cls(path)

    def append(self, metas: Sequence[dict[str, Any]], vectors: Float[np.ndarray, "r d"]) -> "Index":
        """Adds rows; what is there is not touched. One writer at a time; a second one waits.

        Returns:
          The index with the new rows.

        Raises:
          DeparaError: metadata of more than 1,024 bytes, or the file cannot be written.
        """
        encoded = [json.dumps(meta, sort_keys=True).encode() for meta in metas]
        for meta, text in zip(metas, encoded, strict=True):
            if len(text) > META:
                raise DeparaError(
                    f"index {self.path}: the name of {str(meta['name'])[:60]!r}... and its layer "
                    f"are too long for a row ({len(text)} bytes of {META})"
                )
        try:
            with open(self.path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(COUNT_AT)
                first = struct.unpack("<Q", file.read(8))[0]  # another writer may have added some
                self._write_rows(file, first, metas, encoded, np.asarray(vectors, np.float32))
                file.flush()
                os.fsync(file.fileno())
                file.seek(COUNT_AT)
                file.write(struct.pack("<Q", first + len(metas)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeparaError(
                f"index {self.path}: cannot be written ({error.strerror}); it is as it was before"
            ) from error
        return Index(self.path)

    def _write_rows(
        self, file: Any, first: int, metas: Sequence[dict[str, Any]], encoded: Sequence[bytes],
        vectors: np.ndarray,
    ) -> None:  # fmt: skip
        last = -(-(first + len(metas)) // self.block_rows)
        end = HEADER + last * self._dtype.itemsize
        if os.fstat(file.fileno()).st_size < end:
            file.truncate(end)
        fields: Any = self._dtype.fields
        for i, (meta, text, vector) in enumerate(zip(metas, encoded, vectors, strict=True)):
            number, place = divmod(first + i, self.block_rows)
            start = HEADER + number * self._dtype.itemsize
            keys = np.array([_word(meta[field]) for field in KEYS], "<u8")
            content = {
                "meta": text.ljust(META, b"\0"),
                "keys": keys.tobytes(),
                "signs": sign_bits(vector).tobytes(),
                "vectors": vector.astype("<f4").tobytes(),
            }
            for name, data in content.items():
                file.seek(start + fields[name][1] + place * len(data))
                file.write(data)


@contextlib.contextmanager
def building(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name beside a file to build it under; it takes the file's place once it is whole."""
    temporary = f"{os.fspath(path)}.building"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def sign_bits(vector: Float[np.ndarray, " d"]) -> np.ndarray:
    """The signs of a vector's entries as 64-bit words."""
    bits = np.packbits(vector > 0)
    return np.pad(bits, (0, -len(bits) % 8)).view("<u8")


def _block(dim: int) -> np.dtype:
    words = -(-dim // 64)
    rows = max(1, min(256, BLOCK_BYTES // (META + 24 + 8 * words + 4 * dim)))
    return np.dtype(
        [
            ("meta", f"V{META}", (rows,)),
            ("keys", "<u8", (rows, len(KEYS))),
            ("signs", "<u8", (rows, words)),
            ("vectors", "<f4", (rows, dim)),
        ]
    )
