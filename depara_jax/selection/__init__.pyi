from .comparison import Comparison as Comparison
from .comparison import rank_by_estimators as rank_by_estimators
from .layers import rank_layers as rank_layers
from .models import ModelSimilarity as ModelSimilarity
from .models import attribution_graphs as attribution_graphs
from .models import compare_models as compare_models
from .models import rank_models as rank_models
from .ranking import Ranking as Ranking
