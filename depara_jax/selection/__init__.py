"""Ranking models and layers."""

from depara_jax.selection.layer_selection import rank_layers
from depara_jax.selection.league import League, layer_features, rank_by_estimators
from depara_jax.selection.model_selection import (
    ModelSimilarity,
    attribution_graphs,
    compare_models,
    rank_models,
)
from depara_jax.selection.placement import Placement, check_agreement, device_mesh
from depara_jax.selection.ranking import Ranking

__all__ = [
    "League",
    "ModelSimilarity",
    "Placement",
    "Ranking",
    "attribution_graphs",
    "check_agreement",
    "compare_models",
    "device_mesh",
    "layer_features",
    "rank_by_estimators",
    "rank_layers",
    "rank_models",
]
