"""The targets as labelled 32 x 32 images: clothing, Fashion-MNIST, CIFAR-10.

None of them is packaged: clothing and CIFAR-10 are in the shared data folder, Fashion-MNIST is in
Debian's package dataset-fashion-mnist.
"""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.files import load_arrays
from depara_jax.training import Examples, Split, make_split
from depara_jax.training.examples import fitted

SIZE = 32
FRACTIONS = {"train": 0.5, "probe": 0.15, "test": 0.3}
TAKEN = 4000  # images of the larger sets


def load_target(name: str, *, shared: Path, fashion: Path | None) -> Examples:
    """A target's images and labels.

    `shared` has `images/`, `fashion` Fashion-MNIST's four .gz files.

    Raises:
      UnknownNameError: no such target.
      DeparaError: its files are missing or damaged.
    """
    if name not in TARGETS:
        raise UnknownNameError("target", name, TARGETS)
    if name == "fashion":
        if fashion is None:
            raise DeparaError(
                "target 'fashion' needs --fashion FOLDER: /usr/share/datasets/fashion-mnist of "
                "Debian's package dataset-fashion-mnist"
            )
        return _fashion(fashion)
    return TARGETS[name](shared / "images")


def _clothing(folder: Path) -> Examples:
    path = folder / "clothing_small_short224.tar"
    ids, labels, pixels = [], [], []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".jpg"):
                    file = archive.extractfile(member)
                    assert file is not None
                    image = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
                    ids.append(member.name)
                    labels.append(member.name.split("/")[-2])
                    pixels.append(fitted(image, (SIZE, SIZE)))
    except (OSError, tarfile.TarError) as error:
        raise DeparaError(
            f"{path} cannot be read ({error}); name the shared data folder"
        ) from error
    classes = sorted(set(labels))
    numbers = [classes.index(label) for label in labels]
    return Examples.from_arrays(np.stack(pixels), np.asarray(numbers), classes, ids=ids)


def _cifar(folder: Path) -> Examples:
    arrays = load_arrays(folder / "cifar_lossless4k.npz")
    assert isinstance(arrays, dict)
    names = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    return Examples.from_arrays(arrays["X"], arrays["Y"].astype(np.int32), names)


def _fashion(folder: Path) -> Examples:
    """The first 4,000 training images, grey, padded from 28 to 32 pixels."""
    try:
        with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
            grey = np.frombuffer(file.read(16 + TAKEN * 784), np.uint8)[16:].reshape(-1, 28, 28)
        with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(8 + TAKEN), np.uint8)[8:].astype(np.int32)
    except (OSError, EOFError, ValueError) as error:
        raise DeparaError(f"Fashion-MNIST in {folder} cannot be read ({error})") from error
    padded = np.pad(grey, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, axis=3)
    names = (
        "t-shirt", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "boot",
    )  # fmt: skip
    return Examples.from_arrays(padded, labels, names)


TARGETS: dict[str, Callable[[Path], Examples]] = {
    "clothing": _clothing,
    "fashion": _fashion,
    "cifar10": _cifar,
}


def split_target(examples: Examples) -> Split:
    """Half to train on, 15% to draw probe images from, 30% to test."""
    return make_split(examples.ids, examples.labels, examples.classes, fractions=FRACTIONS)
