"""TensorFlow checkpoints without TensorFlow: the V2 "tensor bundle" that `tf.train.Saver` writes.

A bundle PREFIX is two kinds of files. `PREFIX.index` is a sorted string table (LevelDB's format):
blocks of prefix-compressed (key, value) pairs, an index block that says where they lie, a footer
with a magic number. Its key "" holds a BundleHeaderProto, every other key is a variable's name and
holds a BundleEntryProto: dtype, shape, and where its bytes are in `PREFIX.data-00000-of-0000N`. The
formats are documented in tensorflow/core/lib/io/format.h, core/util/tensor_bundle and
core/protobuf/tensor_bundle.proto.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

from depara_jax.errors import DeparaError

__all__ = ["is_tf_checkpoint", "read_tf_checkpoint"]

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # two block handles padded to 40 bytes, then the magic number
# enum DataType of tensorflow/core/framework/types.proto; 7, strings, is never a weight.
_DTYPES = {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 9: np.int64,
    10: np.bool_, 14: ml_dtypes.bfloat16, 17: np.uint16, 19: np.float16, 22: np.uint32,
    23: np.uint64,
}  # fmt: skip
_STRING = 7


@dataclasses.dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


def is_tf_checkpoint(path: str | os.PathLike) -> bool:
    """Whether `path` is the prefix of a V2 checkpoint, or one of its files."""
    return _index_file(path).is_file()


def read_tf_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads every variable of a V2 checkpoint.

    The arrays are read-only views of the memory-mapped files, so variables that nobody looks at
    (optimizer slots) cost nothing. String tensors (the object graph of TensorFlow 2) are left out.

    Args:
      path: the prefix, such as "model.permanent-ckpt", or the path of its `.index` file or of one
        of its `.data-*` files.

    Returns:
      {variable name: array}, sorted by name.

    Raises:
      DeparaError: a file is missing, cut short, corrupt (the index carries checksums) or of another
        format; a variable is partitioned or of a dtype without a numpy equivalent.
    """
    index = _index_file(path)
    if not index.is_file():
        raise DeparaError(
            f"no TensorFlow checkpoint at {str(path)!r}: there is no {index.name!r}. Give the "
            "prefix of the files PREFIX.index and PREFIX.data-*; a V1 checkpoint, one file, has to "
            "be saved again by TensorFlow 1.x as V2"
        )
    try:
        pairs = dict(_table(index.read_bytes()))
        shards, big_endian = _header(pairs.pop(b""))
        entries = {key.decode(): _entry(value) for key, value in pairs.items() if key[:1] != b"\0"}
    except (KeyError, IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise DeparaError(
            f"{str(index)!r} is not the index of a TensorFlow V2 checkpoint, or it is damaged "
            f"({error}); fetch it again"
        ) from error
    if big_endian:
        raise DeparaError(f"{str(index)!r} was written on a big-endian machine; save it again")
    prefix = str(index)[: -len(".index")]
    files = [_map(Path(f"{prefix}.data-{k:05d}-of-{shards:05d}")) for k in range(shards)]
    return {
        name: _view(files, entry, name=name, path=prefix)
        for name, entry in entries.items()
        if entry.dtype != _STRING
    }


def _index_file(path: str | os.PathLike) -> Path:
    text = os.fspath(path)
    if text.endswith(".index"):
        return Path(text)
    prefix, dot, tail = text.rpartition(".data-")
    return Path((prefix if dot and "-of-" in tail else text) + ".index")


def _map(path: Path) -> np.ndarray:
    if not path.is_file():
        raise DeparaError(f"{str(path)!r} is missing; it belongs to the checkpoint's index")
    if path.stat().st_size == 0:  # which cannot be mapped
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, mode="r")


def _view(files: list[np.ndarray], entry: _Entry, *, name: str, path: str) -> np.ndarray:
    if entry.sliced:
        raise DeparaError(
            f"{path!r}: variable {name!r} is stored in partitions, which this reader does not join"
        )
    if entry.dtype not in _DTYPES:
        raise DeparaError(
            f"{path!r}: variable {name!r} has TensorFlow dtype {entry.dtype}, expected one of "
            f"{sorted(_DTYPES)}"
        )
    dtype = np.dtype(_DTYPES[entry.dtype])
    expected = int(np.prod(entry.shape, dtype=np.int64)) * dtype.itemsize
    # The whole map is a plain array, so that slices are views without the memmap class.
    data = np.asarray(files[entry.shard]) if entry.shard < len(files) else np.zeros(0, np.uint8)
    part = data[entry.offset : entry.offset + entry.size]
    if entry.size != expected or len(part) != expected:
        raise DeparaError(
            f"{path!r}: variable {name!r} {entry.shape} needs {expected} bytes, the data file "
            f"holds {len(part)}; it is cut short, fetch it again"
        )
    return part.view(dtype).reshape(entry.shape)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All (key, value) pairs of a sorted string table, in order."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("no magic number at its end")
    _, at = _handle(data, len(data) - _FOOTER)  # the metaindex block is empty
    (offset, size), _ = _handle(data, at)
    for _, value in _pairs(_block(data, offset, size)):
        (offset, size), _ = _handle(value, 0)
        yield from _pairs(_block(data, offset, size))


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> bytes:
    """One block's contents; after them come a compression byte and a masked CRC-32C of both."""
    if offset + size + 5 > len(data):
        raise ValueError("a block lies behind its end")
    kind, crc = struct.unpack_from("<BI", data, offset + size)
    if kind:
        raise ValueError("its blocks are compressed, as TensorFlow 1.1 and older wrote them")
    found = _crc32c(data[offset : offset + size + 1])
    if (((found >> 15) | (found << 17)) + 0xA282EAD8) & 0xFFFFFFFF != crc:
        raise ValueError("a block's checksum is wrong")
    return data[offset : offset + size]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block: each shares a prefix of its key with the entry before."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + length]
        at += rest + length


def _header(message: bytes) -> tuple[int, bool]:
    """BundleHeaderProto: number of data files, and whether they are big-endian."""
    numbers, _ = _fields(message)
    return numbers[1], bool(numbers.get(2, 0))


def _entry(message: bytes) -> _Entry:
    """BundleEntryProto; a field that is absent has its default, 0."""
    numbers, parts = _fields(message)
    dims = [_fields(dim)[0] for tag, dim in _fields(dict(parts).get(2, b""))[1] if tag == 2]
    dtype, shard, offset, size = (numbers.get(tag, 0) for tag in (1, 3, 4, 5))
    shape = tuple(dim.get(1, 0) for dim in dims)
    return _Entry(dtype, shape, shard, offset, size, sliced=any(tag == 7 for tag, _ in parts))


def _fields(message: bytes) -> tuple[dict[int, int], list[tuple[int, bytes]]]:
    """A protocol buffer message: {field: number} and [(field, bytes)], which may repeat."""
    numbers: dict[int, int] = {}
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            numbers[field], at = _varint(message, at)
        elif kind == 2:
            size, at = _varint(message, at)
            parts.append((field, message[at : at + size]))
            at += size
        elif kind == 5:
            numbers[field] = struct.unpack_from("<I", message, at)[0]
            at += 4
        else:
            raise ValueError(f"unknown wire type {kind}")
    return numbers, parts


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A little-endian base-128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli, reflected
        table.append(value)
    return table


_CRC_TABLE = _crc32c_table()


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
