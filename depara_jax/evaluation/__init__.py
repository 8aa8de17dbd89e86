"""Scoring a ranking against a ground truth."""

from depara_jax.evaluation.affinity import ordinal_ahp, win_rates
from depara_jax.evaluation.choice import Certainty, choice_certainty, resampled_terms
from depara_jax.evaluation.confidence import (
    Interval,
    bootstrap_over_images,
    bootstrap_over_targets,
    resampled_similarities,
)
from depara_jax.evaluation.curves import Curves, oracle_curves, random_curves
from depara_jax.evaluation.files import (
    NamedMatrix,
    load_array,
    load_ground_truth,
    load_matrix,
)
from depara_jax.evaluation.ground_truth import GroundTruth
from depara_jax.evaluation.metrics import (
    dds_score,
    hits_at_k,
    precision_at_k,
    rank_correlations,
    recall_at_k,
    regret_at_k,
)
from depara_jax.evaluation.report import EvaluationResult, evaluate

__all__ = [
    "Certainty",
    "Curves",
    "EvaluationResult",
    "GroundTruth",
    "Interval",
    "NamedMatrix",
    "bootstrap_over_images",
    "bootstrap_over_targets",
    "choice_certainty",
    "dds_score",
    "evaluate",
    "hits_at_k",
    "load_array",
    "load_ground_truth",
    "load_matrix",
    "oracle_curves",
    "ordinal_ahp",
    "precision_at_k",
    "random_curves",
    "rank_correlations",
    "recall_at_k",
    "regret_at_k",
    "resampled_similarities",
    "resampled_terms",
    "win_rates",
]
