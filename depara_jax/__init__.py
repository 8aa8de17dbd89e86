"""Which pretrained network, and which of its layers, to transfer from.

Deep attribution graphs (DEPARA, CVPR 2020; "Deep Model Transferability from Attribution Maps",
NeurIPS 2019) in JAX. The stages, in the order in which data moves:

    load_probe  load_model  attribute  build_graph  graph_similarity  rank_models  rank_layers

`rank_models` and `rank_layers` run all of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depara_jax.attribution import attribute
    from depara_jax.data import Probe, ProbeSpec, load_probe
    from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
    from depara_jax.graph import (
        AttributionGraph,
        build_graph,
        embed,
        graph_similarity,
        similarity_matrix,
    )
    from depara_jax.models import InputSpec, Model, ModelSpec, list_models, load_model
    from depara_jax.recipe import RECIPES, Recipe
    from depara_jax.selection import (
        Ranking,
        attribution_graphs,
        compare_models,
        rank_layers,
        rank_models,
    )

__version__ = "0.1.0"

# Where each public name lives; a module is imported when one of its names is first used, so that
# `import depara_jax` costs nothing.
_HOME = {
    "depara_jax.attribution": ("attribute",),
    "depara_jax.data": ("Probe", "ProbeSpec", "load_probe"),
    "depara_jax.errors": ("DegenerateError", "DeparaError", "UnknownNameError"),
    "depara_jax.graph": (
        "AttributionGraph", "build_graph", "embed", "graph_similarity", "similarity_matrix",
    ),
    "depara_jax.models": ("InputSpec", "Model", "ModelSpec", "list_models", "load_model"),
    "depara_jax.recipe": ("RECIPES", "Recipe"),
    "depara_jax.selection": (
        "Ranking", "attribution_graphs", "compare_models", "rank_layers", "rank_models",
    ),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "RECIPES",
    "AttributionGraph",
    "DegenerateError",
    "DeparaError",
    "InputSpec",
    "Model",
    "ModelSpec",
    "Probe",
    "ProbeSpec",
    "Ranking",
    "Recipe",
    "UnknownNameError",
    "attribute",
    "attribution_graphs",
    "build_graph",
    "compare_models",
    "embed",
    "graph_similarity",
    "list_models",
    "load_model",
    "load_probe",
    "rank_layers",
    "rank_models",
    "similarity_matrix",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'depara_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
