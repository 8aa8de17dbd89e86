"""Converted weights, kept so that a file of another framework is converted once.

A converted network is a .safetensors file under the variables' own names, with the digest of its
source, the architecture and its configuration in the header. It needs neither PyTorch nor h5py, and
can be named as weights itself: NAME=FILE.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import cache_root
from depara_jax.weights.readers import read_metadata, read_tensors, write_safetensors

__all__ = ["cache_folder", "read_converted", "remember", "remembered"]

# Changed whenever a conversion would come out differently.
FORMAT = "1"


def cache_folder() -> Path:
    """Where converted weights are kept: `$DEPARA_CACHE`, or `~/.cache/depara_jax`, in `weights`."""
    return cache_root() / "weights"


def remember(
    architecture: str,
    classes: int | None,
    source_sha256: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
) -> None:
    """Keeps a converted network; does nothing where the folder cannot be written.

    Args:
      architecture: its name.
      classes: the number of classes that was asked for, if any.
      source_sha256: digest of the file that it was converted from.
      config: the fields of its configuration.
      tensors: {variable name: array}.
    """
    metadata = {
        "format": FORMAT,
        "architecture": architecture,
        "source_sha256": source_sha256,
        "config": json.dumps(dict(config)),
    }
    path = _path(architecture, classes, source_sha256)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(path, tensors, metadata)
    except (OSError, DeparaError):
        return  # a cache only saves time


def remembered(
    architecture: str, classes: int | None, source_sha256: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """A network converted before: (fields of its configuration, tensors); None if there is none.

    A damaged file, or one of another format or source, counts as none.
    """
    path = _path(architecture, classes, source_sha256)
    if not path.is_file():
        return None
    try:
        if read_metadata(path).get("source_sha256") != source_sha256:
            return None
        return read_converted(path, architecture)
    except DeparaError:
        return None


def read_converted(
    path: str | os.PathLike[str], architecture: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """A converted network's configuration and tensors; None if the file is not one of these.

    Raises:
      DeparaError: it is one of another architecture, or cannot be read.
    """
    metadata = read_metadata(path)
    if "config" not in metadata or metadata.get("format") != FORMAT:
        return None
    if metadata.get("architecture") != architecture:
        raise DeparaError(
            f"weights file {path} holds a {metadata.get('architecture')}, not a {architecture}"
        )
    try:
        config = json.loads(metadata["config"])
    except ValueError as error:
        raise DeparaError(f"weights file {path} has a damaged header ({error})") from error
    return config, read_tensors(path)


def _path(architecture: str, classes: int | None, source_sha256: str) -> Path:
    asked = "" if classes is None else f"-{classes}"
    name = architecture.replace("/", "_")
    return cache_folder() / f"{name}{asked}-{source_sha256[:16]}.safetensors"
