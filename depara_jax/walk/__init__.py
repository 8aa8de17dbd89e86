"""The engine: one walk over a probe set, from which features, node vectors and edges come."""

from depara_jax.walk.features import layer_features
from depara_jax.walk.placement import (
    Placement,
    check_agreement,
    device_mesh,
    from_lead,
    is_lead,
    to_host,
)
from depara_jax.walk.views import View
from depara_jax.walk.walk import FEATURE_LIMIT, Chunk, Progress, Walk

__all__ = [
    "FEATURE_LIMIT",
    "Chunk",
    "Placement",
    "Progress",
    "View",
    "Walk",
    "check_agreement",
    "device_mesh",
    "from_lead",
    "is_lead",
    "layer_features",
    "to_host",
]
