"""The task half: rankings of the packaged zoo under `depara-task` with one choice changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax.data import Probe
from depara_jax.estimators import estimate_pairs
from depara_jax.graph import edges_of
from depara_jax.graph.similarity import edge_vectors, products
from depara_jax.models import Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection import attribution_graphs, compare_models
from depara_jax.walk import layer_features
from experiments.fidelity.agreement import agreement, changed, off_diagonal

BASE = RECIPES["depara-task"]
# One choice of `depara-task` changed at a time; presets as they are.
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("target l2sq for sum", {"target": "l2sq"}),
    ("channels kept", {"channel_reduction": "none"}),
    ("magnitudes before the channel mean", {"absolute": True}),
    ("saliency for gradient x input", {"attribution": "saliency"}),
    ("epsilon-LRP for gradient x input", {"attribution": "epsilon_lrp"}),
    ("raw edges for centred", {"edge_normalization": "none"}),
    ("z-scored edges for centred", {"edge_normalization": "zscore"}),
    ("averaged ties for ordinal", {"ties": "average"}),
    ("lambda .03 for .25", {"lam": 0.03}),
    ("lambda .27 for .25", {"lam": 0.27}),
    ("lambda 1 for .25", {"lam": 1.0}),
    ("node term divided by 1,000", {"node_weight": 0.001}),
)
PRESETS = ("tam", "paper", "default")


def measure(
    models: Sequence[Model], probe: Probe, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Agreement with `depara-task` of each change, over all targets.

    Args:
      models: every one is a target, the others are its candidates.
      probe: at least twelve images.
      progress: told what comes next.
    """
    walk = _Walks(models, probe, progress)
    base, others = walk.terms(BASE), off_diagonal(len(models))
    rows = {}
    recipes = [(label, BASE.replace(**changes)) for label, changes in CHANGES]
    for label, recipe in [*recipes, *((name, RECIPES[name]) for name in PRESETS)]:
        rows[label] = changed(base, walk.terms(recipe), others)
    progress("halves of the probe set")
    count = len(probe) // 2
    first, second = (
        {"score": _Walks(models, probe.subset(rows), progress).terms(BASE)["score"]}
        for rows in (range(count), range(count, 2 * count))
    )
    return {
        "models": len(models),
        "images": len(probe),
        "against depara-task": rows,
        "edges alone": {"score": agreement(base["score"], base["edge"], others)},
        "kamal edges against paper": _kamal(models, probe, walk, progress),
        "RSA on centred features against RSA": _rsa(models, probe, progress),
        "other half of the images": changed(first, second, others),
        "smallest mean cosine of two models": round(float(base["node"][others].min()), 4),
        "spread over pairs": {
            "node": round(float(base["node"][others].std()), 4),
            "edge": round(float(base["edge"][others].std()), 4),
        },
    }


class _Walks:
    """Terms by recipe; what a term does not depend on does not compute it again."""

    def __init__(self, models: Sequence[Model], probe: Probe, progress: Callable[[str], None]):
        self.models, self.probe, self.progress = models, probe, progress
        self.known: dict[Recipe, np.ndarray] = {}

    def terms(self, recipe: Recipe) -> dict[str, np.ndarray]:
        """Those of "node" and "edge" that the recipe uses, and "score", [m, m] each."""
        parts = {}
        if recipe.uses_nodes:
            parts["node"] = self._term(recipe.map_part().replace(lam=0.0, name="nodes"))
        if recipe.uses_edges:
            kind, ties = recipe.edge_normalization, recipe.ties
            alone = Recipe(name="edges", edge_normalization=kind, ties=ties, node_weight=0.0)
            parts["edge"] = self._term(alone)
        return {**parts, "score": _score(parts, recipe)}

    def _term(self, alone: Recipe) -> np.ndarray:
        """The one term that a recipe leaves, [m, m]."""
        if alone not in self.known:
            self.progress(f"{alone.name}: {alone.target}, {alone.edge_normalization}")
            score = compare_models(self.models, self.probe, alone).score
            self.known[alone] = np.asarray(score, np.float64)
        return self.known[alone]


def _score(parts: Mapping[str, np.ndarray], recipe: Recipe) -> np.ndarray:
    weights = {"node": recipe.node_weight, "edge": recipe.lam}
    return np.sum([weights[part] * term for part, term in parts.items()], axis=0)


def _kamal(
    models: Sequence[Model], probe: Probe, walk: _Walks, progress: Callable[[str], None]
) -> dict[str, Any]:
    """KamalEngine's edges, cosines of MAPS, against the paper's, with and without its diagonal."""
    recipe, others = RECIPES["paper"], off_diagonal(len(models))
    paper = walk.terms(recipe)
    progress("edges of maps (KamalEngine)")
    edges = []
    for model in models:
        alone = Recipe(target="l2", lam=0.0)
        (graph,) = attribution_graphs(model, probe, alone).values()
        edges.append(edges_of(jnp.asarray(graph.nodes)))
    rows = {}
    for label, ones in (("upper triangle", 0), ("with the diagonal", len(probe))):
        # Spearman's correlation of the edges of all pairs is the product of their ranks.
        ranks = edge_vectors([jnp.concatenate([e, jnp.ones(ones)]) for e in edges])
        term = np.asarray(products(ranks, ranks), np.float64)
        parts = {"node": paper["node"], "edge": term}
        rows[label] = changed(paper, {**parts, "score": _score(parts, recipe)}, others)
    return rows


def _rsa(models: Sequence[Model], probe: Probe, progress: Callable[[str], None]) -> dict[str, Any]:
    """The authors' RSA baseline centres features over the images first; RSA does not."""
    progress("RSA")
    features = [next(iter(layer_features(m, probe, (m.spec.encoder,)).values())) for m in models]
    centred = [values - values.mean(axis=0) for values in features]
    terms = [estimate_pairs("rsa", values) for values in (features, centred)]
    return {"edge": agreement(terms[0], terms[1], off_diagonal(len(models)))}
