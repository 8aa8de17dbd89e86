"""Zoos of one's own: a TOML file that names networks of any framework, their weights and input.

    format = 1
    zoo = "mine"

    [[model]]
    name = "flowers"
    architecture = "resnet50"              # one of `depara models`
    weights = "flowers.pth"                # from this file's folder; $VARIABLES and ~ are expanded
    sha256 = "9b1c..."                     # checked when given
    task = "flower species"
    licence = "MIT"
    input = {size = [224, 224], resize = 256, mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.2]}

    [[model]]
    name = "leaves"
    factory = "my_models.py:leaves"        # a function that returns a `Model`; see models.adapters
    task = "leaf species"

Fields of `input` are those of `InputSpec`; without it the architecture's own is taken. A factory is
your own code, which is run; it is called with `weights=PATH` where the entry names weights.
"""

import dataclasses
import functools
import importlib.util
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.model import Model
from depara_jax.models.registry import ARCHITECTURES, build_model
from depara_jax.spec import InputSpec, ModelSpec
from depara_jax.weights.readers import file_sha256

__all__ = ["Entry", "Manifest", "is_manifest", "list_manifest", "load_manifest_model"]

FORMAT = 1
_TEXTS = ("name", "architecture", "factory", "weights", "sha256", "task", "licence", "encoder")
_FIELDS = {**dict.fromkeys(_TEXTS, str), "num_classes": int, "input": dict, "note": str}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of a manifest.

    Attributes:
      name: unique in the manifest.
      architecture: a name of `ARCHITECTURES`; or else `factory` is given.
      factory: "FILE.py:FUNCTION".
      weights: the weights file.
      sha256: digest that the weights file must have.
      task: what the network was trained for.
      licence: of the weights.
      encoder: the layer that stands for the network; the architecture's own by default.
      num_classes: outputs; by default as many as the file has.
      input: preprocessing; the architecture's own by default.
      note: anything.
    """

    name: str
    architecture: str | None = None
    factory: str | None = None
    weights: Path | None = None
    sha256: str | None = None
    task: str | None = None
    licence: str | None = None
    encoder: str | None = None
    num_classes: int | None = None
    input: InputSpec | None = None
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A zoo's entries.

    Attributes:
      path: the TOML file.
      zoo: the zoo's name.
      entries: its networks by name, in the file's order.
    """

    path: Path
    zoo: str
    entries: Mapping[str, Entry]


def is_manifest(zoo: str | os.PathLike[str]) -> bool:
    """Whether a zoo's name is the path of a TOML manifest."""
    return os.fspath(zoo).endswith(".toml")


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Reads and checks a manifest; no weights are read.

    Raises:
      DeparaError: the file is missing or is not TOML, or an entry is not what it must be; the
        message names the entry.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DeparaError(f"zoo manifest {path} does not exist")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeparaError(f"zoo manifest {path} is not TOML: {error}") from error
    if table.get("format") != FORMAT:
        raise DeparaError(
            f"zoo manifest {path}: the first line must be `format = {FORMAT}`, "
            f"found {table.get('format')!r}"
        )
    models = table.get("model")
    if not isinstance(models, list) or not models or not isinstance(table.get("zoo"), str):
        raise DeparaError(
            f"zoo manifest {path}: it needs a name (zoo = ...) and at least one [[model]]"
        )
    entries: dict[str, Entry] = {}
    for number, fields in enumerate(models, start=1):
        where = f"zoo manifest {path}, model {fields.get('name', number)!r}"
        entry = _entry(fields, path.parent, where)
        if entry.name in entries:
            raise DeparaError(f"{where}: the name is there twice")
        entries[entry.name] = entry
    return Manifest(path, table["zoo"], entries)


def list_manifest(path: str | os.PathLike[str]) -> tuple[ModelSpec, ...]:
    """Specs of a manifest's networks; weights files are read, since they decide on the layers."""
    manifest = read_manifest(path)
    return tuple(_spec(manifest, entry, _stamp(entry)) for entry in manifest.entries.values())


def load_manifest_model(name: str, path: str | os.PathLike[str]) -> Model:
    """Loads one network of a manifest.

    Raises:
      UnknownNameError: no such entry.
      DeparaError: its weights are missing, have another digest or do not fit the architecture, or
        its factory fails.
    """
    manifest = read_manifest(path)
    if name not in manifest.entries:
        raise UnknownNameError(f"model of zoo {manifest.zoo!r}", name, manifest.entries)
    return _load(manifest, manifest.entries[name])


def _entry(fields: Mapping[str, Any], folder: Path, where: str) -> Entry:
    for field, value in fields.items():
        if field not in _FIELDS:
            raise DeparaError(f"{where}: {UnknownNameError('field', field, _FIELDS)}")
        if not isinstance(value, _FIELDS[field]):
            raise DeparaError(f"{where}: {field} cannot be {value!r}")
    if not fields.get("name") or any(c in fields["name"] for c in "=,/"):
        raise DeparaError(f"{where}: it needs a name without '=', ',' and '/'")
    if ("architecture" in fields) == ("factory" in fields):
        raise DeparaError(f"{where}: give an architecture or a factory, and not both")
    values = dict(fields)
    if "architecture" in fields:
        if fields["architecture"] not in ARCHITECTURES:
            unknown = UnknownNameError("architecture", fields["architecture"], ARCHITECTURES)
            raise DeparaError(f"{where}: {unknown}")
        if "weights" not in fields:
            raise DeparaError(f"{where}: an architecture needs weights")
    if "weights" in fields:
        expanded = Path(os.path.expandvars(fields["weights"])).expanduser()
        values["weights"] = folder / expanded
    if "input" in fields:
        try:
            values["input"] = _input(fields["input"])
        except (TypeError, DeparaError) as error:
            raise DeparaError(f"{where}: input: {error}") from error
    return Entry(**values)


def _input(fields: Mapping[str, Any]) -> InputSpec:
    """An `InputSpec` of TOML's lists, in which 255 stands for 255.0 too."""
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if field in ("size", "hole"):
            if not _numbers(value, int) or len(value) != 2:
                raise DeparaError(f"{field} must be two whole numbers, got {value!r}")
            values[field] = tuple(value)
        elif field in ("scale", "mean", "std", "clip"):
            if not _numbers(value, int, float):
                raise DeparaError(f"{field} must be a list of numbers, got {value!r}")
            values[field] = tuple(map(float, value))
        elif isinstance(value, {"resize": int, "channels": str}.get(field, object)):
            values[field] = value
        else:
            raise DeparaError(f"{field} cannot be {value!r}")
    return InputSpec(**values)


def _numbers(value: Any, *kinds: type) -> bool:
    """Whether it is a list of these kinds of numbers; `true` is none."""
    return isinstance(value, list) and all(type(item) in kinds for item in value)


def _load(manifest: Manifest, entry: Entry) -> Model:
    where = f"zoo manifest {manifest.path}, model {entry.name!r}"
    try:
        sha256 = _digest(entry)
        if entry.architecture is not None:
            model = build_model(
                entry.architecture,
                weights=entry.weights,
                num_classes=entry.num_classes,
                input=entry.input,
            )
        else:
            model = _made(entry, manifest.path.parent)
        changes: dict[str, Any] = {"name": entry.name, "zoo": manifest.zoo, "sha256": sha256}
        changes |= {"task": entry.task} if entry.task is not None else {}
        changes |= {"encoder": entry.encoder} if entry.encoder is not None else {}
        if entry.factory is not None and entry.input is not None:
            changes["input"] = entry.input
        return dataclasses.replace(model, spec=dataclasses.replace(model.spec, **changes))
    except DeparaError as error:
        raise DeparaError(f"{where}: {error}") from error


def _digest(entry: Entry) -> str | None:
    if entry.weights is None:
        return None
    found = file_sha256(entry.weights)
    if entry.sha256 is not None and found != entry.sha256.lower():
        raise DeparaError(
            f"weights file {entry.weights} has sha256 {found[:12]}..., the manifest says "
            f"{entry.sha256[:12]}...; fetch it again or correct the manifest"
        )
    return found


def _made(entry: Entry, folder: Path) -> Model:
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
        model = make() if entry.weights is None else make(weights=entry.weights)
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


def _stamp(entry: Entry) -> int:
    path = entry.weights
    return path.stat().st_mtime_ns if path is not None and path.is_file() else 0


@functools.lru_cache(maxsize=1024)
def _spec_of(path: Path, zoo: str, entry: Entry, stamp: int) -> ModelSpec:
    del stamp  # only there to read a file again that has changed
    return _load(Manifest(path, zoo, {}), entry).spec


def _spec(manifest: Manifest, entry: Entry, stamp: int) -> ModelSpec:
    return _spec_of(manifest.path, manifest.zoo, entry, stamp)
