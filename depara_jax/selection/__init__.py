"""Ranking models and layers."""

from depara_jax.selection.layer_selection import rank_layers
from depara_jax.selection.league import League, rank_by_estimators
from depara_jax.selection.model_selection import (
    ModelSimilarity,
    attribution_graphs,
    compare_models,
    rank_models,
)
from depara_jax.selection.ranking import Ranking

__all__ = [
    "League",
    "ModelSimilarity",
    "Ranking",
    "attribution_graphs",
    "compare_models",
    "rank_by_estimators",
    "rank_layers",
    "rank_models",
]
