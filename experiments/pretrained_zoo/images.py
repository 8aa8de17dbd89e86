"""The study's photographs: the probe set, and labelled images of the target tasks."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from depara_jax.data import Probe, ProbeSpec
from depara_jax.errors import DeparaError, UnknownNameError
from experiments.layer_study.data import load_target
from experiments.pretrained_zoo.config import PROBE, TARGETS


class Labelled(NamedTuple):
    """Images of one target task, in a seeded order.

    Attributes:
      images: 8-bit RGB arrays of any size.
      labels: [n] class ids.
    """

    images: list[np.ndarray]
    labels: np.ndarray

    def rows(self, start: int, stop: int | None = None) -> "Labelled":
        """Some of them, in their order."""
        return Labelled(self.images[start:stop], self.labels[start:stop])


def held_back(target: str) -> int:
    """How many of a target's first images the estimators see; no accuracy is measured on them.

    VisDA has 200 in all and its first ones are the probe set, so that those serve for both.
    """
    return PROBE if target == "visda" else 100


def probe_images(count: int) -> list[np.ndarray]:
    """The unlabelled probe set: the first photographs that DEPARA's authors ship (VisDA, real)."""
    return target_images("visda", count).images


def probe_of(images: Sequence[np.ndarray]) -> Probe:
    """Pictures in memory, each of a size of its own, as the library walks over them."""
    digests = tuple(hashlib.sha256(f"{i.shape}".encode() + i.tobytes()).hexdigest() for i in images)
    names = tuple(map(str, range(len(images))))
    return Probe(ProbeSpec("arrays"), names, digests, images.__getitem__)


def target_images(target: str, count: int, *, fashion: Path | None = None) -> Labelled:
    """A target's first `count` labelled images, or as many as there are, in an order of its own.

    The first ones are the same whatever the count; `fashion` has Fashion-MNIST's four .gz files.

    Raises:
      UnknownNameError: no such target.
      DeparaError: its files are not there.
    """
    if target == "visda":
        tar = _existing("images/visda_real_test200.tar")
        return _from_tar(tar, count, lambda name: Path(name).name.split("_")[0])
    if target == "clothing":
        tar = _existing("images/clothing_small_short224.tar")
        return _from_tar(tar, count, lambda name: name.split("/")[-2])
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    if target == "cifar10":
        _existing("images/cifar_lossless4k.npz")
    examples = load_target(target, shared=_shared(), fashion=fashion)
    order = np.random.default_rng(0).permutation(len(examples))[:count]
    return Labelled(list(examples.take(order)), examples.labels[order].astype(int))


def _shared() -> Path:
    return Path(os.environ.get("DEPARA_SHARED", "shared")) / "data"


def _existing(name: str) -> Path:
    path = _shared() / name
    if not path.is_file():
        raise DeparaError(f"{path} does not exist; set DEPARA_SHARED to the shared data folder")
    return path


def _from_tar(path: Path, count: int, kind: Callable[[str], str]) -> Labelled:
    """Pictures of an archive; only those that are used are decoded."""
    with tarfile.open(path) as tar:
        # Sorted names put one class after the other, and a set may be cut short.
        members = sorted((m for m in tar if m.name.endswith(".jpg")), key=lambda m: m.name)
        labels = np.unique([kind(m.name) for m in members], return_inverse=True)[1]
        order = np.random.default_rng(0).permutation(len(members))[:count]
        files: Any = [tar.extractfile(members[i]) for i in order]
        images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
        return Labelled(images, labels[order])
