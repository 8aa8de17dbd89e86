"""What a model is to this library: a frozen `ModelSpec`, a pure forward function, its variables."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec, ModelSpec

__all__ = ["Model", "output_shapes"]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A spec, a pure function and its variables.

    `forward(variables, images[n, h, w, c]) -> {layer: features[n, ...]}` must treat images
    independently of each other (inference mode) and be traceable by JAX. XLA drops what a request
    does not use, so returning every layer costs nothing.
    """

    spec: ModelSpec
    forward: Callable[[Any, jax.Array], Mapping[str, jax.Array]]
    variables: Any

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    def __repr__(self) -> str:
        weights = sum(np.size(leaf) for leaf in jax.tree.leaves(self.variables))
        return (
            f"Model({self.name!r}, {self.spec.architecture}, input {self.spec.input.shape}, "
            f"{len(self.spec.layers)} layers, encoder {self.spec.encoder!r}, {weights:,} weights)"
        )

    @classmethod
    def from_function(
        cls,
        forward: Callable[[Any, jax.Array], Mapping[str, jax.Array]],
        variables: Any,
        *,
        name: str,
        input: InputSpec,
        encoder: str | None = None,
        logits: str | None = None,
        task: str | None = None,
    ) -> "Model":
        """Makes a model of any JAX function, without subclassing anything.

        The layers are those that `forward` returns for one image of `input.shape`, in its own
        order, which must be from shallow to deep; `encoder` defaults to the last.

        Raises:
          DeparaError: `forward` fails on that shape or does not return a mapping of arrays whose
            leading axis is the image.
        """
        shapes = output_shapes(forward, variables, input, name=name)
        layers = tuple(shapes)
        spec = ModelSpec(
            name=name,
            architecture=getattr(forward, "__name__", type(forward).__name__),
            input=input,
            layers=layers,
            encoder=layers[-1] if encoder is None else encoder,
            logits=logits,
            task=task,
        )
        return cls(spec, forward, variables)

    def feature_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one image's features for every layer; nothing is computed."""
        shapes = output_shapes(self.forward, self.variables, self.spec.input, name=self.name)
        return {layer: shape[1:] for layer, shape in shapes.items()}


def output_shapes(
    forward: Callable, variables: Any, input: InputSpec, *, name: str
) -> dict[str, tuple[int, ...]]:
    """Shapes that `forward` returns for two images, checked against the contract."""
    images = jax.ShapeDtypeStruct((2, *input.shape), jnp.float32)
    try:
        names: list[str] = []  # kept aside, since the dictionary comes back with its keys sorted

        def named(variables, images):
            out = dict(forward(variables, images))
            names[:] = out
            return out

        out = jax.eval_shape(named, variables, images)
    except Exception as error:  # noqa: BLE001 - whatever a user's function raises, say which model
        raise DeparaError(
            f"model {name!r}: forward(variables, images) failed on images of shape {images.shape}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not names:
        raise DeparaError(
            f"model {name!r}: forward returned no layers; expected {{layer: features}}"
        )
    for layer, value in out.items():
        if not value.shape or value.shape[0] != 2 or 0 in value.shape:
            raise DeparaError(
                f"model {name!r}: layer {layer!r} has shape {value.shape} for 2 images; "
                "the first axis must be the image, and none may be empty"
            )
    return {layer: tuple(out[layer].shape) for layer in names}
