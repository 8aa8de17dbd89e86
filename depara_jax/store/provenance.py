"""Where a result comes from: versions, devices, command and time, beside the numbers."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.recipe import Recipe
from depara_jax.store.keys import canonical, code_version
from depara_jax.types import ModelLike

__all__ = ["input_digests", "method_facts", "package_versions", "provenance"]

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "orbax-checkpoint")


def package_versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def provenance(more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Versions, host, devices, command line and wall-clock time, and whatever is added.

    None of it enters an artefact's address or its content digest: the same numbers computed
    elsewhere or at another time are the same artefact. The time is for people; nothing is decided
    by it, so that a clock which jumps does no harm.

    Args:
      more: further entries; one of the same name takes the place of what is found here.
    """
    import jax

    devices = jax.devices()
    return {
        "code": code_version(),
        "versions": package_versions(),
        "python": platform.python_version(),
        "host": platform.node(),
        "devices": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
        },
        "command": shlex.join(sys.argv),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
    }


def method_facts(recipe: Recipe, probe: str, models: Iterable[ModelLike] = ()) -> dict[str, Any]:
    """What decides a result's numbers apart from the code, for its provenance.

    `check_comparable` compares these.

    Args:
      recipe: as it was used, with the grid that was found.
      probe: fingerprint of the probe images and their order.
      models: the networks; each is entered with the digest of its weights file (None without a
        file) and its preprocessing.
    """
    return {
        "recipe": recipe.to_dict(),
        "probe": probe,
        "dtype": "float32",
        "networks": {
            model.spec.name: {
                "weights": model.spec.sha256 or None,
                # As a file gives it back: lists, not tuples.
                "preprocessing": json.loads(canonical(dataclasses.asdict(model.spec.input))),
            }
            for model in models
        },
    }


def input_digests(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """SHA-256 of each file that a result was computed from, by its path.

    Raises:
      DeparaError: one of them cannot be read.
    """
    digests = {}
    for given in paths:
        path = os.fspath(given)
        try:
            with open(path, "rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DeparaError(f"{path}: cannot be read ({error.strerror})") from error
    return digests
