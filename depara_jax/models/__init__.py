"""Networks: the model contract, the architectures and the packaged zoos.

Importing this package costs what the contract costs; Flax is imported when a network is named.
"""

from typing import TYPE_CHECKING, Any

from depara_jax.models.model import Model
from depara_jax.spec import InputSpec, ModelSpec

if TYPE_CHECKING:
    from depara_jax.models.zoo.architectures import ARCHITECTURES, build_model
    from depara_jax.models.zoo.catalog import list_models, load_model

__all__ = [
    "ARCHITECTURES",
    "InputSpec",
    "Model",
    "ModelSpec",
    "build_model",
    "list_models",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name in ("list_models", "load_model"):
        from depara_jax.models.zoo import catalog

        return getattr(catalog, name)
    if name in ("ARCHITECTURES", "build_model"):
        from depara_jax.models.zoo import architectures

        return getattr(architectures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
