"""Scores that need no comparison of networks: naive priors, labelled estimators, and the ceiling.

Each gives [c, c] (or [draws, c, c], where ties are broken at random) for a pool, rows as targets.
"""

from collections.abc import Callable

import numpy as np

from experiments.league.config import Encoder
from experiments.league.judge import Similarity
from experiments.league.study import Pool, Study
from experiments.mini_taskonomy.tasks import TASKS

__all__ = ["REFERENCES", "priors"]

DRAWS = 8
# Rows that know measured transfer: no estimators, but what these should be measured by.
REFERENCES = ("best on the other targets", "the truth of other encoder seeds (ceiling)")


def priors(study: Study) -> dict[str, Similarity]:
    """All of them by title."""
    results = study.results
    sources: dict[str, Callable[[Encoder], float]] = {
        "prior: source's own validation loss": lambda e: -results.quality[study.row[e]],
        "prior: parameter count": lambda e: float(results.meta["parameters"][e.architecture]),
        "random": lambda e: 0.0,
    }
    found = {title: _by_source(study, value) for title, value in sources.items()}
    found["prior: same family of tasks"] = lambda pool: _jittered(_family(study, pool))
    for title, array in (
        ("kNN on 128 target labels", results.knn),
        ("linear probe on 128 target labels", results.probe),
    ):
        found[title] = lambda pool, array=array: -study.of_sources(pool, array)
    found[REFERENCES[0]] = lambda pool: _elsewhere(study, pool)
    found[REFERENCES[1]] = lambda pool: _other_seeds(study, pool)
    return found


def _by_source(study: Study, value: Callable[[Encoder], float]) -> Similarity:
    """The same score of a source for every target."""

    def similarity(pool: Pool) -> np.ndarray:
        row = np.array([value(source) for source in study.candidates(pool)])
        matrix = np.tile(row, (len(row), 1))
        return matrix if len(set(row)) == len(row) else _jittered(matrix)

    return similarity


def _jittered(matrix: np.ndarray) -> np.ndarray:
    """Ties broken at random, many times: a stable order would favour the first names."""
    noise = np.random.default_rng(17).uniform(size=(DRAWS, *matrix.shape))
    return matrix + 1e-6 * np.abs(matrix).max(initial=1.0) * noise


def _family(study: Study, pool: Pool) -> np.ndarray:
    families = np.array([TASKS[source.task].family for source in study.candidates(pool)])
    return (families[:, None] == families).astype(float)


def _other_seeds(study: Study, pool: Pool) -> np.ndarray:
    """Measured transfer of encoders of the same tasks and other seeds."""
    seeds = [seed for seed in study.seeds if seed != pool.source_seed]
    stacks = [study.of_sources(pool._replace(source_seed=seed), study.losses) for seed in seeds]
    return -np.mean(stacks, axis=0)


def _elsewhere(study: Study, pool: Pool) -> np.ndarray:
    """Mean standardised transfer to all targets but the one asked about (other encoder seeds)."""
    matrix, foreign = _other_seeds(study, pool), study.foreign(pool)
    # A source's gain on its own task is not transfer.
    masked = np.where(foreign, matrix, np.nan)
    centre, spread = (f(masked, axis=1, keepdims=True) for f in (np.nanmean, np.nanstd))
    scaled = (masked - centre) / spread
    counted = np.isin([source.task for source in study.candidates(pool)], study.targets)
    return np.stack([np.nanmean(scaled[counted & others], axis=0) for others in foreign])
