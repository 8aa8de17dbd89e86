"""Tables and pictures."""

from depara_jax.reporting.plots import (
    attribution_grid,
    layer_curve,
    precision_recall,
    save_figure,
    similarity_heatmap,
    similarity_tree,
    strongest_edges,
)

__all__ = [
    "attribution_grid",
    "layer_curve",
    "precision_recall",
    "save_figure",
    "similarity_heatmap",
    "similarity_tree",
    "strongest_edges",
]
