"""The readouts of `readouts`, in numpy: what a CPU runs.

With jax 0.10.2 the mapped program hung on two busy cores, every thread of the runtime's pool
waiting for another, so on a CPU the same arithmetic runs in BLAS and LAPACK. A test holds the two
against each other.
"""

import numpy as np
import scipy.linalg

from experiments.league.readouts import RIDGES, Coded

__all__ = ["knn_errors", "probe_error", "readout_errors"]


def readout_errors(
    rows: np.ndarray, targets: Coded, test_rows: np.ndarray, test: Coded
) -> tuple[np.ndarray, np.ndarray]:
    """As `readouts.readout_errors`."""
    cut = len(rows) - len(rows) // 4
    quarter = _predictions(rows[:cut], _part(targets, 0, cut), rows[cut:], RIDGES)
    held = _part(targets, cut, len(rows))
    best = int(np.argmin([_image_losses(guess, held).mean() for guess in quarter]))
    (guess,) = _predictions(rows, targets, test_rows, RIDGES[best : best + 1])
    return _image_losses(guess, test), guess.mean(axis=1)


def probe_error(rows: np.ndarray, targets: Coded) -> float:
    """As `readouts.probe_error`."""
    cut = len(rows) - len(rows) // 4
    held = _part(targets, cut, len(rows))
    guesses = _predictions(rows[:cut], _part(targets, 0, cut), rows[cut:], RIDGES)
    return float(min(_image_losses(guess, held).mean() for guess in guesses))


def knn_errors(pooled: np.ndarray, targets: Coded, *, k: int = 5) -> float:
    """As `readouts.knn_errors`."""
    centred = pooled - pooled.mean(axis=0)
    lengths = (centred**2).sum(axis=1)
    squared = lengths[:, None] + lengths - 2 * centred @ centred.T
    np.fill_diagonal(squared, np.inf)
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return float(_image_losses(targets.values[nearest].mean(axis=1), targets).mean())


def _predictions(
    rows: np.ndarray, targets: Coded, test_rows: np.ndarray, ridges: tuple[float, ...]
) -> list[np.ndarray]:
    weight = targets.weights.mean(axis=2).reshape(-1, 1)
    total = weight.sum()
    flat, values = rows.reshape(-1, rows.shape[2]), targets.values.reshape(len(weight), -1)
    centre, level = ((weight * x).sum(0) / total for x in (flat, values))
    spread = np.sqrt((weight * (flat - centre) ** 2).sum(0) / total)
    scale = np.maximum(spread, 0.1 * np.sqrt((spread**2).mean()) + 1e-6)
    x = (flat - centre) / scale
    weighted = (x * (weight / total)).T
    gram = (weighted @ x).astype(np.float64)
    moment = (weighted @ (values - level)).astype(np.float64)
    tests = ((test_rows - centre) / scale).reshape(-1, rows.shape[2])
    found = []
    for ridge in ridges:
        system = gram + ridge * np.eye(len(gram))
        solved = scipy.linalg.solve(system, moment, assume_a="pos").astype(np.float32)
        guess = tests @ solved + level
        found.append(guess.reshape(*test_rows.shape[:2], -1))
    return found


def _image_losses(guess: np.ndarray, test: Coded) -> np.ndarray:
    squared = test.weights * (guess - test.values) ** 2
    return squared.sum((1, 2)) / test.weights.sum((1, 2))


def _part(targets: Coded, start: int, stop: int) -> Coded:
    return Coded(targets.values[start:stop], targets.weights[start:stop])
