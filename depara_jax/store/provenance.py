"""Where a result comes from: versions, devices, command and time, beside the numbers."""

import datetime
import importlib.metadata
import platform
import shlex
import sys
from typing import Any

from depara_jax.store.keys import code_version

__all__ = ["package_versions", "provenance"]

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "orbax-checkpoint")


def package_versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def provenance(**more: Any) -> dict[str, Any]:
    """Versions, host, devices, command line and wall-clock time, and whatever is added.

    None of it enters an artefact's address or its content digest: the same numbers computed
    elsewhere or at another time are the same artefact. The time is for people; nothing is decided
    by it, so that a clock which jumps does no harm.
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
