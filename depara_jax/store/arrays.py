"""Named arrays through orbax, and what their bytes digest to."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["content_digest", "describe", "read_arrays", "write_arrays"]


def describe(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Shape, dtype and sha256 of every array's bytes."""
    return {
        name: {
            "shape": list(array.shape),
            "dtype": array.dtype.str,
            "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
        }
        for name, array in sorted(arrays.items())
    }


def content_digest(described: Mapping[str, Mapping[str, Any]]) -> str:
    """One digest of all arrays: equal if and only if they are, byte for byte."""
    parts = [
        f"{name}:{d['dtype']}:{d['shape']}:{d['sha256']}" for name, d in sorted(described.items())
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def write_arrays(path: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Saves arrays as an orbax checkpoint, which must not exist yet.

    Empty arrays are left out, which orbax does not take; the record knows their shape.

    Raises:
      OSError: they cannot be written; orbax and tensorstore have many other names for that.
    """
    filled = {name: np.asarray(array) for name, array in arrays.items() if array.size}
    if not filled:
        return
    try:
        with _checkpointer() as checkpointer:
            checkpointer.save(path, filled)
    except OSError:
        raise
    except Exception as error:
        raise OSError(None, " ".join(str(error).split()) or type(error).__name__) from error


def read_arrays(path: Any, described: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Reads what `write_arrays` saved."""
    filled = {}
    if any(0 not in d["shape"] for d in described.values()):
        with _checkpointer() as checkpointer:
            filled = checkpointer.restore(path)
    empty = {
        name: np.zeros(d["shape"], d["dtype"]) for name, d in described.items() if 0 in d["shape"]
    }
    return {name: np.asarray(value) for name, value in filled.items()} | empty


def _checkpointer() -> Any:
    import jax
    import orbax.checkpoint as ocp

    # One process reads or writes, whatever the others of the job do: no barrier between them.
    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"depara{me}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)
