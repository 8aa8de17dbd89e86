"""The league table: every method, prior and reference, scored in one way."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.league.config import Encoder
from experiments.league.judge import Score, Similarity, by_method, correlations, judge, score
from experiments.league.methods import METHODS
from experiments.league.study import Pool, Study
from experiments.mini_taskonomy.tasks import TASKS

BASELINE = "E alone, z-scored"  # what every row is compared with, target by target
AHP, DIFFERENCE = "Spearman, AHP", f"Spearman minus `{BASELINE}`"
DRAWS = 8  # of the random breaks of ties
Row = tuple[str, str, Similarity, float | None]  # title, kind, similarity, seconds a network


class Entry(NamedTuple):
    """A row.

    Attributes:
      title: the method.
      kind: "label-free", "prior", "labels" or "reference".
      scores: {metric: mean with interval over targets}; `AHP` is Spearman against Taskonomy's
        ordinal affinities, `DIFFERENCE` Spearman minus the baseline's, paired over targets.
      seconds: a network, None where it costs nothing.
    """

    title: str
    kind: str
    scores: dict[str, Score]
    seconds: float | None


def league(study: Study, *, sources: str = "same") -> tuple[Entry, ...]:
    """All rows, best Spearman first, references last.

    Args:
      study: the results.
      sources: "same" architecture as the target's network, or "all".
    """
    pools, results = study.pools(sources=sources), study.results
    rows: list[Row] = [
        (
            title,
            "label-free",
            by_method(study, method),
            sum(results.seconds[key] for key, _ in method),
        )
        for title, method in METHODS.items()
        if all(key in results.matrices for key, _ in method)
    ]
    rows += _priors(study)
    if len({*pools[0].sources}) < 2:  # within one architecture all networks are of one size
        rows = [row for row in rows if row[0] != "prior: parameter count"]
    found = {title: judge(study, similarity, pools=pools) for title, _, similarity, _ in rows}
    base = found[BASELINE]["spearman"]
    for title, _, similarity, _ in rows:
        # Ordinal affinities are defined within one architecture and seed.
        found[title][AHP] = correlations(study, similarity, ahp=True)
        found[title][DIFFERENCE] = found[title]["spearman"] - base
    entries = [
        Entry(
            title,
            kind,
            {metric: score(values) for metric, values in found[title].items()},
            seconds,
        )
        for title, kind, _, seconds in rows
    ]
    entries.sort(key=lambda e: (e.kind == "reference", -e.scores["spearman"].mean))
    return tuple(entries)


def _priors(study: Study) -> list[Row]:
    """Scores that need no comparison of networks.

    Each gives [c, c] (or [draws, c, c], where ties are broken at random) for a pool, rows as
    targets. References know measured transfer: they are what the others are measured by.
    """
    results = study.results
    sources: dict[str, Callable[[Encoder], float]] = {
        "prior: source's own validation loss": lambda e: -results.quality[study.row[e]],
        "prior: parameter count": lambda e: float(results.meta["parameters"][e.architecture]),
        "random": lambda e: 0.0,
    }
    knn, probe = (
        lambda pool, array=array: -study.of_sources(pool, array)
        for array in (results.knn, results.probe)
    )
    others = {
        "prior: same family of tasks": ("prior", lambda pool: _jittered(_family(study, pool))),
        "kNN on 128 target labels": ("labels", knn),
        "linear probe on 128 target labels": ("labels", probe),
        "best on the other targets": ("reference", lambda pool: _elsewhere(study, pool)),
        "the truth of other encoder seeds (ceiling)": (
            "reference",
            lambda pool: _other_seeds(study, pool),
        ),
    }
    rows: list[Row] = [(t, "prior", _by_source(study, value), None) for t, value in sources.items()]
    return [*rows, *((title, *row, None) for title, row in others.items())]


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


def reproducibility(study: Study) -> dict[str, np.ndarray]:
    """[t] Spearman of the order of sources between two measurements, mean over pairs.

    "encoder seeds" (all else equal), "readout draws" of the same encoders, "architectures" (mean
    over seeds), and "relative loss and AHP" of the same encoders.
    """
    draws = range(study.results.losses.shape[2])
    found: dict[str, list[np.ndarray]] = {"readout draws": [], "relative loss and AHP": []}
    for one in itertools.product(study.architectures, study.seeds):
        if len(draws) > 1:
            by_draw = [study.gains(*one, draw=draw) for draw in draws]
            found["readout draws"].append(study.agreement(by_draw))
        ahp = study.table(study.results.ahp, *one)
        found["relative loss and AHP"].append(study.agreement([study.gains(*one), ahp]))
    means = {name: np.mean(values, axis=0) for name, values in found.items() if values}
    means["encoder seeds"] = study.reproducible
    if len(study.architectures) > 1:
        gains = [[study.gains(a, s) for s in study.seeds] for a in study.architectures]
        means["architectures"] = study.agreement(np.mean(gains, axis=1))
    return means
