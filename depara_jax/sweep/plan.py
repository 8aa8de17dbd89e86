"""A plan: which models, layers, recipes and probe sets; a frozen value, read from TOML."""

import dataclasses
import hashlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.recipe import Recipe, check_fields, recipe_named
from depara_jax.store.keys import KINDS, canonical

__all__ = ["Plan", "ProbeEntry", "parse_plan", "read_plan"]

# Words of `layers` that each model answers in its own way.
ENCODER, ALL = "encoder", "all"
_RAY = {"address": str, "num_cpus": float, "num_gpus": float, "resources": dict, "retries": int}


@dataclasses.dataclass(frozen=True)
class ProbeEntry:
    """One probe set of a plan: what `load_probe` takes."""

    source: str
    count: int | None = None
    seed: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep computes, and on what.

    Attributes:
      zoo: where plain model names are looked up; a packaged zoo, a folder or a manifest.
      models: names as `load_model` takes them; empty for all of the zoo.
      layers: names, "encoder" (each model's own), or "all".
      recipes: with distinct names.
      probes: distinct probe sets.
      keep: kinds of artefact, of `depara_jax.store.KINDS`.
      batch_size: images a step; None for the default.
      images: devices that probe images are sharded over; 0 for all that are left.
      parameters: devices that each model's parameters are sharded over.
      ray: address, num_cpus, num_gpus, resources and retries of the Ray engine's tasks.
    """

    zoo: str = "mini"
    models: tuple[str, ...] = ()
    layers: tuple[str, ...] = (ENCODER,)
    recipes: tuple[Recipe, ...]
    probes: tuple[ProbeEntry, ...]
    keep: tuple[str, ...] = ("graph",)
    batch_size: int | None = None
    images: int = 1
    parameters: int = 1
    ray: tuple[tuple[str, Any], ...] = ()

    @property
    def digest(self) -> str:
        """Of what is computed; how and where does not enter."""
        fields = dataclasses.asdict(self)
        for name in ("batch_size", "images", "parameters", "ray"):
            del fields[name]
        return hashlib.sha256(canonical(fields).encode()).hexdigest()


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Reads a plan file. Relative paths in it are taken from where the sweep is run.

    Raises:
      DeparaError: it is missing, not TOML, or says something that means nothing.
      UnknownNameError: a key, recipe or kind that does not exist; the near ones are offered.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DeparaError(f"plan {path}: cannot be read as TOML ({reason})") from error
    try:
        return parse_plan(content)
    except DeparaError as error:
        raise DeparaError(f"plan {path}: {error}") from error


def parse_plan(content: Mapping[str, Any]) -> Plan:
    """A plan from what its file holds.

    Raises:
      DeparaError: as `read_plan`.
    """
    keys = ("zoo", "models", "layers", "recipes", "probes", "keep", "batch_size", "devices", "ray")
    _check_keys("key", content, keys)
    recipes = tuple(_recipe(value) for value in _list(content, "recipes", ["default"]))
    probes = tuple(_probe(value) for value in _list(content, "probes", ["photographs:probe[:200]"]))
    models = tuple(_texts(content, "models", [])) if content.get("models") != ALL else ()
    if "models" in content and content["models"] == []:
        raise DeparaError("models is empty; leave it out to take all of the zoo")
    layers = tuple(_texts(content, "layers", [ENCODER]))
    keep = tuple(_texts(content, "keep", ["graph"]))
    for kind in keep:
        if kind not in KINDS:
            raise UnknownNameError("kind in keep", kind, KINDS)
    if ALL in layers and len(layers) > 1:
        raise DeparaError(f"layers names {ALL!r} and others; {ALL!r} has them already")
    for name, values in (
        ("models", models), ("layers", layers), ("keep", keep), ("probes", probes),
        ("recipes", tuple(recipe.name for recipe in recipes)),
    ):  # fmt: skip
        _check_distinct(name, values)
    devices = _table(content, "devices", {"images": int, "parameters": int})
    for name, value in devices.items():
        if value < (name == "parameters"):
            raise DeparaError(f"devices.{name} is {value}; expected a number of devices")
    batch_size = content.get("batch_size")
    if batch_size is not None and not (type(batch_size) is int and batch_size > 0):
        raise DeparaError(f"batch_size is {batch_size!r}; expected a whole number above 0")
    return Plan(
        zoo=_text("zoo", content.get("zoo", "mini")),
        models=models,
        layers=layers,
        recipes=recipes,
        probes=probes,
        keep=keep,
        batch_size=batch_size,
        **devices,
        ray=tuple(sorted(_table(content, "ray", _RAY).items())),
    )


def _recipe(value: Any) -> Recipe:
    """A preset's name, or a table: `base`, `name` and the fields that differ."""
    if isinstance(value, str):
        return recipe_named(value)
    if not isinstance(value, dict):
        raise DeparaError(
            f"recipes holds {value!r}; expected names or tables such as "
            '{base = "paper", grid = 16}'
        )
    fields = dict(value)
    base = _text("recipes.base", fields.pop("base", "default"))
    check_fields(fields)
    # TOML has 1 where a person means 1.0.
    for name in ("lam", "node_weight", "epsilon"):
        if type(fields.get(name)) is int:
            fields[name] = float(fields[name])
    return recipe_named(base).replace(**fields)


def _probe(value: Any) -> ProbeEntry:
    if isinstance(value, str):
        return ProbeEntry(value)
    if not isinstance(value, dict):
        raise DeparaError(
            f"probes holds {value!r}; expected texts or tables with source, count and seed"
        )
    _check_keys("probe field", value, ("source", "count", "seed"))
    for name in ("count", "seed"):
        if not isinstance(value.get(name), int | None) or value.get(name) is True:
            raise DeparaError(f"probes: {name} is {value[name]!r}; expected a whole number")
    _text("probes.source", value.get("source"))
    return ProbeEntry(**value)


def _table(content: Mapping[str, Any], name: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """A sub-table with typed entries."""
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise DeparaError(f"{name} is {table!r}; expected a table, [{name}]")
    _check_keys(f"key in [{name}]", table, kinds)
    for key, value in table.items():
        kind = (int, float) if kinds[key] is float else kinds[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DeparaError(f"{name}.{key} is {value!r}; expected {kinds[key].__name__}")
    return dict(table)


def _list(content: Mapping[str, Any], name: str, default: list[Any]) -> list[Any]:
    value = content.get(name, default)
    if not isinstance(value, list) or not (value or name == "models"):
        raise DeparaError(f"{name} is {value!r}; expected a list that is not empty")
    return value


def _texts(content: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    return [_text(f"an entry of {name}", value) for value in _list(content, name, default)]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise DeparaError(f"{name} is {value!r}; expected a text")
    return value


def _check_keys(what: str, given: Mapping[str, Any], known: Sequence[str] | Mapping) -> None:
    for key in given:
        if key not in known:
            raise UnknownNameError(what, key, known)


def _check_distinct(name: str, values: Sequence[Any]) -> None:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise DeparaError(f"{name} names {', '.join(twice)} more than once")
