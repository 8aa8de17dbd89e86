"""What estimators are given and give back: the inputs, a row of the table, a result."""

import dataclasses
import inspect
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.estimators import validate
from depara_jax.estimators.gradients import as_images, input_gradients
from depara_jax.estimators.spectrum import Spectrum, spectrum

__all__ = ["Estimate", "Estimator", "EstimatorInputs"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimatorInputs:
    """Everything that may be known of a source model on n target samples; give what there is.

    Checked when it is made, in this one place.

    Attributes:
      features: [n, d] of the source.
      labels: [n] integers of at least 0 naming the target's classes; kept renumbered without gaps.
      targets: [n, t] real or 0/1 targets, for regression and multi-label tasks.
      probabilities: [n, z] the source's softmax outputs.
      logits: [n, z] the source's outputs before the softmax.
      target_features: [n, d'] of a model trained on the target, for label-free scores.
      gradients: [n, ...] input gradients of the source; made from the model if it is given instead.
      target_gradients: [n, ...] of the target.
      images: [n, ...] preprocessed for both models.
      source_model: images -> outputs [n, ...].
      target_model: images -> outputs [n, ...].

    Raises:
      DeparaError: on construction, for whatever cannot be used, naming it.
    """

    features: Any = None
    labels: Any = None
    targets: Any = None
    probabilities: Any = None
    logits: Any = None
    target_features: Any = None
    gradients: Any = None
    target_gradients: Any = None
    images: Any = None
    source_model: Callable[[Any], Any] | None = None
    target_model: Callable[[Any], Any] | None = None

    def __post_init__(self):
        first: tuple[str, Any] | None = None
        names = ("features", "target_features", "probabilities", "logits", "targets", "labels")
        for name in (*names, "images", "gradients", "target_gradients"):
            value = getattr(self, name)
            if value is not None:
                array = _checked(name, value, first)
                object.__setattr__(self, name, array)
                first = first or (name, array)

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}

    def spectrum(self, name: str) -> tuple[Spectrum, float]:
        """The one decomposition of the features of that name, and the seconds that it took."""
        if name not in self._made:
            started = time.perf_counter()
            parts = jax.block_until_ready(spectrum(getattr(self, name)))
            self._made[name] = parts, time.perf_counter() - started
        return self._made[name]

    def jacobian(self, name: str) -> Any:
        """The gradients of that name, or those of their model's summed outputs."""
        model = self.source_model if name == "gradients" else self.target_model
        given = self._made.get(name, getattr(self, name))
        if given is None and model is not None and self.images is not None:
            given = self._made[name] = input_gradients(model, self.images)
        return given


def _checked(name: str, value: Any, first: tuple[str, Any] | None) -> Any:
    if name == "labels":
        labels = validate.as_labels(value, len(first[1] if first else value))
        # Renumbered in order without gaps: no score depends on it, and a class called 1,000,000
        # must not cost a million columns.
        return jnp.asarray(np.unique(np.asarray(labels), return_inverse=True)[1], jnp.int32)
    if name == "targets":
        array = validate.as_targets(value, len(first[1] if first else value))
    elif name == "probabilities":
        array = validate.as_probabilities(value)
    elif name in ("images", "gradients", "target_gradients"):
        array = as_images(value, name=name)
    else:
        array = validate.as_matrix(name, value)
    if first is not None:
        validate.same_length(*first, name, array)
    return array


@dataclasses.dataclass(frozen=True)
class Estimator:
    """One row of the table.

    Attributes:
      function: its positional arguments are `needs`, in order; its name is what users call it.
      needs: names of `EstimatorInputs` fields.
      higher_is_better: whether a higher value promises a better transfer.
      citation: where the definition is from.
      shared: it takes the inputs' `Spectrum` in place of features, decomposed once for all.
      traceable: works under `jax.jit` and `jax.vmap`; the others run an optimiser on the host or
        choose a shape from the data.
      invariant: what leaves the value as it is, tested for every row: "scale", "translation" and
        "rotation" of the features; "classes", renaming the classes; "samples", their order.
    """

    function: Callable[..., Any]
    needs: tuple[str, ...]
    higher_is_better: bool
    citation: str
    shared: bool = False
    traceable: bool = True
    invariant: tuple[str, ...] = ("samples",)

    @property
    def name(self) -> str:
        """What users call it."""
        return self.function.__name__

    @property
    def takes_classes(self) -> bool:
        """Whether a static `n_classes` can be given, for labels that are traced."""
        return "n_classes" in inspect.signature(self.function).parameters

    def missing(self, inputs: EstimatorInputs) -> tuple[str, ...]:
        """Which of `needs` the inputs lack."""
        return tuple(name for name in self.needs if _resolve(inputs, name, shared=False) is None)

    def arguments(self, inputs: EstimatorInputs, *, skip: int = 0) -> tuple[Any, ...]:
        """The function's positional arguments, but for the first `skip` of them."""
        return tuple(_resolve(inputs, name, shared=self.shared) for name in self.needs[skip:])

    def shared_seconds(self, inputs: EstimatorInputs) -> float:
        """What the decompositions cost that this estimator shares with others."""
        names = [name for name in self.needs if self.shared and name.endswith("features")]
        return sum((inputs.spectrum(name)[1] for name in names), start=0.0)


def _resolve(inputs: EstimatorInputs, name: str, *, shared: bool) -> Any:
    if shared and name.endswith("features"):
        return inputs.spectrum(name)[0]
    return inputs.jacobian(name) if name.endswith("gradients") else getattr(inputs, name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one estimator said.

    Attributes:
      value: the score, or None where there is none (then `why` says why).
      seconds: wall time, the decomposition it shares with others included; the first call in a
        process also compiles.
      standard_error: of the value, where the estimator has one.
      why: what is missing or went wrong, or a warning about a value that is there.
    """

    value: float | None
    seconds: float = 0.0
    standard_error: float | None = None
    why: str = ""
