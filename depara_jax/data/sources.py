"""Where probe images are read from: arrays, image files, folders, list files, .npy and .npz."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from depara_jax.data.preprocess import to_uint8_rgb
from depara_jax.errors import DeparaError
from depara_jax.files import DAMAGE, load_arrays

__all__ = ["MIN_SIDE", "Source", "array_source", "file_source", "path_source"]

MIN_SIDE = 2
# What Pillow's decoders raise for files that are broken in their many ways.
BROKEN = (*DAMAGE, Image.DecompressionBombError)


@dataclasses.dataclass(frozen=True)
class Source:
    """Images that can be read one by one.

    Attributes:
      name: what messages call it.
      size: number of images.
      read: index -> (id, uint8 RGB [h, w, 3]); decodes anew each time.
    """

    name: str
    size: int
    read: Callable[[int], tuple[str, np.ndarray]]


def array_source(images: np.ndarray | Sequence, ids: Sequence[str] | None, *, name: str) -> Source:
    """Images of an array or of a list of equally large arrays.

    uint8 is taken as it is; floats must lie in [0, 1] and are rounded to 8 bits.

    Args:
      images: [n, h, w, 3], [n, h, w, 1] or [n, h, w].
      ids: one name an image; by default "000000", "000001", ...
      name: what messages call it.

    Raises:
      DeparaError: mixed sizes, another shape, dtype or number of channels, values that are not
        finite or out of range, or ids that are not one distinct string an image.
    """
    if not isinstance(images, np.ndarray):
        shapes = {np.shape(image) for image in images}
        if len(shapes) > 1:
            raise DeparaError(
                f"{name}: images of mixed sizes {sorted(map(str, shapes))[:3]}; "
                "an array needs one size: resize them, or give a folder of image files"
            )
        images = np.array(images)
    pixels = _bytes(_four_axes(images, name), name)
    if ids is None:
        ids = [f"{i:06d}" for i in range(len(pixels))]
    elif len(ids) != len(pixels) or len(set(ids)) != len(ids):
        raise DeparaError(f"{name}: ids must be {len(pixels)} distinct names, got {len(ids)}")
    names = tuple(ids)
    return Source(name, len(pixels), lambda i: (names[i], to_uint8_rgb(pixels[i])))


def _four_axes(images: np.ndarray, name: str) -> np.ndarray:
    """The array as [n, h, w, c] with one or three channels."""
    shape = images.shape
    wanted = "expected [n, h, w, 3], [n, h, w, 1] or [n, h, w]"
    if images.ndim == 3:
        if shape[2] in (1, 3):
            raise DeparaError(f"{name}: shape {shape} looks like one image; {wanted}")
        images = images[..., None]
    if images.ndim != 4:
        raise DeparaError(f"{name}: got shape {shape}; {wanted}")
    if images.shape[3] not in (1, 3):
        hint = "; move the channels last" if images.shape[1] in (1, 3) else ""
        raise DeparaError(f"{name}: {images.shape[3]} channels in shape {shape}; {wanted}{hint}")
    return images


def _bytes(images: np.ndarray, name: str) -> np.ndarray:
    """A read-only uint8 copy of the array."""
    if images.dtype == np.uint8:
        pixels = images.copy()
    elif np.issubdtype(images.dtype, np.floating):
        if not np.isfinite(images).all():
            raise DeparaError(f"{name}: images hold NaN or infinity; expected floats in [0, 1]")
        low, high = float(images.min(initial=0.0)), float(images.max(initial=0.0))
        if low < 0 or high > 1:
            raise DeparaError(
                f"{name}: float images range from {low:g} to {high:g}; expected [0, 1], or uint8"
            )
        pixels = np.round(images.astype(np.float64) * 255).astype(np.uint8)
    else:
        raise DeparaError(f"{name}: images are {images.dtype}; expected uint8 or floats in [0, 1]")
    pixels.setflags(write=False)
    return pixels


def file_source(paths: Sequence[Path], ids: Sequence[str], *, name: str) -> Source:
    """Image files of any size, decoded when they are read."""
    paths, ids = tuple(paths), tuple(ids)
    return Source(name, len(paths), lambda i: (ids[i], _decode(paths[i])))


def path_source(path: Path) -> Source:
    """A folder, a list file (.txt) or an array file (.npy, .npz).

    A folder gives every file in it and below, in the order of their names; hidden ones are skipped,
    and all others must be images. A list file gives one path a line in its own order, relative to
    its folder; empty lines and those that begin with # are skipped, and a path may stand there once
    only, since a repeated image would weigh double without anybody seeing it.

    Raises:
      DeparaError: no such path, another kind of file, an empty folder or list, a listed file that
        is missing or repeated, or an array that `array_source` refuses.
    """
    if path.is_dir():
        return _folder_source(path)
    if not path.is_file():
        raise DeparaError(
            f"probe {str(path)!r} does not exist; expected 'photographs', 'tfds:NAME:SPLIT', "
            "a folder of images, a list file (.txt), .npz or .npy"
        )
    if path.suffix == ".txt":
        return _list_source(path)
    if path.suffix in (".npz", ".npy"):
        return array_source(_load_array(path), None, name=str(path))
    raise DeparaError(f"probe file {path}: expected .txt, .npz or .npy, or a folder of images")


def _folder_source(folder: Path) -> Source:
    """Every file below the folder that is not hidden, by name."""
    below = ((path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file())
    found = sorted(
        (relative.as_posix(), path)
        for relative, path in below
        if not any(part.startswith(".") for part in relative.parts)
    )
    if not found:
        raise DeparaError(f"probe folder {folder} holds no files; expected images")
    return file_source([path for _, path in found], [id for id, _ in found], name=str(folder))


def _list_source(path: Path) -> Source:
    """The files that a text file names."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeparaError(f"list file {path} cannot be read as UTF-8 text: {error}") from error
    seen: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line in seen:
            raise DeparaError(
                f"list file {path}: {line} stands on lines {seen[line]} and {number}; remove one"
            )
        if not (path.parent / line).is_file():
            raise DeparaError(
                f"list file {path}, line {number}: no file {line} "
                f"(paths are relative to {path.parent})"
            )
        seen[line] = number
    if not seen:
        raise DeparaError(f"list file {path} names no images; expected one path a line")
    return file_source([path.parent / line for line in seen], list(seen), name=str(path))


def _load_array(path: Path) -> np.ndarray:
    """The array of a .npy, or the array `images` or the only one of an .npz."""

    def choose(names: list[str]) -> str:
        if "images" not in names and len(names) != 1:
            raise DeparaError(
                f"{path} holds the arrays {names}; expected one, or one that is named 'images'"
            )
        return "images" if "images" in names else names[0]

    loaded = load_arrays(path, choose=choose)
    assert isinstance(loaded, np.ndarray)  # since one was chosen
    return loaded


def _decode(path: Path) -> np.ndarray:
    """One image file as uint8 RGB."""
    try:
        with Image.open(path) as image:
            return to_uint8_rgb(image)
    except DeparaError as error:
        raise DeparaError(f"{path}: {error}") from error
    except BROKEN as error:
        raise DeparaError(
            f"{path} cannot be read as an image ({type(error).__name__}: {error}); "
            "mend or remove it, or name the images in a list file"
        ) from error
