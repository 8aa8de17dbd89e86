"""Probe sets: which images, in which order, as each model takes them."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from depara_jax.data.preprocess import preprocess
from depara_jax.data.sources import MIN_SIDE, Source, array_source, path_source
from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec

__all__ = ["Probe", "ProbeSpec", "load_probe"]

# Decoded probe sets up to this size stay in memory; larger ones are decoded again for each model.
_KEEP_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class ProbeSpec:
    """Which images a probe set takes; hashable.

    Attributes:
      source: "photographs", "tfds:NAME" or "tfds:NAME/CONFIG", or a path.
      split: split of the photographs or of the TFDS dataset, which may carry a slice.
      count: number of images; `None` takes all.
      seed: `None` takes the first `count` in the source's order (file names sorted); a number takes
        the first `count` by sha256("SEED:INDEX"), a shuffle that depends on no random generator.
    """

    source: str = "photographs"
    split: str | None = None
    count: int | None = None
    seed: int | None = None

    def __post_init__(self):
        if self.count is not None and self.count < 1:
            raise DeparaError(f"probe {self.source}: count must be at least 1, got {self.count}")
        named = self.source == "photographs" or self.source.startswith("tfds:")
        if self.split is not None and not named:
            raise DeparaError(f"probe {self.source}: a path has no split, got {self.split!r}")
        if self.source == "photographs" and self.split is None:
            object.__setattr__(self, "split", "probe")

    @classmethod
    def parse(cls, text: str | os.PathLike) -> "ProbeSpec":
        """Reads "photographs:probe[:200]", "tfds:cifar10:test[:200]" or a path.

        A slice [:N] becomes `count`; any other stays in the split, for TFDS to read. A folder of
        the name photographs is reached as "./photographs".
        """
        text = os.fspath(text)
        if not text:
            raise DeparaError("the probe is an empty text; expected 'photographs', for instance")
        if text != "photographs" and not text.startswith(("photographs:", "photographs[", "tfds:")):
            return cls(text)
        head, count = text, None
        match = re.fullmatch(r"(.*)\[:(\d+)\]", text)
        if match:
            head, count = match[1], int(match[2])
        prefix, _, rest = head.partition(":")
        if prefix == "photographs":
            return cls("photographs", rest or None, count)
        # A split begins with a letter, unlike the version in mnist:3.0.1, and may carry slices.
        match = re.fullmatch(r"(.+?)(?::([A-Za-z_][\w+-]*(?:\[.*)?))?", rest)
        if not match:
            raise DeparaError(f"probe {text!r} names no dataset; expected tfds:NAME:SPLIT")
        return cls(f"tfds:{match[1]}", match[2], count)

    def __str__(self) -> str:
        text = self.source + (f":{self.split}" if self.split else "")
        text += f"[:{self.count}]" if self.count is not None else ""
        return text + (f" (seed {self.seed})" if self.seed is not None else "")

    def open(self) -> Source:
        """The source, without sampling."""
        if self.source == "photographs":
            from depara_jax.data.tfds_source import photographs_source

            return photographs_source(self.split or "probe")
        if self.source.startswith("tfds:"):
            from depara_jax.data.tfds_source import tfds_source

            return tfds_source(self.source.removeprefix("tfds:"), self.split)
        return path_source(Path(self.source).expanduser())


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """An immutable, ordered set of images; large ones are decoded anew whenever they are read.

    Made by `load_probe` or `Probe.from_arrays`.

    Attributes:
      spec: where the images come from; of a subset, where it was drawn from.
      ids: one name an image.
      digests: sha256 of each image's size and RGB pixels.
    """

    spec: ProbeSpec
    ids: tuple[str, ...]
    digests: tuple[str, ...]
    _read: Callable[[int], np.ndarray] = dataclasses.field(repr=False)

    @classmethod
    def from_arrays(
        cls, images: np.ndarray | Sequence, ids: Sequence[str] | None = None
    ) -> "Probe":
        """A probe of images in memory; see `depara_jax.data.sources.array_source`.

        Args:
          images: [n, h, w, 3], [n, h, w, 1] or [n, h, w], uint8 or floats in [0, 1].
          ids: one distinct name an image.

        Raises:
          DeparaError: as there, or images smaller than 2 x 2 pixels.
        """
        source = array_source(images, ids, name="arrays")
        return _probe(source, range(source.size), ProbeSpec("arrays"))

    @property
    def fingerprint(self) -> str:
        """sha256 of the images' digests in their order; neither names nor file formats enter."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Probe({self.spec}, {len(self)} images, fingerprint {self.fingerprint[:12]})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files: source, images (how many), fingerprint."""
        return {
            "source": str(self.spec),
            "images": len(self),
            "fingerprint": self.fingerprint,
        }

    def thumbnail(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """One image as RGB in its own size, for plots."""
        return self._read(index)

    def batches(
        self, input: InputSpec, batch_size: int
    ) -> Iterator[Float32[np.ndarray, "b h w c"]]:
        """Preprocessed images in order, `batch_size` at a time; the last batch may be smaller."""
        if batch_size < 1:
            raise DeparaError(f"batch_size must be at least 1, got {batch_size}")
        for start in range(0, len(self), batch_size):
            rows = range(start, min(start + batch_size, len(self)))
            yield np.stack([preprocess(self._read(row), input) for row in rows])

    def array(self, input: InputSpec) -> Float32[np.ndarray, "n h w c"]:
        """All images, preprocessed."""
        return np.concatenate(list(self.batches(input, 64)))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Probe":
        """The images at `indices`, in that order, with a fingerprint of their own.

        Raises:
          DeparaError: no index, or one that is out of range.
        """
        rows = tuple(int(index) for index in indices)
        if not rows or min(rows) < 0 or max(rows) >= len(self):
            raise DeparaError(
                f"subset: indices must lie in 0..{len(self) - 1}, got {list(rows)[:10]}"
            )
        return Probe(
            self.spec,
            tuple(self.ids[row] for row in rows),
            tuple(self.digests[row] for row in rows),
            lambda index: self._read(rows[index]),
        )


def load_probe(
    spec: ProbeSpec | str | os.PathLike = "photographs",
    *,
    count: int | None = None,
    seed: int | None = None,
    min_images: int = 3,
) -> Probe:
    """Opens, samples and checks a probe set.

    Every image taken is decoded once here, so that a broken one is found before any model runs.

    Args:
      spec: a `ProbeSpec` or what `ProbeSpec.parse` reads.
      count: overrides the spec's number of images.
      seed: overrides the spec's seed.
      min_images: fewer images than this are refused.

    Raises:
      DeparaError: something is missing, unreadable, too small or too few; the message says what.
      UnknownNameError: an unknown TFDS dataset or split.
    """
    spec = spec if isinstance(spec, ProbeSpec) else ProbeSpec.parse(spec)
    changes = {key: value for key, value in (("count", count), ("seed", seed)) if value is not None}
    spec = dataclasses.replace(spec, **changes)
    source = spec.open()
    taken = source.size if spec.count is None else spec.count
    if taken > source.size:
        raise DeparaError(f"probe {spec} asks for {taken} images, but there are {source.size}")
    if taken < min_images:
        raise DeparaError(
            f"probe {spec} has {taken} images; at least {min_images} are needed to compare graphs"
        )
    return _probe(source, _order(source.size, spec.seed)[:taken], spec)


def _order(size: int, seed: int | None) -> Sequence[int]:
    """All indices in their own order, or shuffled by digest."""
    if seed is None:
        return range(size)
    return sorted(range(size), key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())


def _probe(source: Source, rows: Sequence[int], spec: ProbeSpec) -> Probe:
    """Decodes the chosen images once: ids, digests, and the pixels themselves if they are few."""
    ids, digests, kept, size = [], [], [], 0
    for row in rows:
        id, pixels = source.read(row)
        if min(pixels.shape[:2]) < MIN_SIDE:
            raise DeparaError(
                f"{source.name}: image {id} is {pixels.shape[1]} x {pixels.shape[0]} pixels; "
                f"expected at least {MIN_SIDE} x {MIN_SIDE}"
            )
        ids.append(id)
        digests.append(_digest(pixels))
        size += pixels.nbytes
        pixels.setflags(write=False)
        kept.append(pixels)
        if size > _KEEP_BYTES:
            kept.clear()
    if size <= _KEEP_BYTES:
        return Probe(spec, tuple(ids), tuple(digests), kept.__getitem__)

    def read(index: int) -> np.ndarray:
        pixels = source.read(rows[index])[1]
        if _digest(pixels) != digests[index]:
            raise DeparaError(
                f"{source.name}: image {ids[index]} has changed since the probe was loaded"
            )
        return pixels

    return Probe(spec, tuple(ids), tuple(digests), read)


def _digest(pixels: np.ndarray) -> str:
    """sha256 of an image's size and pixels."""
    head = f"{pixels.shape[0]}x{pixels.shape[1]}:".encode()
    return hashlib.sha256(head + pixels.tobytes()).hexdigest()
