"""Scores that need no comparison of networks: naive priors, labelled estimators, and the ceiling.

Each gives [c, c] (or [draws, c, c], where ties are broken at random) for a pool, rows as targets.
"""

from collections.abc import Callable, Mapping

import numpy as np

from experiments.league.config import RANDOM
from experiments.league.judge import Similarity
from experiments.league.study import Pool, Study
from experiments.mini_taskonomy.tasks import TASKS

__all__ = ["REFERENCES", "priors"]

DRAWS = 8
# Rows that know measured transfer: no estimators, but what these should be measured by.
REFERENCES = ("best on the other targets", "the truth of other encoder seeds (ceiling)")


def priors(study: Study, parameters: Mapping[str, int]) -> dict[str, Similarity]:
    """All of them by title.

    Args:
      study: the results.
      parameters: weights of an encoder by architecture.
    """
    results = study.results
    sources: dict[str, Callable[[list[str]], np.ndarray]] = {
        "prior: source's own validation loss": lambda names: (
            -np.array([results.quality[study.row[name]] for name in names])
        ),
        "prior: parameter count": lambda names: np.array(
            [float(parameters[name.split("/")[1]]) for name in names]
        ),
        "random": lambda names: np.zeros(len(names)),
    }
    found = {title: _by_source(study, values) for title, values in sources.items()}
    found["prior: same family of tasks"] = lambda pool: _jittered(_family(study, pool))
    for title, array in (
        ("kNN on 128 target labels", results.knn),
        ("linear probe on 128 target labels", results.probe),
    ):
        found[title] = lambda pool, array=array: -_of_sources(study, pool, array)
    found[REFERENCES[0]] = lambda pool: _elsewhere(study, pool)
    found[REFERENCES[1]] = lambda pool: _other_seeds(study, pool)
    return found


def _by_source(study: Study, values: Callable[[list[str]], np.ndarray]) -> Similarity:
    """The same score of a source for every target."""

    def similarity(pool: Pool) -> np.ndarray:
        row = values(study.candidates(pool))
        matrix = np.tile(row, (len(row), 1))
        return matrix if len(set(row)) == len(row) else _jittered(matrix)

    return similarity


def _jittered(matrix: np.ndarray) -> np.ndarray:
    """Ties broken at random, many times: a stable order would favour the first names."""
    noise = np.random.default_rng(17).uniform(size=(DRAWS, *matrix.shape))
    return matrix + 1e-6 * np.abs(matrix).max(initial=1.0) * noise


def _family(study: Study, pool: Pool) -> np.ndarray:
    families = np.array([TASKS[name.split("/")[0]].family for name in study.candidates(pool)])
    return (families[:, None] == families).astype(float)


def _of_sources(study: Study, pool: Pool, array: np.ndarray) -> np.ndarray:
    """Array [e, t] as [c, c]: row i for the task of candidate i."""
    names = study.candidates(pool)
    tasks = [study.tasks.index(name.split("/")[0]) for name in names]
    return array[[study.row[name] for name in names]].T[tasks]


def _other_seeds(study: Study, pool: Pool) -> np.ndarray:
    """Measured transfer of encoders of the same tasks and other seeds."""
    losses = study.results.losses.mean(axis=2)
    seeds = [seed for seed in study.seeds if seed != pool.source_seed]
    stacks = [_of_sources(study, pool._replace(source_seed=seed), losses) for seed in seeds]
    return -np.mean(stacks, axis=0)


def _elsewhere(study: Study, pool: Pool) -> np.ndarray:
    """Mean standardised transfer to all targets but the one asked about (other encoder seeds)."""
    matrix = _other_seeds(study, pool)
    names = study.candidates(pool)
    tasks = np.array([name.split("/")[0] for name in names])
    assert RANDOM not in tasks
    counted = np.isin(tasks, study.targets)
    foreign = tasks[:, None] != tasks
    masked = np.where(foreign, matrix, np.nan)
    scaled = (matrix - np.nanmean(masked, axis=1, keepdims=True)) / np.nanstd(
        masked, axis=1, keepdims=True
    )
    result = np.empty_like(matrix)
    for i, task in enumerate(tasks):
        rows = counted & (tasks != task)
        # A source's gain on its own task is not transfer.
        result[i] = np.nanmean(np.where(foreign[rows], scaled[rows], np.nan), axis=0)
    return result
