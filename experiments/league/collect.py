"""From a finished run's stages to its one small results file."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from depara_jax.evaluation.correlation import spearman
from experiments.league.affinity import ordinal_ahp, win_rates
from experiments.league.config import RANDOM, StudyConfig
from experiments.league.results import Results
from experiments.league.scores import Matrix
from experiments.league.study import Study
from experiments.league.truth import Transfer

__all__ = ["collect"]


def collect(
    config: StudyConfig,
    trained: Mapping[str, Mapping[str, Any]],
    transfer: Mapping[str, Transfer],
    matrices: tuple[tuple[str, ...], Mapping[str, Matrix]],
    sweep: Mapping[str, np.ndarray],
    fine_tuned: Mapping[tuple[str, str], float],
    meta: Mapping[str, Any],
) -> Results:
    """Everything that the tables are made of; rows are put in order by name, and checked."""
    names = tuple(encoder.name for encoder in config.encoders)
    assert set(names) == set(trained) == set(transfer), "a stage has other networks"
    ordered = [transfer[name] for name in names]
    losses = np.stack([one.losses.mean(axis=2) for one in ordered])
    images = ordered[0].losses.shape[2]
    spread = np.stack([one.losses.mean(axis=1).std(axis=1, ddof=1) for one in ordered])
    ahp, wins = _affinities(config, transfer, names)
    results = Results(
        meta=meta,
        names=names,
        targets=config.tasks,
        losses=losses,
        spread=spread / math.sqrt(images),
        accuracy=np.stack([one.accuracy for one in ordered]),
        ahp=ahp,
        wins=wins,
        knn=np.stack([one.knn for one in ordered]),
        probe=np.stack([one.probe for one in ordered]),
        quality=np.array([_quality(trained[name]) for name in names]),
        matrices={key: matrix.values for key, matrix in matrices[1].items()},
        seconds={key: matrix.seconds for key, matrix in matrices[1].items()},
        sweep={},
        fine_tuned=np.array(
            [[names.index(s), config.tasks.index(t), v] for (s, t), v in fine_tuned.items()]
        ).reshape(-1, 3),
    )
    assert results.trained == matrices[0], "the matrices are of other networks"
    return _with_sweep(results, sweep)


def _quality(result: Mapping[str, Any]) -> float:
    return (
        result["validation_loss"] / result["trivial_loss"] if "validation_loss" in result else 1.0
    )


def _affinities(
    config: StudyConfig, transfer: Mapping[str, Transfer], names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Taskonomy's two affinities [e, t] within each architecture and seed."""
    ahp, wins = (np.full((len(names), len(config.tasks)), np.nan) for _ in range(2))
    for architecture, _ in config.architectures:
        for seed in range(config.seeds):
            group = [
                e for e in config.encoders
                if (e.architecture, e.seed) == (architecture, seed) and e.task != RANDOM
            ]  # fmt: skip
            for t, target in enumerate(config.tasks):
                sources = [e.name for e in group if e.task != target]
                rows = [names.index(name) for name in sources]
                cases = np.stack([transfer[name].losses[t].reshape(-1) for name in sources])
                ahp[rows, t] = ordinal_ahp(cases)
                rates = win_rates(cases)
                wins[rows, t] = (rates.sum(axis=1) - 0.5) / (len(rates) - 1)
    return ahp, wins


def _with_sweep(results: Results, sweep: Mapping[str, np.ndarray]) -> Results:
    """The probe sweep's matrices as Spearman correlations with the truth, a target each."""
    study = Study(results)
    pools = study.pools()
    found: dict[str, np.ndarray] = {}
    for key in {k.split(":")[0] for k in sweep}:
        node, edge = sweep[f"{key}:node"], sweep[f"{key}:edge"]
        values = np.zeros((3, len(study.tasks)))
        for i, matrix in enumerate((node, edge, node + edge)):
            for pool in pools:
                values[i] += _spearman_by_target(study, matrix, pool) / len(pools)
        found[key] = values
    ordered = dict(sorted(found.items(), key=lambda kv: tuple(map(int, kv[0].split("/")))))
    return Results(**{**results.__dict__, "sweep": ordered})


def _spearman_by_target(study: Study, matrix: np.ndarray, pool: Any) -> np.ndarray:
    gains = study.gains(pool.architecture, pool.source_seed)
    columns = [study.place[name] for name in study.candidates(pool)]
    asking = pool._replace(source_seed=pool.target_seed)
    rows = [study.place[name] for name in study.candidates(asking)]
    block = matrix[np.ix_(rows, columns)]
    values = np.empty(len(study.tasks))
    for i in range(len(values)):
        others = np.arange(len(values)) != i
        values[i] = spearman(block[i, others], gains[i, others])
    return values
