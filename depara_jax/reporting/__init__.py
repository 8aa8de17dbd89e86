"""Pictures: plain arrays and names in, a matplotlib figure out."""

from depara_jax.reporting.curves import layer_curve, precision_recall
from depara_jax.reporting.graphs import edge_layout, strongest_edges
from depara_jax.reporting.heatmaps import attribution_grid, similarity_heatmap
from depara_jax.reporting.style import check_plot_path, save_figure
from depara_jax.reporting.trees import similarity_tree, tree_linkage

__all__ = [
    "attribution_grid",
    "check_plot_path",
    "edge_layout",
    "layer_curve",
    "precision_recall",
    "save_figure",
    "similarity_heatmap",
    "similarity_tree",
    "strongest_edges",
    "tree_linkage",
]
