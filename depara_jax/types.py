"""Array shapes and the protocols between the stages.

Axis names used everywhere: n images, h height, w width, c channels, d feature entries, p map
entries, e = n(n-1)/2 edges, m models.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float

from depara_jax.spec import InputSpec, ModelSpec

__all__ = ["Array", "Features", "Forward", "Images", "Maps", "ModelLike", "ProbeLike"]

# Public functions take numpy arrays too; they return JAX arrays.
Array: TypeAlias = jax.Array | np.ndarray
Images: TypeAlias = Float[Array, "n h w c"]
Features: TypeAlias = Float[Array, "n ..."]
Maps: TypeAlias = Float[Array, "n h w c"]


@runtime_checkable
class Forward(Protocol):
    """A network as a pure function."""

    def __call__(self, variables: Any, images: Any, /) -> Mapping[str, Any]:
        """Features of every layer, shallow to deep.

        Args:
          variables: any pytree of arrays.
          images: [n, h, w, c], preprocessed.

        Returns:
          {layer name: features [n, ...]}; row k depends on image k alone.
        """
        ...


@runtime_checkable
class ModelLike(Protocol):
    """What selection needs of a model; `depara_jax.Model` is one."""

    @property
    def spec(self) -> ModelSpec:
        """Name, layers and preprocessing."""
        ...

    @property
    def forward(self) -> Forward:
        """The network."""
        ...

    @property
    def variables(self) -> Any:
        """Its weights."""
        ...


@runtime_checkable
class ProbeLike(Protocol):
    """What selection needs of a probe set; `depara_jax.Probe` is one."""

    @property
    def fingerprint(self) -> str:
        """Digest of the images and their order, as text."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def batches(self, input: InputSpec, batch_size: int) -> Iterator[np.ndarray]:
        """Preprocessed images [at most batch_size, h, w, c] in order, as `input` says."""
        ...
