"""The league table: every method, prior and reference, scored in one way."""

import itertools
from typing import NamedTuple

import numpy as np

from experiments.league.judge import Score, Similarity, by_method, correlations, judge, score
from experiments.league.methods import METHODS
from experiments.league.priors import REFERENCES, priors
from experiments.league.study import Study

__all__ = ["BASELINE", "Entry", "league", "reproducibility"]

BASELINE = "E alone, z-scored"  # what every row is compared with, target by target
LABELLED = ("kNN on 128 target labels", "linear probe on 128 target labels")


class Entry(NamedTuple):
    """A row.

    Attributes:
      title: the method.
      kind: "label-free", "prior", "labels" or "reference".
      scores: {metric: mean with interval over targets}.
      ahp: mean Spearman against Taskonomy's ordinal affinities.
      difference: Spearman minus the baseline's, paired over targets.
      seconds: a network, None where it costs nothing.
    """

    title: str
    kind: str
    scores: dict[str, Score]
    ahp: Score
    difference: Score
    seconds: float | None


def league(study: Study, *, sources: str = "same") -> tuple[Entry, ...]:
    """All rows, best Spearman first, references last.

    Args:
      study: the results.
      sources: "same" architecture as the target's network, or "all".
    """
    pools = study.pools(sources=sources)
    rows: list[tuple[str, str, Similarity, float | None]] = [
        (
            method.title,
            "label-free",
            by_method(study, method),
            sum(study.results.seconds[key] for key, _ in method.parts),
        )
        for method in METHODS
        if all(key in study.results.matrices for key, _ in method.parts)
    ]
    for title, similarity in priors(study).items():
        kind = "labels" if title in LABELLED else "prior"
        kind = "reference" if title in REFERENCES else kind
        if "parameter" in title and len({*pools[0].sources}) < 2:
            continue  # within one architecture all networks are of one size
        rows.append((title, kind, similarity, None))
    found = {title: judge(study, similarity, pools=pools) for title, _, similarity, _ in rows}
    base = found[BASELINE]["spearman"]
    entries = [
        Entry(
            title,
            kind,
            {metric: score(values) for metric, values in found[title].items()},
            # Ordinal affinities are defined within one architecture and seed.
            score(correlations(study, similarity, ahp=True)),
            score(found[title]["spearman"] - base),
            seconds,
        )
        for title, kind, similarity, seconds in rows
    ]
    entries.sort(key=lambda e: (e.kind == "reference", -e.scores["spearman"].mean))
    return tuple(entries)


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
