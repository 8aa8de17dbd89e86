"""The raw results as one small file, from which every table and figure is made without training.

Matrices are symmetric and lie in [-1, 1] or near it: the upper triangle of each architecture, and
for the league's methods the block between architectures, as 16-bit fractions of the largest entry
(a resolution of 3e-5, far below what probe images make of it).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import load_arrays, write_atomically

__all__ = ["Results", "load_results", "save_results"]

FORMAT = 1
STEPS = 32767


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """What a run measured.

    Attributes:
      meta: configuration, command, machine, seconds a stage, notes.
      names: e encoders as `Encoder.name`, the random controls among them.
      targets: t tasks.
      losses: [e, t, draws] mean held-out loss of a readout.
      ahp: [e, t] Taskonomy's ordinal affinity among the sources of the encoder's architecture and
        seed, the target's own left out; NaN for that one and for controls.
      knn: [e, t] leave-one-out loss of 5 nearest neighbours on labelled target images.
      probe: [e, t] loss of a linear probe on them.
      quality: [e] validation loss on the encoder's own task over that of what learns nothing.
      matrices: {key: [m, m]} of the trained encoders, in the order of `trained`; NaN between
        architectures where that was not kept.
      seconds: {key: seconds a network}.
      sweep: {"COUNT/DRAW": [3, t]} Spearman against the truth of V, E and V + E.
      fine_tuned: rows (encoder's position, target's position, loss after fine-tuning).
    """

    meta: Mapping[str, Any]
    names: tuple[str, ...]
    targets: tuple[str, ...]
    losses: np.ndarray
    ahp: np.ndarray
    knn: np.ndarray
    probe: np.ndarray
    quality: np.ndarray
    matrices: Mapping[str, np.ndarray]
    seconds: Mapping[str, float]
    sweep: Mapping[str, np.ndarray]
    fine_tuned: np.ndarray

    @property
    def trained(self) -> tuple[str, ...]:
        """The encoders that are rows of the matrices."""
        return tuple(name for name in self.names if not name.startswith("random/"))


_ARRAYS = ("losses", "ahp", "knn", "probe", "quality")


def save_results(path: Path, results: Results, *, across: tuple[str, ...] = ()) -> None:
    """Writes the file, in one piece.

    Args:
      path: an .npz.
      results: what to write.
      across: keys of the matrices whose block between architectures is kept.
    """
    arrays: dict[str, Any] = {name: getattr(results, name).astype(np.float32) for name in _ARRAYS}
    groups = _groups(results.trained)
    scales = {}
    for key, matrix in results.matrices.items():
        packed, scales[key] = _pack(matrix, groups, key in across)
        arrays[f"matrix:{key}"] = packed
    for key, values in results.sweep.items():
        arrays[f"sweep:{key}"] = values.astype(np.float16)
    header = {
        "format": FORMAT,
        "meta": dict(results.meta),
        "names": results.names,
        "targets": results.targets,
        "seconds": {k: round(v, 5) for k, v in results.seconds.items()},
        "scales": scales,
        "across": [key for key in results.matrices if key in across],
    }
    arrays["fine_tuned"] = results.fine_tuned.astype(np.float32)
    arrays["header"] = np.array(json.dumps(header, allow_nan=False))
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load_results(path: Path) -> Results:
    """Reads a file of `save_results`.

    Raises:
      DeparaError: it is not one, or of another format.
    """
    arrays = load_arrays(path)
    if not isinstance(arrays, dict) or "header" not in arrays:
        raise DeparaError(f"{path} holds no results of this study; expected a results.npz")
    header = json.loads(str(arrays["header"]))
    if header["format"] != FORMAT:
        raise DeparaError(f"{path}: format {header['format']}, expected {FORMAT}; run it again")
    names = tuple(header["names"])
    trained = tuple(name for name in names if not name.startswith("random/"))
    groups = _groups(trained)
    matrices = {
        key: _unpack(arrays[f"matrix:{key}"], scale, groups, key in header["across"])
        for key, scale in header["scales"].items()
    }
    return Results(
        meta=header["meta"],
        names=names,
        targets=tuple(header["targets"]),
        **{name: arrays[name].astype(np.float64) for name in _ARRAYS},
        matrices=matrices,
        seconds=header["seconds"],
        sweep={
            key.removeprefix("sweep:"): value.astype(np.float64)
            for key, value in arrays.items()
            if key.startswith("sweep:")
        },
        fine_tuned=arrays["fine_tuned"].astype(np.float64),
    )


def _groups(names: tuple[str, ...]) -> list[np.ndarray]:
    """Rows of each architecture."""
    architectures = [name.split("/")[1] for name in names]
    return [np.flatnonzero(np.array(architectures) == one) for one in dict.fromkeys(architectures)]


def _pack(matrix: np.ndarray, groups: list[np.ndarray], across: bool) -> tuple[np.ndarray, float]:
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, atol=1e-4):
        raise DeparaError("results: a similarity matrix is not finite and symmetric")
    kept = np.concatenate([matrix[place] for place in _places(groups, across)])
    scale = float(np.abs(kept).max()) or 1.0
    return np.round(kept / scale * STEPS).astype(np.int16), scale


def _unpack(packed: np.ndarray, scale: float, groups: list[np.ndarray], across: bool) -> np.ndarray:
    size = sum(map(len, groups))
    matrix = np.full((size, size), np.nan)
    values, start = packed.astype(np.float64) * scale / STEPS, 0
    for rows, columns in _places(groups, across):
        part = values[start : start + len(rows)]
        matrix[rows, columns] = matrix[columns, rows] = part
        start += len(rows)
    matrix[np.arange(size), np.arange(size)] = 1.0
    return matrix


def _places(groups: list[np.ndarray], across: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of what is stored, block by block."""
    places = []
    for rows in groups:
        first, second = np.triu_indices(len(rows), k=1)
        places.append((rows[first], rows[second]))
    if across:
        for i, rows in enumerate(groups):
            for columns in groups[i + 1 :]:
                first, second = np.meshgrid(rows, columns, indexing="ij")
                places.append((first.reshape(-1), second.reshape(-1)))
    return places
