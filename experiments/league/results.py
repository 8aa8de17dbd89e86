"""The raw results as one small file, from which every table and figure is made without training.

Matrices are symmetric and lie in [-1, 1] or near it: the upper triangle of each architecture, and
for the league's methods the block between architectures, as 16-bit fractions of the largest entry
(a resolution of 3e-5, far below what probe images make of it).
"""

import dataclasses
import itertools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import load_arrays, write_atomically

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


_ARRAYS = ("losses", "ahp", "knn", "probe", "quality", "fine_tuned")


def save_results(path: Path, results: Results, *, across: Collection[str] = ()) -> None:
    """Writes the file, in one piece.

    Args:
      path: an .npz.
      results: what to write.
      across: keys of the matrices whose block between architectures is kept.
    """
    arrays: dict[str, Any] = {name: getattr(results, name).astype(np.float32) for name in _ARRAYS}
    scales = {}
    for key, matrix in results.matrices.items():
        arrays[f"matrix:{key}"], scales[key] = _pack(matrix, results.trained, key in across)
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
    results = Results(
        meta=header["meta"],
        names=tuple(header["names"]),
        targets=tuple(header["targets"]),
        **{name: arrays[name].astype(np.float64) for name in _ARRAYS},
        matrices={},
        seconds=header["seconds"],
        sweep={
            key.removeprefix("sweep:"): value.astype(np.float64)
            for key, value in arrays.items()
            if key.startswith("sweep:")
        },
    )
    matrices = {
        key: _unpack(arrays[f"matrix:{key}"], scale, results.trained, key in header["across"])
        for key, scale in header["scales"].items()
    }
    return dataclasses.replace(results, matrices=matrices)


def _pack(matrix: np.ndarray, names: tuple[str, ...], across: bool) -> tuple[np.ndarray, float]:
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, atol=1e-4):
        raise DeparaError("results: a similarity matrix is not finite and symmetric")
    kept = matrix[_places(names, across)]
    scale = float(np.abs(kept).max()) or 1.0
    return np.round(kept / scale * STEPS).astype(np.int16), scale


def _unpack(packed: np.ndarray, scale: float, names: tuple[str, ...], across: bool) -> np.ndarray:
    matrix = np.full((len(names), len(names)), np.nan)
    rows, columns = _places(names, across)
    matrix[rows, columns] = matrix[columns, rows] = packed.astype(np.float64) * scale / STEPS
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _places(names: tuple[str, ...], across: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of what is stored, block by block."""
    architectures = np.array([name.split("/")[1] for name in names])
    groups = [np.flatnonzero(architectures == one) for one in dict.fromkeys(architectures)]
    places = [rows[np.array(np.triu_indices(len(rows), k=1))] for rows in groups]
    if across:
        pairs = itertools.combinations(groups, 2)
        places += [np.array(np.meshgrid(*pair, indexing="ij")).reshape(2, -1) for pair in pairs]
    rows, columns = np.concatenate(places, axis=1)
    return rows, columns
