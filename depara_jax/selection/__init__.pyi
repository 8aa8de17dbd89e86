from .layer_selection import rank_layers as rank_layers
from .league import League as League
from .league import rank_by_estimators as rank_by_estimators
from .model_selection import ModelSimilarity as ModelSimilarity
from .model_selection import attribution_graphs as attribution_graphs
from .model_selection import compare_models as compare_models
from .model_selection import rank_models as rank_models
from .ranking import Ranking as Ranking
