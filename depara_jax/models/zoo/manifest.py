"""A zoo is a TOML file that names networks of any framework, their weights and their input.

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
    name = "narrow"
    architecture = "cifar_resnet20"
    weights = "narrow.safetensors"
    configuration = {width = 0.5}          # what differs from the architecture's own

    [[model]]
    name = "leaves"
    factory = "my_models.py:leaves"        # a function that returns a `Model`; see models.adapters
    task = "leaf species"

Fields of `input` are those of `InputSpec`; without it the architecture's own is taken. Without
`configuration` the file's tensors say what differs. A factory is your own code, which is run; it is
called with `weights=PATH` where the entry names weights. A folder with a `zoo.toml` stands for it.
"""

import dataclasses
import functools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.port import replaced
from depara_jax.models.zoo.architectures import ARCHITECTURES
from depara_jax.spec import InputSpec

__all__ = ["FILE", "FORMAT", "Entry", "Manifest", "read_manifest", "zoo_names"]

FORMAT = 1
FILE = "zoo.toml"  # in a zoo's folder
_PACKAGED = Path(__file__).resolve().parents[2] / "zoo"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of a manifest.

    Attributes:
      name: unique in the manifest.
      architecture: a name of `ARCHITECTURES`; or else `factory` is given.
      factory: "FILE.py:FUNCTION".
      weights: the weights file as the manifest names it; see `Manifest.weights`.
      sha256: digest that the weights file must have.
      task: what the network was trained for.
      licence: of the weights.
      encoder: the layer that stands for the network; the architecture's own by default.
      num_classes: outputs; by default as many as the file has.
      configuration: fields of the architecture's configuration that differ from its own; by default
        what the file's tensors ask for.
      input: preprocessing; the architecture's own by default.
      note: anything.
    """

    name: str
    architecture: str | None = None
    factory: str | None = None
    weights: str | None = None
    sha256: str | None = None
    task: str | None = None
    licence: str | None = None
    encoder: str | None = None
    num_classes: int | None = None
    configuration: Mapping[str, Any] | None = None
    input: InputSpec | None = None
    note: str | None = None


# What TOML gives for each of these.
_KINDS = {field.name: str for field in dataclasses.fields(Entry)}
_KINDS |= {"num_classes": int, "configuration": dict, "input": dict}


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """A zoo's entries; the same object as long as the file stays as it is.

    Attributes:
      path: the TOML file.
      zoo: the zoo's name.
      entries: its networks by name, in the file's order.
    """

    path: Path
    zoo: str
    entries: Mapping[str, Entry]

    def weights(self, entry: Entry) -> Path | None:
        """Where an entry's weights are, with $VARIABLES and ~ expanded."""
        if entry.weights is None:
            return None
        return self.path.parent / Path(os.path.expandvars(entry.weights)).expanduser()

    def where(self, entry: Entry) -> str:
        """What messages call an entry."""
        return f"zoo manifest {self.path}, model {entry.name!r}"


def zoo_names() -> tuple[str, ...]:
    """The packaged zoos."""
    return tuple(sorted(path.parent.name for path in _PACKAGED.glob(f"*/{FILE}")))


def read_manifest(zoo: str | os.PathLike[str]) -> Manifest:
    """Reads and checks a zoo's manifest; no weights are read.

    Args:
      zoo: a packaged zoo, a folder with a zoo.toml, or a TOML file.

    Raises:
      UnknownNameError: it is none of these.
      DeparaError: the file is missing or is not TOML, or an entry is not what it must be; the
        message names the entry.
    """
    path = _manifest_path(zoo)
    try:
        status = path.stat()
    except OSError as error:
        raise DeparaError(f"zoo manifest {path} does not exist") from error
    return _parsed(path, status.st_mtime_ns, status.st_size)


def _manifest_path(zoo: str | os.PathLike[str]) -> Path:
    if os.fspath(zoo).endswith(".toml"):
        return Path(zoo).expanduser()
    for folder in (_PACKAGED / zoo, Path(zoo).expanduser()):
        if (folder / FILE).is_file():
            return folder / FILE
        if (folder / "manifest.json").is_file():
            raise DeparaError(
                f"zoo {folder} has a manifest.json, which is no longer read; write a {FILE} beside "
                "it: format = 1, zoo = NAME, and for each network a [[model]] with name, "
                'architecture ("encoder-residual4"), weights (was file), sha256, task and '
                "configuration (was encoder); docs/models.md has an example"
            )
    hint = f"or a folder that holds a {FILE}, or a .toml file"
    raise UnknownNameError("zoo", os.fspath(zoo), zoo_names(), hint=hint)


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, *stamp: int) -> Manifest:
    del stamp  # only there to read a file again that has changed
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
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
        if not isinstance(fields, dict):
            raise DeparaError(f"zoo manifest {path}: model {number} is not a table")
        where = f"zoo manifest {path}, model {fields.get('name', number)!r}"
        entry = _entry(fields, where)
        if entry.name in entries:
            raise DeparaError(f"{where}: the name is there twice")
        entries[entry.name] = entry
    return Manifest(path, table["zoo"], entries)


def _entry(fields: Mapping[str, Any], where: str) -> Entry:
    for field, value in fields.items():
        if field not in _KINDS:
            raise DeparaError(f"{where}: {UnknownNameError('field', field, _KINDS)}")
        if not isinstance(value, _KINDS[field]):
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
    elif "configuration" in fields:
        raise DeparaError(f"{where}: a configuration needs an architecture")
    try:
        if "configuration" in fields:
            replaced(ARCHITECTURES[fields["architecture"]].config, fields["configuration"])
        if "input" in fields:
            values["input"] = _input(fields["input"])
    except DeparaError as error:
        raise DeparaError(f"{where}: {error}") from error
    return Entry(**values)


def _input(fields: Mapping[str, Any]) -> InputSpec:
    """An `InputSpec` of TOML's lists, in which 255 stands for 255.0 too."""
    values = dict(fields)
    for field, value in fields.items():
        if field in ("size", "hole"):
            if not _numbers(value, int) or len(value) != 2:
                raise DeparaError(f"input: {field} must be two whole numbers, got {value!r}")
            values[field] = tuple(value)
        elif field in ("scale", "mean", "std", "clip"):
            if not _numbers(value, int, float):
                raise DeparaError(f"input: {field} must be a list of numbers, got {value!r}")
            values[field] = tuple(map(float, value))
        elif not isinstance(value, {"resize": int, "channels": str}.get(field, object)):
            raise DeparaError(f"input: {field} cannot be {value!r}")
    try:
        return InputSpec(**values)
    except (TypeError, DeparaError) as error:
        raise DeparaError(f"input: {error}") from error


def _numbers(value: Any, *kinds: type) -> bool:
    """Whether it is a list of these kinds of numbers; `true` is none."""
    return isinstance(value, list) and all(type(item) in kinds for item in value)
