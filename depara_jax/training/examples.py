"""Labelled images: from arrays, folders of class folders, or TFDS."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from depara_jax.data.preprocess import center_crop_box, resized_size, to_uint8_rgb
from depara_jax.data.sources import Source, file_source
from depara_jax.errors import DeparaError
from depara_jax.training.splits import check_labels

__all__ = ["Examples", "folder_examples", "tfds_examples"]

_THREADS = 4
_KEEP_BYTES = 2 << 30


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images of one size, in memory or decoded when they are taken.

    Attributes:
      ids: one name an image.
      labels: int32 [n].
      classes: names of the classes.
      take: rows -> uint8 [b, h, w, 3].
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    take: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_arrays(
        cls,
        images: UInt8[np.ndarray, "n h w 3"],
        labels: Any,
        classes: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
    ) -> "Examples":
        """Images in memory.

        Raises:
          DeparaError: labels that are not one a image and within the classes.
        """
        labels = check_labels(labels, classes, len(images))
        names = tuple(f"{i:06d}" for i in range(len(images))) if ids is None else tuple(ids)
        return cls(names, labels, tuple(classes), lambda rows: images[rows])

    def subset(self, rows: np.ndarray) -> "Examples":
        """The examples at these rows, in that order."""
        rows = np.asarray(rows)
        ids = tuple(self.ids[row] for row in rows)
        return Examples(ids, self.labels[rows], self.classes, lambda some: self.take(rows[some]))


def folder_examples(folder: str | Path, size: tuple[int, int]) -> Examples:
    """A folder with one folder of images a class; classes are in the order of their names.

    Raises:
      DeparaError: no such folder, fewer than two classes, or a class without images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DeparaError(f"data folder {folder} does not exist; expected one folder a class in it")
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if len(classes) < 2:
        raise DeparaError(f"data folder {folder} holds {len(classes)} class folders; expected two")
    paths, labels = [], []
    for label, name in enumerate(classes):
        mine = sorted(p for p in (folder / name).rglob("*") if p.is_file() and p.name[0] != ".")
        if not mine:
            raise DeparaError(f"data folder {folder}: class {name!r} has no images")
        paths.extend(mine)
        labels.extend([label] * len(mine))
    ids = [path.relative_to(folder).as_posix() for path in paths]
    return _decoded(file_source(paths, ids, name=str(folder)), labels, classes, size, ids)


def tfds_examples(name: str, split: str, size: tuple[int, int]) -> Examples:
    """A split of a prepared TFDS data set with features `image` and `label`.

    Raises:
      DeparaError: it cannot be opened, or has no labels.
    """
    from depara_jax.data.tfds_source import tfds_labels, tfds_source

    source = tfds_source(name, split)
    labels, classes = tfds_labels(name, split)
    return _decoded(source, labels, classes, size)


def _decoded(
    source: Source,
    labels: Sequence[int],
    classes: Sequence[str],
    size: tuple[int, int],
    ids: Sequence[str] | None = None,
) -> Examples:
    """Images decoded by threads; kept if all of them fit into 2 GiB."""
    count = source.size
    checked = check_labels(np.asarray(labels), classes, count)

    def one(row: int) -> tuple[str, np.ndarray]:
        id, pixels = source.read(row)
        return id, fitted(pixels, size)

    def read(rows: np.ndarray) -> list[tuple[str, np.ndarray]]:
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(one, rows.tolist()))

    if count * size[0] * size[1] * 3 <= _KEEP_BYTES:
        pairs = read(np.arange(count))
        images = np.stack([pixels for _, pixels in pairs])
        named = tuple(id for id, _ in pairs)
        return Examples(named, checked, tuple(classes), lambda rows: images[rows])
    named = tuple(f"{source.name}/{i:07d}" for i in range(count)) if ids is None else tuple(ids)
    return Examples(
        named, checked, tuple(classes), lambda rows: np.stack([pixels for _, pixels in read(rows)])
    )


def fitted(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> np.ndarray:
    """The short side resized to the size, then the middle; as `data.preprocess` without scaling."""
    rgb = to_uint8_rgb(pixels)
    height, width = resized_size(rgb.shape[0], rgb.shape[1], short=max(size))
    resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop(center_crop_box(height, width, crop=size)))
