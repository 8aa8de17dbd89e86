"""Splits and subsets that anybody can repeat: by class, seed and file name, with a manifest.

Every image has a number drawn from its name and the seed (sha256), and each class is cut at the
same fractions of its images in the order of their numbers. So the order in which a file system
lists files does not matter, adding a class moves no image of another, and of two fractions the
smaller subset is part of the larger.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically

__all__ = ["PAPER_SPLIT", "Split", "make_split", "read_manifest", "subset", "write_manifest"]

PAPER_SPLIT: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Which images belong to which part.

    Attributes:
      parts: name -> rows of the data set, ascending.
      ids: one name an image of the whole set.
      labels: class of each.
      classes: names of the classes.
      seed: of the draw.
    """

    parts: Mapping[str, np.ndarray]
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    seed: int


def make_split(
    ids: Sequence[str],
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    *,
    fractions: Mapping[str, float] = PAPER_SPLIT,
    seed: int = 0,
) -> Split:
    """Cuts a data set into parts, class by class.

    Args:
      ids: distinct names of the images, e.g. "train/truck/1.jpg".
      labels: [n] in 0..c-1.
      classes: c names.
      fractions: of each part; they add up to at most 1, what is left over is in no part.
      seed: of the draw.

    Raises:
      DeparaError: labels outside the classes, repeated names, fractions that are not, or a class
        that would have no image in a part.
    """
    labels = check_labels(labels, classes, len(ids))
    if len(set(ids)) != len(ids):
        raise DeparaError("split: image names repeat; give each image a name of its own")
    total = sum(fractions.values())
    if not fractions or min(fractions.values()) <= 0 or total > 1 + 1e-9:
        raise DeparaError(f"split: fractions must be above 0 and add up to at most 1: {fractions}")
    chosen: dict[str, list[int]] = {name: [] for name in fractions}
    for label, rows in enumerate(rows_by_class(ids, labels, len(classes), seed)):
        edge = 0.0
        for name, fraction in fractions.items():
            start, edge = round(edge * len(rows)), edge + fraction
            part = rows[start : round(edge * len(rows))]
            if not part:
                raise DeparaError(
                    f"split: class {classes[label]!r} has {len(rows)} images, none of which falls "
                    f"into {name!r} ({fraction:g}); add images or leave the class out"
                )
            chosen[name].extend(part)
    parts = {name: np.sort(np.asarray(rows)) for name, rows in chosen.items()}
    return Split(parts, tuple(ids), labels, tuple(classes), seed)


def subset(split: Split, part: str, fraction: float, *, seed: int | None = None) -> np.ndarray:
    """Rows of a fraction of one part, stratified; each class gives round(fraction * n) images.

    Args:
      split: the data set.
      part: of which.
      fraction: above 0, at most 1; the paper's are 0.1 and 0.01.
      seed: of the draw, the split's own by default; a smaller fraction is part of a larger one.

    Raises:
      DeparaError: another fraction, no such part, or a class that would be empty.
    """
    if part not in split.parts:
        raise DeparaError(f"subset: no part {part!r}; there are {', '.join(split.parts)}")
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise DeparaError(f"subset: the fraction must be above 0 and at most 1, got {fraction}")
    rows = split.parts[part]
    ids = [split.ids[row] for row in rows]
    # Another draw than the split's: otherwise a subset would be the head of its own part.
    seed = split.seed if seed is None else seed
    kept: list[int] = []
    grouped = rows_by_class(ids, split.labels[rows], len(split.classes), f"subset:{seed}")
    for label, mine in enumerate(grouped):
        count = math.floor(fraction * len(mine) + 0.5)
        if count == 0:
            raise DeparaError(
                f"subset: {fraction:g} of the {len(mine)} images of class {split.classes[label]!r} "
                f"in {part!r} is none; take a larger fraction or leave the class out"
            )
        kept.extend(mine[:count])
    return np.sort(rows[np.asarray(kept)])


def rows_by_class(
    ids: Sequence[str], labels: np.ndarray, classes: int, seed: int | str
) -> list[list[int]]:
    """For each class its rows, in the order of a digest of seed and name."""
    order = sorted(range(len(ids)), key=lambda i: _number(ids[i], seed))
    return [[i for i in order if labels[i] == label] for label in range(classes)]


def _number(id: str, seed: int | str) -> bytes:
    return hashlib.sha256(f"{seed}:{id}".encode()).digest()


def check_labels(labels: Any, classes: Sequence[str], count: int) -> np.ndarray:
    """Labels as int32, one an image, all within the classes.

    Raises:
      DeparaError: otherwise; the first offending value is shown.
    """
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DeparaError(
            f"labels: expected {count} whole numbers, one an image, got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise DeparaError(
            f"labels: image {wrong[0]} has label {labels[wrong[0]]}, but there are "
            f"{len(classes)} classes, numbered 0 to {len(classes) - 1}"
        )
    return labels.astype(np.int32)


def write_manifest(
    path: str | os.PathLike[str],
    split: Split,
    subsets: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """Records which image is where, as JSON: parts and subsets as lists of names.

    Args:
      path: file to write.
      split: the data set.
      subsets: rows of further subsets by name.
    """
    named = {**split.parts, **subsets}
    content = {
        "seed": split.seed,
        "classes": list(split.classes),
        "digest": hashlib.sha256("\n".join(sorted(split.ids)).encode()).hexdigest(),
        "parts": {name: [split.ids[row] for row in rows] for name, rows in named.items()},
    }
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_manifest(path: str | os.PathLike[str], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows of the parts that a manifest names, in a data set with these image names.

    Raises:
      DeparaError: the file is no manifest, or names images that are not there.
    """
    try:
        with open(path, encoding="utf-8") as file:
            parts = json.load(file)["parts"]
        named = {name: list(map(str, members)) for name, members in parts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeparaError(f"split manifest {path} cannot be read ({error})") from error
    row = {id: i for i, id in enumerate(ids)}
    missing = [id for members in named.values() for id in members if id not in row]
    if missing:
        raise DeparaError(
            f"split manifest {path} names {len(missing)} images that the data set lacks, such as "
            f"{missing[0]!r}; it was made for other data"
        )
    return {name: np.asarray([row[id] for id in members]) for name, members in named.items()}
