"""Zoos: folders of trained encoders with a manifest, such as the packaged `mini`.

A zoo is `manifest.json` and one .safetensors file a network. The manifest says how each network was
made and how well it does, and carries its file's SHA-256, which is checked before the file is used.
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.encoder import EncoderConfig, build_encoder, unflatten_variables
from depara_jax.models.manifest import is_manifest, list_manifest, load_manifest_model
from depara_jax.models.model import Model
from depara_jax.spec import ModelSpec
from depara_jax.weights.readers import file_sha256, read_tensors

__all__ = ["FORMAT", "list_zoo", "load_zoo_model", "read_manifest", "zoo_folder", "zoo_names"]

FORMAT = 1
# What an entry of the manifest must have for the network to be loaded.
FIELDS = {"name": str, "file": str, "sha256": str, "task": str | None, "encoder": dict}
_PACKAGED = Path(__file__).resolve().parent.parent / "zoo"


def zoo_names() -> tuple[str, ...]:
    """The packaged zoos."""
    return tuple(sorted(path.parent.name for path in _PACKAGED.glob("*/manifest.json")))


def zoo_folder(zoo: str | os.PathLike[str]) -> Path:
    """The folder of a packaged zoo, or `zoo` itself if it is a folder with a manifest.

    Raises:
      UnknownNameError: it is neither.
    """
    for folder in (_PACKAGED / zoo, Path(zoo)):
        if (folder / "manifest.json").is_file():
            return folder
    raise UnknownNameError(
        "zoo",
        str(zoo),
        zoo_names(),
        hint="or a folder that holds a manifest.json, or a .toml manifest",
    )


def list_zoo(zoo: str | os.PathLike[str] = "mini") -> tuple[ModelSpec, ...]:
    """The zoo's networks, in the manifest's order; no weights are read.

    Raises:
      UnknownNameError: there is no such zoo.
      DeparaError: the manifest is damaged.
    """
    if is_manifest(zoo):
        return list_manifest(zoo)
    manifest = read_manifest(zoo)
    return tuple(_spec(entry, manifest) for entry in manifest["models"])


def load_zoo_model(name: str, zoo: str | os.PathLike[str] = "mini") -> Model:
    """Loads one network of a zoo.

    Args:
      name: its name in the zoo.
      zoo: a packaged zoo, a folder with a manifest, or a TOML manifest (`models.manifest`).

    Raises:
      UnknownNameError: there is no such zoo or network; the message offers the near ones.
      DeparaError: the network's file is missing, damaged or does not fit its architecture.
    """
    if is_manifest(zoo):
        return load_manifest_model(name, zoo)
    manifest = read_manifest(zoo)
    entries = {entry["name"]: entry for entry in manifest["models"]}
    if name not in entries:
        raise UnknownNameError(f"model of zoo {manifest['zoo']!r}", name, entries)
    entry = entries[name]
    path = zoo_folder(zoo) / entry["file"]
    digest = file_sha256(path)
    if digest != entry["sha256"]:
        raise DeparaError(
            f"weights file {path} is damaged: its sha256 is {digest[:12]}..., the manifest says "
            f"{entry['sha256'][:12]}...; install the package again or make the zoo anew"
        )
    config = EncoderConfig.from_json(entry["encoder"])
    variables = unflatten_variables(read_tensors(path), config, source=f"weights file {path}")
    return build_encoder(
        variables,
        config,
        name=name,
        task=entry["task"],
        zoo=manifest["zoo"],
        sha256=entry["sha256"],
    )


def read_manifest(zoo: str | os.PathLike[str] = "mini") -> Mapping[str, Any]:
    """A zoo's manifest: how and from what its networks were made, and their measured quality.

    Raises:
      UnknownNameError: there is no such zoo.
      DeparaError: the manifest is damaged.
    """
    path = zoo_folder(zoo) / "manifest.json"
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, stamp: int) -> Mapping[str, Any]:
    del stamp  # only there to read a manifest again that has changed
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise DeparaError(
                f"zoo manifest {path} has format {manifest['format']}, expected {FORMAT}; "
                "it was made by another version of depara_jax"
            )
        _check_type(manifest, "zoo", str)
        _check_type(manifest, "models", list)
        for entry in manifest["models"]:
            for field, kind in FIELDS.items():
                _check_type(entry, field, kind)
            _spec(entry, manifest)
    except DeparaError as error:
        if str(path) in str(error):
            raise
        raise DeparaError(f"zoo manifest {path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeparaError(
            f"zoo manifest {path} is damaged ({type(error).__name__}: {error}); "
            "install the package again or make the zoo anew"
        ) from error
    return manifest


def _check_type(fields: Mapping[str, Any], name: str, kind: Any) -> None:
    """Refuses a field of the wrong type; one that is missing is a KeyError."""
    if not isinstance(fields[name], kind):
        raise TypeError(f"{name!r} cannot be {json.dumps(fields[name])[:40]}")


def _spec(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> ModelSpec:
    names = {"name": entry["name"], "task": entry["task"], "zoo": manifest["zoo"]}
    return build_encoder(
        None, EncoderConfig.from_json(entry["encoder"]), sha256=entry["sha256"], **names
    ).spec
