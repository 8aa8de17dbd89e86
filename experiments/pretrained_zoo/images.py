"""The study's photographs: the probe set, and labelled images of the target tasks."""

import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from depara_jax.errors import DeparaError

__all__ = ["TARGETS", "Labelled", "probe_images", "probe_labels", "target_images"]

TARGETS = ("clothing", "cifar10")


class Labelled(NamedTuple):
    """Images of one target task, in a seeded order.

    Attributes:
      images: 8-bit RGB arrays of any size.
      labels: [n] class ids.
    """

    images: list[np.ndarray]
    labels: np.ndarray


def probe_images(shared: Path, count: int) -> list[np.ndarray]:
    """The unlabelled probe set: the first photographs that DEPARA's authors ship (VisDA, real)."""
    return [image for _, image in _visda(shared)][:count]


def probe_labels(shared: Path, count: int) -> np.ndarray:
    """Class ids of the probe set's photographs: the third target task, whose features are there."""
    kinds = [name.split("_")[0] for name, _ in _visda(shared)]
    return np.unique(kinds, return_inverse=True)[1][:count]


def target_images(shared: Path, target: str, count: int) -> Labelled:
    """Labelled images of a target task."""
    rng = np.random.default_rng(0)
    if target == "cifar10":
        with np.load(_existing(shared / "data/images/cifar_lossless4k.npz")) as file:
            images, labels = list(file["X"]), file["Y"].astype(int)
    elif target == "clothing":
        images, labels = _clothing(shared, count, rng)
    else:
        raise DeparaError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    order = rng.permutation(len(labels))[:count]
    return Labelled([images[i] for i in order], labels[order])


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DeparaError(f"{path} does not exist; set DEPARA_SHARED to the shared data folder")
    return path


def _visda(shared: Path) -> list[tuple[str, np.ndarray]]:
    with tarfile.open(_existing(shared / "data/images/visda_real_test200.tar")) as tar:
        members = sorted((m for m in tar if m.name.endswith(".jpg")), key=lambda m: m.name)
        named = [(Path(m.name).name, _decoded(tar, m)) for m in members]
    # Sorted names would put one class after the other; the probe set may be cut short.
    order = np.random.default_rng(0).permutation(len(named))
    return [named[i] for i in order]


def _clothing(
    shared: Path, count: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    with tarfile.open(_existing(shared / "data/images/clothing_small_short224.tar")) as tar:
        members = sorted((m for m in tar if m.name.endswith(".jpg")), key=lambda m: m.name)
        # Only those that are used are decoded.
        chosen = [members[i] for i in rng.permutation(len(members))[:count]]
        images = [_decoded(tar, m) for m in chosen]
    kinds = [m.name.split("/")[-2] for m in chosen]
    return images, np.unique(kinds, return_inverse=True)[1]


def _decoded(tar: tarfile.TarFile, member: tarfile.TarInfo) -> np.ndarray:
    file = tar.extractfile(member)
    assert file is not None
    return np.asarray(Image.open(file).convert("RGB"))
