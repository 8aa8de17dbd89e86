"""From a finished run's stages to its one small results file."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from depara_jax.evaluation import ordinal_ahp
from experiments.league.config import Encoder, StudyConfig
from experiments.league.judge import by_method, correlations
from experiments.league.results import Results
from experiments.league.scores import Matrix
from experiments.league.study import Study
from experiments.league.truth import Transfer


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
    results = Results(
        meta=meta,
        names=names,
        targets=config.tasks,
        losses=np.stack([one.losses.mean(axis=2) for one in ordered]),
        ahp=_affinities(config, transfer, names),
        knn=np.stack([one.knn for one in ordered]),
        probe=np.stack([one.probe for one in ordered]),
        quality=np.array(
            [
                one.get("validation_loss", 1.0) / one.get("trivial_loss", 1.0)
                for one in (trained[name] for name in names)
            ]
        ),
        matrices={key: matrix.values for key, matrix in matrices[1].items()},
        seconds={key: matrix.seconds for key, matrix in matrices[1].items()},
        sweep={},
        fine_tuned=np.array(
            [[names.index(s), config.tasks.index(t), v] for (s, t), v in fine_tuned.items()]
        ).reshape(-1, 3),
    )
    assert results.trained == matrices[0], "the matrices are of other networks"
    return dataclasses.replace(results, sweep=_sweep_scores(results, sweep))


def _affinities(
    config: StudyConfig, transfer: Mapping[str, Transfer], names: tuple[str, ...]
) -> np.ndarray:
    """Taskonomy's ordinal affinities [e, t] within each architecture and seed."""
    ahp = np.full((len(names), len(config.tasks)), np.nan)
    groups: dict[tuple[str, int], list[Encoder]] = {}
    for encoder in config.trained:
        groups.setdefault((encoder.architecture, encoder.seed), []).append(encoder)
    for group, (t, target) in itertools.product(groups.values(), enumerate(config.tasks)):
        sources = [e.name for e in group if e.task != target]
        cases = np.stack([transfer[name].losses[t].reshape(-1) for name in sources])
        ahp[[names.index(name) for name in sources], t] = ordinal_ahp(cases)
    return ahp


def _sweep_scores(results: Results, sweep: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The probe sweep's matrices as Spearman correlations with the truth [3, t], a target each."""
    terms = ("node",), ("edge",), ("node", "edge")
    methods = [tuple((key, 1.0) for key in keys) for keys in terms]
    found = {}
    draws = {key.split(":")[0] for key in sweep}
    for draw in sorted(draws, key=lambda key: tuple(map(int, key.split("/")))):
        matrices = {key: sweep[f"{draw}:{key}"] for key in ("node", "edge")}
        study = Study(dataclasses.replace(results, matrices=matrices))
        scores = [correlations(study, by_method(study, m), targets=study.tasks) for m in methods]
        found[draw] = np.stack(scores)
    return found
