"""Probe images from tensorflow-datasets, read as array_record data sources without TensorFlow."""

import contextlib
import io
import os
import re
import sys
from typing import Any

import numpy as np
from PIL import Image

from depara_jax.data.preprocess import to_uint8_rgb
from depara_jax.data.sources import Source
from depara_jax.errors import DeparaError, UnknownNameError

__all__ = ["photographs_source", "tfds_labels", "tfds_source"]


def photographs_source(split: str) -> Source:
    """A split of the packaged photographs, e.g. "probe" or "train[100:200]"."""
    from depara_jax.data.tfds_photographs import prepared_photographs

    return _open(prepared_photographs(), split, name="photographs")


def tfds_source(name: str, split: str | None) -> Source:
    """A split of a named dataset, e.g. "cifar10" and "test[:50%]".

    The dataset is looked for in `$TFDS_DATA_DIR` (by default ~/tensorflow_datasets) and prepared
    there as array_record if it is not yet.

    Raises:
      UnknownNameError: no such dataset, configuration or split.
      DeparaError: no split is given; the dataset cannot be prepared here (many need TensorFlow for
        it), is prepared in another format, or has no image feature.
    """
    builder = _builder(name)
    _prepare(builder, name)
    return _open(builder, split, name=f"tfds:{name}")


def tfds_labels(name: str, split: str) -> tuple[list[int], tuple[str, ...]]:
    """The labels of a split that `tfds_source` gives the images of, and the names of the classes.

    Raises:
      DeparaError: the data set has no feature `label` that is a class.
    """
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
    features = builder.info.features
    # A FeaturesDict has no `get`.
    feature = features["label"] if "label" in features else None  # noqa: SIM401
    if not isinstance(feature, tfds.features.ClassLabel):
        raise DeparaError(f"tfds:{name} has no feature 'label' that is a class")
    labels = [int(record["label"]) for record in _undecoded(builder, split)]
    return labels, tuple(feature.names)


def _builder(name: str) -> Any:
    """The builder of a named dataset, without preparing it."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    folder = os.environ.get("TFDS_DATA_DIR")
    base, _, config = name.partition("/")
    try:
        known = getattr(tfds.builder_cls(base), "builder_configs", {}) if config else {}
        if known and re.split(r"[:/]", config)[0] not in known:
            raise UnknownNameError(f"configuration of TFDS dataset {base!r}", config, known)
        return tfds.builder(name, data_dir=folder)
    except registered.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise UnknownNameError("TFDS dataset", name, known) from None
    except ImportError as error:
        raise _needs_tensorflow(name, error) from error
    except DeparaError:
        raise
    except (ValueError, AssertionError, RuntimeError) as error:
        raise DeparaError(f"TFDS dataset {name!r} cannot be opened: {_line(error)}") from error


def _prepare(builder: Any, name: str) -> None:
    """Prepares the dataset where it is not; TFDS reports that on stderr, stdout stays clean."""
    import tensorflow_datasets as tfds

    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(file_format="array_record")
    except ImportError as error:
        raise _needs_tensorflow(name, error) from error
    except (OSError, ValueError, AssertionError, RuntimeError) as error:
        raise DeparaError(
            f"TFDS dataset {name!r} is not in {builder.data_dir} and cannot be prepared here "
            f"({_line(error)}); prepare it elsewhere and point TFDS_DATA_DIR at it"
        ) from error
    except tfds.download.DownloadError as error:
        raise DeparaError(f"TFDS dataset {name!r} cannot be downloaded: {_line(error)}") from error


def _needs_tensorflow(name: str, error: ImportError) -> DeparaError:
    missing = error.name or str(error)
    return DeparaError(
        f"TFDS dataset {name!r} needs a package to be prepared that is not installed ({missing}); "
        "reading needs none: prepare it once where it is, with "
        f"`tfds build {name} --file_format=array_record`, and point TFDS_DATA_DIR at the result, "
        "or pip install tensorflow-cpu here"
    )


def _open(builder: Any, split: str | None, *, name: str) -> Source:
    """The image feature of a prepared dataset's split as a source."""
    image = _image_feature(builder.info.features, name)
    known = list(builder.info.splits) if builder.info.splits else []
    if split is None:
        raise DeparaError(f"{name}: give a split, such as {name}:{known[0] if known else 'train'}")
    for part in split.split("+"):
        base = re.split(r"\[", part, maxsplit=1)[0].strip()
        if known and base not in (*known, "all"):
            raise UnknownNameError(f"split of {name}", base, known)
    try:
        records = _undecoded(builder, split)
        size = len(records)
    except NotImplementedError as error:
        raise DeparaError(
            f"{name} is prepared in {builder.data_dir} in another format than array_record, which "
            "cannot be read without TensorFlow; prepare it again with --file_format=array_record "
            "in another TFDS_DATA_DIR"
        ) from error
    except (OSError, ValueError, AssertionError) as error:
        raise DeparaError(f"{name}: split {split!r} cannot be read: {_line(error)}") from error

    def read(index: int) -> tuple[str, np.ndarray]:
        record = records[index]
        own = record.get("id")
        id = own.decode() if isinstance(own, bytes) else f"{name}:{split}/{index:06d}"
        return id, _decode(record[image], id)

    return Source(f"{name}:{split}", size, read)


def _undecoded(builder: Any, split: str) -> Any:
    """The records of a split, with images as bytes: TFDS would take OpenCV where it is there."""
    import tensorflow_datasets as tfds

    records = builder.as_data_source(split)
    # Set here and not passed to `as_data_source`, whose mock needs TensorFlow when it is given.
    skip = dict.fromkeys(_images(builder.info.features), tfds.decode.SkipDecoding())
    records.decoders = skip or None
    return records


def _images(features: Any) -> list[str]:
    """The features that are encoded images."""
    import tensorflow_datasets as tfds

    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]


def _image_feature(features: Any, name: str) -> str:
    """The feature named "image", or the only one that is an image."""
    images = _images(features)
    if "image" in images or ("image" in features and _is_raw_image(features["image"])):
        return "image"
    if len(images) != 1:
        found = f"{len(images)} image features" if images else "no image feature"
        raise DeparaError(
            f"{name} has {found} among {', '.join(features)}; expected one that is named 'image', "
            "or a single one"
        )
    return images[0]


def _is_raw_image(feature: Any) -> bool:
    """Whether a feature is an unencoded uint8 [h, w, c]."""
    shape = getattr(feature, "shape", None)
    return isinstance(shape, tuple) and len(shape) == 3 and feature.np_dtype == np.uint8


def _decode(value: Any, id: str) -> np.ndarray:
    """A record's image, encoded or not, as uint8 RGB."""
    try:
        if not isinstance(value, bytes):
            return to_uint8_rgb(np.asarray(value))
        with Image.open(io.BytesIO(value)) as image:
            return to_uint8_rgb(image)
    except DeparaError as error:
        raise DeparaError(f"{id}: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DeparaError(f"{id} cannot be decoded as an image: {error}") from error


def _line(error: BaseException) -> str:
    """The beginning of an error's first line, since a message has one."""
    text = (str(error).strip() or "no reason given").splitlines()[0]
    return f"{type(error).__name__}: {text[:200]}"
