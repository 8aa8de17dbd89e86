from .curves import layer_curve as layer_curve
from .curves import precision_recall as precision_recall
from .graphs import strongest_edges as strongest_edges
from .heatmaps import attribution_grid as attribution_grid
from .heatmaps import similarity_heatmap as similarity_heatmap
from .style import check_plot_path as check_plot_path
from .style import save_figure as save_figure
from .trees import similarity_tree as similarity_tree
