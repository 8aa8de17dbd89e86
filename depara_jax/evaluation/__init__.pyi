from .affinity import ordinal_ahp as ordinal_ahp
from .affinity import win_rates as win_rates
from .choice import (
    Certainty as Certainty,
)
from .choice import (
    choice_certainty as choice_certainty,
)
from .choice import (
    resampled_terms as resampled_terms,
)
from .confidence import (
    Interval as Interval,
)
from .confidence import (
    bootstrap_over_images as bootstrap_over_images,
)
from .confidence import (
    bootstrap_over_targets as bootstrap_over_targets,
)
from .confidence import (
    resampled_similarities as resampled_similarities,
)
from .curves import Curves as Curves
from .curves import oracle_curves as oracle_curves
from .curves import random_curves as random_curves
from .files import (
    NamedMatrix as NamedMatrix,
)
from .files import (
    load_array as load_array,
)
from .files import (
    load_ground_truth as load_ground_truth,
)
from .files import (
    load_matrix as load_matrix,
)
from .ground_truth import GroundTruth as GroundTruth
from .metrics import (
    dds_score as dds_score,
)
from .metrics import (
    hits_at_k as hits_at_k,
)
from .metrics import (
    precision_at_k as precision_at_k,
)
from .metrics import (
    rank_correlations as rank_correlations,
)
from .metrics import (
    recall_at_k as recall_at_k,
)
from .metrics import (
    regret_at_k as regret_at_k,
)
from .report import EvaluationResult as EvaluationResult
from .report import evaluate as evaluate
