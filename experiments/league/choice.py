"""Which lambda, which recipe: chosen on half of the targets and seeds, judged on the other half.

The halves are fixed by the order of the task table: every other admitted target, so that both have
tasks of every family, and the first half of the encoder seeds against the others. Each half of the
targets is held out once: fold 1 chooses on half A with the first seeds and judges half B with the
others; fold 2 the other way round. So every target is judged once, by a choice that saw neither it
nor its networks.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from experiments.league.judge import Similarity, by_method, correlations
from experiments.league.methods import Method
from experiments.league.study import Pool, Study

V, E = ("node/gxi-l2sq", 1.0), ("edge/zscore", 1.0)
LAMBDAS = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class Choice(NamedTuple):
    """What became of some candidates.

    Attributes:
      selection: {title: mean Spearman on the choosing half} of each fold.
      held_out: {title: Spearman a target [t]}, every target judged where it was held out.
      chosen: title of the best on the choosing half of each fold.
      followed: [t] held-out Spearman of what was chosen.
    """

    selection: tuple[Mapping[str, float], ...]
    held_out: Mapping[str, np.ndarray]
    chosen: tuple[str, ...]
    followed: np.ndarray


def halves(study: Study) -> tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]:
    """(targets, seeds) of the two halves."""
    cut = max(1, len(study.seeds) // 2)
    return (
        (study.targets[::2], study.seeds[:cut]),
        (study.targets[1::2], study.seeds[cut:]),
    )


def choose(study: Study, options: Mapping[str, Similarity]) -> Choice:
    """Judges every option on both halves, and what choosing the best on one gives on the other."""
    found: list[dict[str, np.ndarray]] = []
    for targets, seeds in halves(study):
        which = {"pools": study.pools(seeds=seeds), "targets": targets}
        found.append({t: correlations(study, one, **which) for t, one in options.items()})
    selection = tuple({title: float(v.mean()) for title, v in half.items()} for half in found)
    chosen = tuple(max(half, key=half.__getitem__) for half in selection)
    # What was chosen on one half is followed on the other.
    followed = np.concatenate([found[1][chosen[0]], found[0][chosen[1]]])
    held_out = {title: np.concatenate([found[1][title], found[0][title]]) for title in options}
    return Choice(selection, held_out, chosen, followed)


def lambda_rules(study: Study) -> dict[str, Similarity]:
    """Fixed lambdas, the edges alone, and the label-free rule that balances both terms."""
    rules = {f"lambda = {lam:g}": by_method(study, (V, ("edge/zscore", lam))) for lam in LAMBDAS}
    rules["edges alone"] = by_method(study, (E,))
    rules["balanced: sd(V) / sd(E) over the sources"] = fused(study, [(V,), (E,)], by="z")
    return rules


def candidates(study: Study) -> dict[str, Similarity]:
    """What might do better than DEPARA without labels, equal weights throughout."""
    all_edges = tuple((f"edge/zscore{at}", 1 / 3) for at in ("@block1", "@block2", ""))
    all_nodes = tuple((f"node/gxi-l2sq{at}", 1 / 3) for at in ("@block1", "@block2", ""))
    dds, rsa = ("pair/dds_laplacian", 1.0), ("pair/rsa", 1.0)
    single = {
        "`paper`: V + raw E": (V, ("edge/raw", 1.0)),
        "`default`: V + z-scored E": (V, E),
        "E alone, z-scored": (E,),
        "V of 8 x 8 maps + E": (("node/gxi-l2sq-grid8", 1.0), E),
        "V averaged over channels + E": (("node/gxi-l2sq-mean", 1.0), E),
        "V of the largest activations + E": (("node/gxi-max", 1.0), E),
        "V by integrated gradients + E": (("node/ig-l2sq", 1.0), E),
        "V of the largest activations by integrated gradients + E": (("node/ig-max", 1.0), E),
        "E of three layers": all_edges,
        "V + E of three layers": (*all_nodes, *all_edges),
        "V + E of three layers (V of the last)": (V, *all_edges),
        "ModelGiF + E": (("pair/modelgif", 1.0), E),
        "DDS, Laplacian": (dds,),
        "V + DDS, Laplacian": (V, dds),
        "RSA": (rsa,),
    }
    found = {title: by_method(study, parts) for title, parts in single.items()}
    members = [(part,) for part in (V, E, rsa, ("pair/cka_linear", 1.0), dds)]
    found["rank fusion of V and E"] = fused(study, members[:2], by="rank")
    found["rank fusion of V, E, RSA, CKA, DDS"] = fused(study, members, by="rank")
    return found


def fused(study: Study, methods: Sequence[Method], *, by: str) -> Similarity:
    """Sum over methods of each target's ranks ("rank") or standardised scores ("z")."""

    def similarity(pool: Pool) -> np.ndarray:
        foreign = study.foreign(pool)  # a network's likeness to itself says nothing
        total = np.zeros(foreign.shape)
        for method in methods:
            matrix = np.where(foreign, study.similarity(method, pool), np.nan)
            if by == "rank":
                total += scipy.stats.rankdata(matrix, axis=1, nan_policy="omit")
            else:
                centre = np.nanmean(matrix, axis=1, keepdims=True)
                total += (matrix - centre) / np.nanstd(matrix, axis=1, keepdims=True)
        return np.where(foreign, total, 0.0)

    return similarity
