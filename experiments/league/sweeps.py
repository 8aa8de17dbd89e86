"""The ablations that the papers leave open: one table of rows each, of stored matrices alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.league.judge import Score, by_method, judge, score
from experiments.league.methods import DOMAINS, Method
from experiments.league.study import Pool, Study

__all__ = ["Row", "Sweep", "ablations", "lambda_curve", "probe_counts"]

NODE, EDGE = "node/gxi-l2sq", "edge/zscore"
GRID = (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
ALONE, TOGETHER = "alone", "with the other term"


class Row(NamedTuple):
    """A setting: Spearman of the term alone and of both terms, means over targets."""

    label: str
    values: dict[str, Score]


class Sweep(NamedTuple):
    """One ablation."""

    name: str
    title: str
    rows: tuple[Row, ...]


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


def _method(*keys: str, weights: Sequence[float] | None = None) -> Method:
    weights = weights or [1.0] * len(keys)
    return Method("+".join(keys), tuple(zip(keys, weights, strict=True)))


def _row(study: Study, label: str, methods: dict[str, Method], pools=None) -> Row:
    found = {name: _spearman(study, method, pools) for name, method in methods.items()}
    return Row(label, {name: score(values) for name, values in found.items()})


def _spearman(study: Study, method: Method, pools: Sequence[Pool] | None = None) -> np.ndarray:
    """Of each target [t]."""
    found = judge(study, by_method(study, method), pools=pools, metrics=("spearman",))
    return found["spearman"]


def _terms(study: Study, name: str, title: str, kind: str, choices: dict[str, str]) -> Sweep:
    rows = []
    for label, key in choices.items():
        own, other = f"{kind}/{key}", EDGE if kind == "node" else NODE
        if own in study.results.matrices:
            methods = {ALONE: _method(own), TOGETHER: _method(own, other)}
            rows.append(_row(study, label, methods))
    return Sweep(name, title, tuple(rows))


def _domains(study: Study) -> Sweep:
    rows = []
    for domain in DOMAINS:
        prefix = "" if domain == DOMAINS[0] else f"{domain}:"
        keys = {"V": (NODE,), "E, z-scored": (EDGE,), "V + E": (NODE, EDGE)}
        if f"{prefix}{NODE}" in study.results.matrices:
            methods = {
                label: _method(*(prefix + k for k in parts)) for label, parts in keys.items()
            }
            rows.append(_row(study, domain, methods))
    return Sweep("domain", "what the probe images are", tuple(rows))


_BASE = {"V": _method(NODE), "E, z-scored": _method(EDGE), "V + E": _method(NODE, EDGE)}


def _seeds(study: Study) -> Sweep:
    """One row a seed of target and source."""
    rows = []
    for first in study.seeds:
        for second in study.seeds:
            pools = [p for p in study.pools() if (p.target_seed, p.source_seed) == (first, second)]
            rows.append(_row(study, f"target seed {first}, sources {second}", _BASE, pools))
    return Sweep("seeds", "encoder seeds", tuple(rows))


def _architectures(study: Study) -> Sweep:
    """Within one architecture, between two, and among sources of all."""
    groups: dict[str, list[Pool]] = {}
    for architecture in study.architectures:
        for kind, label in (("same", "of the same"), ("other", "of the other"), ("all", "of both")):
            pools = [p for p in study.pools(sources=kind) if p.architecture == architecture]
            groups[f"{architecture}: sources {label}"] = pools
    rows = [_row(study, label, _BASE, pools) for label, pools in groups.items() if pools[0].sources]
    return Sweep("architectures", "architectures of target and sources", tuple(rows))


def lambda_curve(study: Study, edge: str = EDGE) -> dict[float, np.ndarray]:
    """{lambda: Spearman a target}, from 0 (nodes alone) to infinity (edges alone)."""
    curve = {}
    for lam in (0.0, *GRID, np.inf):
        method = _method(edge) if lam == np.inf else _method(NODE, edge, weights=(1.0, lam))
        curve[lam] = _spearman(study, method)
    return curve


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
            term: (score(stack[:, i].mean(axis=0)), float(spread[i]))
            for i, term in enumerate(("V", "E, z-scored", "V + E"))
        }
    return found
