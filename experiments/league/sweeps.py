"""The ablations that the papers leave open: one table of rows each, of stored matrices alone."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.league.judge import Score, by_method, correlations, score
from experiments.league.methods import DOMAINS, Method
from experiments.league.study import Pool, Study

NODE, EDGE = "node/gxi-l2sq", "edge/zscore"
GRID = (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
BASE = {"V": (NODE,), "E, z-scored": (EDGE,), "V + E": (NODE, EDGE)}
# A row's label, the matrices that each of its columns adds up, and the pools, by default all.
Setting = tuple[str, Mapping[str, tuple[str, ...]], Sequence[Pool] | None]


class Sweep(NamedTuple):
    """One ablation: by setting, Spearman of each column, means over targets."""

    name: str
    title: str
    rows: dict[str, dict[str, Score]]


def ablations(study: Study) -> tuple[Sweep, ...]:
    """Every ablation whose matrices are there."""
    sweeps = [
        _terms(study, "target", "scalar whose gradient makes the map (V)", "node", {
            "||F||^2 (DEPARA)": "gxi-l2sq",
            "sum (TAM)": "gxi-sum",
            "largest activations (ModelGiF)": "gxi-max",
        }),
        _terms(study, "absolute", "magnitude of the map (V)", "node", {
            "signed": "gxi-l2sq",
            "magnitude": "gxi-l2sq-abs",
            "signed, mean over channels": "gxi-l2sq-mean",
            "magnitude, mean over channels": "gxi-l2sq-abs-mean",
        }),
        _terms(study, "channels", "channels and resolution of the map (V)", "node", {
            "3 channels, 32 x 32": "gxi-l2sq",
            "mean over channels": "gxi-l2sq-mean",
            "sum target, 3 channels": "gxi-sum",
            "sum target, mean over channels (TAM)": "gxi-sum-mean",
            "3 channels, 8 x 8": "gxi-l2sq-grid8",
        }),
        _terms(study, "attribution", "attribution method (V)", "node", {
            "gradient x input": "gxi-l2sq",
            "saliency": "saliency-l2sq",
            "epsilon-LRP": "elrp-l2sq",
            "integrated gradients": "ig-l2sq",
            "integrated gradients, largest activations": "ig-max",
        }),
        _terms(study, "edges", "edge normalisation (E)", "edge", {
            "none (DEPARA)": "raw",
            "centred": "centre",
            "z-scored": "zscore",
        }),
        _terms(study, "feature-point-nodes", "feature point (V)", "node", {
            "encoder output": "gxi-l2sq",
            "before the last ReLU": "gxi-l2sq@pre",
            "block 2": "gxi-l2sq@block2",
            "block 1": "gxi-l2sq@block1",
        }),
        _terms(study, "feature-point-edges", "feature point (E, z-scored)", "edge", {
            "encoder output": "zscore",
            "before the last ReLU": "zscore@pre",
            "block 2": "zscore@block2",
            "block 1": "zscore@block1",
        }),
        _domains(study),
        _seeds(study),
        _architectures(study),
    ]  # fmt: skip
    return tuple(sweep for sweep in sweeps if len(sweep.rows) > 1)


def _sweep(study: Study, name: str, title: str, rows: Iterable[Setting]) -> Sweep:
    """The settings whose matrices are there."""
    found = {
        label: {
            column: score(
                correlations(study, by_method(study, tuple((k, 1.0) for k in keys)), pools=pools)
            )
            for column, keys in columns.items()
        }
        for label, columns, pools in rows
        if study.results.matrices.keys() >= set().union(*columns.values())
    }
    return Sweep(name, title, found)


def _terms(study: Study, name: str, title: str, kind: str, choices: dict[str, str]) -> Sweep:
    other = EDGE if kind == "node" else NODE
    rows = []
    for label, key in choices.items():
        own = f"{kind}/{key}"
        rows.append((label, {"alone": (own,), "with the other term": (own, other)}, None))
    return _sweep(study, name, title, rows)


def _domains(study: Study) -> Sweep:
    rows = []
    for domain in DOMAINS:
        prefix = "" if domain == DOMAINS[0] else f"{domain}:"
        columns = {label: tuple(prefix + key for key in keys) for label, keys in BASE.items()}
        rows.append((domain, columns, None))
    return _sweep(study, "domain", "what the probe images are", rows)


def _seeds(study: Study) -> Sweep:
    """One row a seed of target and source."""
    rows = []
    for pair in itertools.product(study.seeds, study.seeds):
        pools = [p for p in study.pools() if (p.target_seed, p.source_seed) == pair]
        rows.append((f"target seed {pair[0]}, sources {pair[1]}", BASE, pools))
    return _sweep(study, "seeds", "encoder seeds", rows)


def _architectures(study: Study) -> Sweep:
    """Within one architecture, between two, and among sources of all."""
    rows = []
    kinds = (("same", "of the same"), ("other", "of the other"), ("all", "of both"))
    for architecture, (kind, label) in itertools.product(study.architectures, kinds):
        pools = [p for p in study.pools(sources=kind) if p.architecture == architecture]
        if pools[0].sources:
            rows.append((f"{architecture}: sources {label}", BASE, pools))
    return _sweep(study, "architectures", "architectures of target and sources", rows)


def lambda_curve(study: Study, edge: str = EDGE) -> dict[float, np.ndarray]:
    """{lambda: Spearman a target}, from 0 (nodes alone) to infinity (edges alone)."""
    methods: dict[float, Method] = {lam: ((NODE, 1.0), (edge, lam)) for lam in (0.0, *GRID)}
    methods[np.inf] = ((edge, 1.0),)
    return {lam: correlations(study, by_method(study, one)) for lam, one in methods.items()}


def probe_counts(study: Study) -> dict[int, dict[str, tuple[Score, float]]]:
    """{images: {term: (mean over targets and draws with interval, spread between draws)}}."""
    rows = [study.tasks.index(name) for name in study.targets]
    counts: dict[int, list[np.ndarray]] = {}
    for key, values in study.results.sweep.items():
        counts.setdefault(int(key.split("/")[0]), []).append(values[:, rows])
    found = {}
    for count, draws in sorted(counts.items()):
        stack = np.stack(draws)  # [draws, 3, t]
        spread = stack.mean(axis=2).std(axis=0, ddof=1) if len(stack) > 1 else np.full(3, np.nan)
        found[count] = {
            term: (score(stack[:, i].mean(axis=0)), float(spread[i])) for i, term in enumerate(BASE)
        }
    return found
