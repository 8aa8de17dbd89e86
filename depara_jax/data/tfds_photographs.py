"""The packaged photographs as a TFDS dataset of array_record files, prepared once in a cache.

Importing this module imports tensorflow-datasets (not TensorFlow); `depara_jax.data` does not.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from depara_jax.data import photographs
from depara_jax.errors import DeparaError
from depara_jax.files import cache_root

__all__ = ["DeparaPhotographs", "cache_dir", "prepared_photographs"]

_MANIFEST = "sha256.json"
_ATTEMPTS = 3


class DeparaPhotographs(tfds.core.GeneratorBasedBuilder):
    """The patches of `depara_jax.data.photographs.patches`, in its order.

    Splits: train, validation and probe. Features: `image` (uint8 [32, 32, 3], PNG), `id`
    ("astronaut/y032_x064") and `photograph` (class label, the name).
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "id": tfds.features.Text(),
                "photograph": tfds.features.ClassLabel(names=list(photographs.NAMES)),
            }
        )
        # Unshuffled, since any leading part of the patches is balanced over the photographs.
        return tfds.core.DatasetInfo(
            builder=self,
            description="Patches of the photographs that the scikit-image wheel carries.",
            features=features,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        return {split: self._generate_examples(split) for split in photographs.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        found = photographs.patches(split)
        for key, image in enumerate(found.images):
            # Encoded here: TFDS would need TensorFlow to encode an array.
            encoded = io.BytesIO()
            Image.fromarray(image).save(encoded, "PNG", compress_level=1)
            yield (
                key,
                {
                    "image": encoded.getvalue(),
                    "id": found.ids[key],
                    "photograph": int(found.photograph[key]),
                },
            )


def cache_dir() -> Path:
    """Where prepared datasets are kept: `$DEPARA_CACHE`, or `~/.cache/depara_jax`, then `tfds`."""
    return cache_root() / "tfds"


def prepared_photographs(folder: str | os.PathLike | None = None) -> DeparaPhotographs:
    """The builder of the packaged photographs, prepared and ready for `as_data_source`.

    The dataset lies in a folder named by the digest of the photographs and of the code that cuts
    them, so that another version of either has its own. It is prepared in a folder of the process's
    own, then moved into place as a whole; two processes that do so at once both end with a complete
    one. Files that are missing or differ from their recorded digests are made again.

    Args:
      folder: where the cache is; by default `cache_dir()`.

    Raises:
      DeparaError: the folder cannot be written, or scikit-image is missing.
    """
    parent = cache_dir() if folder is None else Path(folder)
    root = parent / f"photographs-{_content_key()}"
    try:
        for _ in range(_ATTEMPTS):
            if _intact(root):
                return DeparaPhotographs(data_dir=root, file_format="array_record")
            parent.mkdir(parents=True, exist_ok=True)
            _install(root)
    except OSError as error:
        raise DeparaError(
            f"the packaged photographs cannot be prepared in {parent} ({error}); "
            "set DEPARA_CACHE to a folder that can be written"
        ) from error
    raise DeparaError(
        f"the packaged photographs in {root} were damaged again while they were prepared; "
        "delete that folder, or set DEPARA_CACHE to another one"
    )


def _install(root: Path) -> None:
    """Prepares the dataset beside `root` and moves it there, unless another process was faster."""
    scratch = Path(tempfile.mkdtemp(prefix=".preparing-", dir=root.parent))
    try:
        fresh = scratch / "fresh"
        # TFDS writes its progress to both streams, and stdout may be meant for JSON alone.
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            DeparaPhotographs(data_dir=fresh, file_format="array_record").download_and_prepare()
        (fresh / _MANIFEST).write_text(json.dumps(_digests(fresh)))
        if _intact(root):
            return
        with contextlib.suppress(FileNotFoundError):
            root.rename(scratch / "damaged")
        try:
            fresh.rename(root)
        except OSError:
            # Another process has filled `root` since; the caller looks at what it left there.
            if not root.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _intact(root: Path) -> bool:
    """Whether every file is there with the digest that was recorded when it was made."""
    try:
        recorded: dict[str, str] = json.loads((root / _MANIFEST).read_text())
        return bool(recorded) and recorded.items() <= _digests(root).items()
    except (OSError, ValueError):
        return False


def _digests(root: Path) -> dict[str, str]:
    """Digest of every file under `root` but the manifest."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _content_key() -> str:
    """Digest of the photographs' files and of the code that makes the dataset of them."""
    digest = hashlib.sha256()
    for source in (*photographs.files(), Path(photographs.__file__), Path(__file__)):
        try:
            digest.update(hashlib.sha256(source.read_bytes()).digest())
        except OSError as error:
            raise DeparaError(
                f"the packaged photographs need {source}, which cannot be read ({error}); "
                "reinstall scikit-image and depara-jax"
            ) from error
    return digest.hexdigest()[:16]
