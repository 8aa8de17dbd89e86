"""Models by name: the networks of zoos, and architectures with weights of one's own."""

import dataclasses
import difflib
import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.model import Model
from depara_jax.models.zoo.architectures import ARCHITECTURES, build_model
from depara_jax.models.zoo.manifest import Entry, Manifest, read_manifest, zoo_names
from depara_jax.spec import ModelSpec
from depara_jax.weights.readers import file_sha256

__all__ = ["list_models", "load_model"]


def list_models(zoo: str | os.PathLike[str] | None = None) -> tuple[ModelSpec, ...]:
    """Every network that can be named: those of one zoo, or of all zoos and the architectures.

    Weights are read only where they decide on the layers and the zoo does not say the
    configuration, or where it has no digest. Architectures have no zoo and no task; they need
    weights (`load_model("vgg19_bn=FILE")`).

    Raises:
      UnknownNameError: no such zoo.
      DeparaError: the zoo's file is damaged, or weights that have to be read do not fit.
    """
    if zoo is not None:
        manifest = read_manifest(zoo)
        return tuple(_listed(manifest, entry) for entry in manifest.entries.values())
    zoos = tuple(spec for name in zoo_names() for spec in list_models(name))
    return zoos + tuple(architecture.spec() for architecture in ARCHITECTURES.values())


def load_model(name: str, *, zoo: str | os.PathLike[str] = "mini") -> Model:
    """A model by name.

    Args:
      name: one of
        "edges": a network of `zoo`;
        "mini/edges": of the zoo before the slash;
        "vgg19_bn=path/to/weights.safetensors": an architecture with a weights file;
        "vgg19_bn=random:0": an architecture with random weights of seed 0.
      zoo: where plain names are looked up: a packaged zoo, a zoo's folder or its TOML file.

    Raises:
      UnknownNameError: no such zoo, network or architecture; the near ones are offered.
      DeparaError: an architecture without weights, or weights that do not fit it.
    """
    head, equals, weights = name.partition("=")
    if equals:
        return _architecture(head, weights)
    if "/" in name and name not in ARCHITECTURES:
        folder, _, last = name.rpartition("/")
        manifest = read_manifest(folder)
        if last not in manifest.entries:
            raise UnknownNameError(f"model of zoo {manifest.zoo!r}", last, manifest.entries)
        return _load(manifest, manifest.entries[last])
    manifest = read_manifest(zoo)
    if name in manifest.entries:
        return _load(manifest, manifest.entries[name])
    if name in ARCHITECTURES:
        raise DeparaError(
            f"model {name!r} is an architecture and needs weights: {name}=FILE (safetensors, npz, "
            f"pth) or {name}=random:SEED"
        )
    known = [*manifest.entries, *ARCHITECTURES]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = "" if near else f"zoo {os.fspath(zoo)!r}; `depara models` lists all"
    raise UnknownNameError("model", name, known, hint=hint)


def _architecture(name: str, weights: str) -> Model:
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    kind, _, seed = weights.partition(":")
    if kind == "random":
        # int() would take other scripts' digits, and JAX's keys have 32 bits.
        if not (seed.isascii() and seed.isdecimal() and len(seed) <= 10 and int(seed) < 2**32):
            raise DeparaError(
                f"model {name}={weights}: the seed must be a whole number below 2**32, for "
                f"instance {name}=random:0"
            )
        return build_model(name, random_seed=int(seed))
    if not weights:
        raise DeparaError(f"model {name}=: names no weights file; give {name}=FILE")
    return build_model(name, weights=Path(weights).expanduser())


def _listed(manifest: Manifest, entry: Entry) -> ModelSpec:
    weights = manifest.weights(entry)
    if entry.architecture is not None and entry.sha256 is not None:
        architecture = ARCHITECTURES[entry.architecture]
        if architecture.configure is None or entry.configuration is not None:
            try:
                config = architecture.configured(entry.num_classes, entry.configuration)
                spec = architecture.spec(config, input=entry.input)
                return _named(spec, manifest, entry, entry.sha256.lower())
            except DeparaError as error:
                raise DeparaError(f"{manifest.where(entry)}: {error}") from error
    stamp = weights.stat().st_mtime_ns if weights is not None and weights.is_file() else 0
    return _read_spec(manifest, entry.name, stamp)


@functools.lru_cache(maxsize=1024)
def _read_spec(manifest: Manifest, name: str, stamp: int) -> ModelSpec:
    del stamp  # only there to read a file again that has changed
    return _load(manifest, manifest.entries[name]).spec


def _load(manifest: Manifest, entry: Entry) -> Model:
    try:
        weights = manifest.weights(entry)
        sha256 = None if weights is None else _checked_digest(weights, entry.sha256)
        if entry.architecture is not None:
            model = build_model(
                entry.architecture,
                weights=weights,
                num_classes=entry.num_classes,
                configuration=entry.configuration,
                input=entry.input,
            )
        else:
            model = _made(entry, weights, manifest.path.parent)
        return dataclasses.replace(model, spec=_named(model.spec, manifest, entry, sha256))
    except DeparaError as error:
        raise DeparaError(f"{manifest.where(entry)}: {error}") from error


def _named(spec: ModelSpec, manifest: Manifest, entry: Entry, sha256: str | None) -> ModelSpec:
    """The spec of an architecture or of a factory's model, with what the zoo says of it."""
    changes: dict[str, Any] = {"name": entry.name, "zoo": manifest.zoo, "sha256": sha256}
    said = {"task": entry.task, "encoder": entry.encoder, "input": entry.input}
    changes |= {field: value for field, value in said.items() if value is not None}
    return dataclasses.replace(spec, **changes)


def _checked_digest(weights: Path, expected: str | None) -> str:
    found = file_sha256(weights)
    if expected is not None and found != expected.lower():
        raise DeparaError(
            f"weights file {weights} has sha256 {found[:12]}..., the manifest says "
            f"{expected[:12]}...; fetch it again or correct the manifest"
        )
    return found


def _made(entry: Entry, weights: Path | None, folder: Path) -> Model:
    """What a factory returns."""
    assert entry.factory is not None
    file, _, function = entry.factory.rpartition(":")
    path = folder / Path(file).expanduser()
    if not path.is_file() or not function:
        raise DeparaError(f"factory {entry.factory!r}: expected FILE.py:FUNCTION, found no {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        make = getattr(module, function)
        model = make() if weights is None else make(weights=weights)
    except DeparaError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a user's code raises, say which entry
        raise DeparaError(
            f"factory {entry.factory!r} failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, Model):
        raise DeparaError(
            f"factory {entry.factory!r} returned a {type(model).__name__}, expected a Model; "
            "see depara_jax.models.adapters"
        )
    return model
