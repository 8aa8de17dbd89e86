"""Compiled programs kept between runs of the command line."""

import hashlib
import os
import platform
import re
import sys
from pathlib import Path

from depara_jax.files import cache_root

__all__ = ["keep_compiled_programs"]

# Programs that compile faster than this are cheaper to compile than to look up and read.
WORTH_KEEPING_S = 0.2


def keep_compiled_programs(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Lets JAX keep compiled programs in a folder, so that the next run need not compile them.

    The command line calls this; a script that wants it calls it before its first computation.
    Programs are never wrong for being kept: JAX finds them by a digest of the program, the options
    and its own version. A variable `JAX_COMPILATION_CACHE_DIR` of yours is left alone, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing.

    Args:
      folder: where; by default in the cache folder of depara_jax (`$DEPARA_CACHE`, or
        `~/.cache/depara_jax`), one for each kind of processor.

    Returns:
      The folder in use, `None` where you chose yourself or it cannot be written.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    path = Path(folder) if folder is not None else cache_root() / "compiled" / _processor()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None  # a cache only saves time
    if not os.access(path, os.W_OK):
        return None
    settings = {
        "jax_compilation_cache_dir": str(path),
        "jax_persistent_cache_min_compile_time_secs": WORTH_KEEPING_S,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    # JAX reads its settings from the environment when it is imported, which verbs that compute
    # nothing do without; processes that this one starts inherit them.
    os.environ.update({name.upper(): str(value) for name, value in settings.items()})
    if "jax" in sys.modules:
        import jax

        for name, value in settings.items():
            jax.config.update(name, value)
    return path


def _processor() -> str:
    """A digest of what the processor can do: programs for one may not run on another."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = platform.processor()
    features = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    known = f"{platform.machine()} {features.group(1) if features else text}"
    return hashlib.sha256(known.encode()).hexdigest()[:12]
