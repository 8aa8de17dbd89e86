"""Models made elsewhere, as they are: a JAX function, a Flax NNX or Linen module, a Keras 3 model.

Nothing is copied into a class of ours and nothing is subclassed. Each adapter returns a `Model`
whose layers are the outputs of the module's parts, from shallow to deep, under the names that the
framework gives them. Outputs that are not floating-point arrays with the image as first axis
(attention masks, states) are no layers.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from depara_jax.errors import DeparaError
from depara_jax.models.model import Model
from depara_jax.spec import InputSpec
from depara_jax.types import Array

__all__ = ["from_function", "from_keras", "from_linen", "from_nnx"]

OUTPUT = "output"  # the name of what the whole model returns
from_function = Model.from_function


def from_nnx(
    module: Any,
    *,
    name: str,
    input: InputSpec,
    layers: Sequence[str] | None = None,
    encoder: str | None = None,
    logits: str | None = None,
    task: str | None = None,
) -> Model:
    """A Flax NNX module; its layers are named by module path, such as "blocks.0.conv".

    The module is put into inference mode (a copy of it: `module.eval()`), so that dropout and batch
    statistics rest. A part that is called several times has one layer a call: "relu", "relu@2".

    Args:
      module: called as module(images[n, h, w, c]).
      name: the model's name.
      input: preprocessing.
      layers: keep these only, in this order from shallow to deep.
      encoder: the layer that stands for the model; the last by default.
      logits: the layer of the outputs, if there is one.
      task: what it was trained for.

    Raises:
      UnknownNameError: a layer that the module does not have; the near ones are offered.
      DeparaError: it is no NNX module, or fails on images of `input.shape`.
    """
    from flax import nnx

    if not isinstance(module, nnx.Module):
        raise DeparaError(f"model {name!r}: expected an nnx.Module, got {type(module).__name__}")
    resting = nnx.clone(module)
    resting.eval()
    graphdef, state = nnx.split(resting)
    return _model(
        _NNXForward(graphdef), state, name, input, layers, encoder, logits, task,
        architecture=type(module).__name__,
    )  # fmt: skip


def from_linen(
    module: Any,
    variables: Any,
    *,
    name: str,
    input: InputSpec,
    layers: Sequence[str] | None = None,
    encoder: str | None = None,
    logits: str | None = None,
    task: str | None = None,
    call_options: Mapping[str, Any] = MappingProxyType({}),
) -> Model:
    """A Flax Linen module; its layers are named by module path, such as "Block_0.Conv_1".

    Args:
      module: a `flax.linen.Module`.
      variables: what its `init` returned: {"params": ..., "batch_stats": ...}.
      name: the model's name.
      input: preprocessing.
      layers: keep these only, in this order from shallow to deep.
      encoder: the layer that stands for the model; the last by default.
      logits: the layer of the outputs, if there is one.
      task: what it was trained for.
      call_options: passed to its `__call__`, such as {"train": False}; hashable values.

    Raises:
      UnknownNameError: a layer that the module does not have; the near ones are offered.
      DeparaError: it is no Linen module, or fails on images of `input.shape`.
    """
    from flax import linen

    if not isinstance(module, linen.Module):
        raise DeparaError(
            f"model {name!r}: expected a flax.linen.Module, got {type(module).__name__}"
        )
    forward = _LinenForward(module, tuple(sorted(call_options.items())))
    return _model(
        forward, variables, name, input, layers, encoder, logits, task,
        architecture=type(module).__name__,
    )  # fmt: skip


def from_keras(
    model: Any,
    *,
    name: str | None = None,
    input: InputSpec,
    layers: Sequence[str] | None = None,
    encoder: str | None = None,
    logits: str | None = None,
    task: str | None = None,
) -> Model:
    """A functional or sequential Keras 3 model on the JAX backend; layers by Keras's names.

    Args:
      model: the built model, channels last.
      name: the model's name; Keras's by default.
      input: preprocessing.
      layers: keep these only, in this order from shallow to deep.
      encoder: the layer that stands for the model; the last by default.
      logits: the layer of the outputs, if there is one.
      task: what it was trained for.

    Raises:
      UnknownNameError: a layer that the model does not have; the near ones are offered.
      DeparaError: Keras is not installed or runs on another backend, or the model is not
        functional.
    """
    try:
        import keras
    except ImportError as error:
        raise DeparaError(
            f"model {name!r}: the adapter needs Keras 3; pip install 'depara-jax[keras]', and set "
            f"KERAS_BACKEND=jax before Keras is imported ({error})"
        ) from error
    if keras.backend.backend() != "jax":
        raise DeparaError(
            f"Keras runs on its {keras.backend.backend()} backend; set KERAS_BACKEND=jax before "
            "Keras is imported"
        )
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise DeparaError(
            f"model {name!r}: expected a built functional or sequential keras.Model, "
            f"got {type(model).__name__}"
        )
    parts = [la for la in model.layers if not isinstance(la, keras.layers.InputLayer)]
    outputs = {layer.name: layer.output for layer in parts if hasattr(layer, "output")}
    single = {n: o for n, o in outputs.items() if hasattr(o, "shape")}
    inner = keras.Model(model.inputs, list(single.values()))
    variables = (
        [v.value for v in inner.trainable_variables],
        [v.value for v in inner.non_trainable_variables],
    )
    return _model(
        _KerasForward(inner, tuple(single)), variables, name or model.name, input, layers,
        encoder, logits, task, architecture=type(model).__name__,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _NNXForward:
    """Equal for equal graph definitions, so that compiled programs are found again."""

    graphdef: Any

    def __call__(self, variables: Any, images: Array) -> dict[str, jax.Array]:
        from flax import nnx

        module = nnx.merge(self.graphdef, variables)
        with _recorded(module) as found:
            out = module(images)
        return _kept(found, out, images)


@dataclasses.dataclass(frozen=True)
class _LinenForward:
    module: Any
    options: tuple[tuple[str, Any], ...]

    def __call__(self, variables: Any, images: Array) -> dict[str, jax.Array]:
        from flax import linen

        found: list[tuple[str, Any]] = []

        def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            out = call(*args, **kwargs)
            if context.method_name == "__call__" and context.module.path:
                found.append((".".join(context.module.path), out))
            return out

        with linen.intercept_methods(record):
            out = self.module.apply(variables, images, **dict(self.options))
        return _kept(found, out, images)


@dataclasses.dataclass(frozen=True)
class _KerasForward:
    model: Any
    names: tuple[str, ...]

    def __call__(self, variables: Any, images: Array) -> dict[str, jax.Array]:
        trainable, rest = variables
        outputs, _ = self.model.stateless_call(trainable, rest, images, training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        pairs = list(zip(self.names, outputs, strict=True))
        return _kept(pairs, None, images)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """A forward that returns some layers of another, in a given order."""

    forward: Any
    layers: tuple[str, ...]

    def __call__(self, variables: Any, images: Array) -> dict[str, jax.Array]:
        out = self.forward(variables, images)
        return {layer: out[layer] for layer in self.layers}


_LOCK = threading.RLock()


@contextlib.contextmanager
def _recorded(module: Any) -> Iterator[list[tuple[str, Any]]]:
    """Collects (path, output) of every part of an NNX module while it is called.

    Calls go through the class, so the classes' `__call__` is wrapped, and put back afterwards; it
    happens while JAX traces, not while the compiled program runs.
    """
    from flax import nnx

    paths = {id(m): ".".join(map(str, p)) for p, m in nnx.iter_modules(module) if p}
    classes = {type(m) for p, m in nnx.iter_modules(module) if p and "__call__" in dir(type(m))}
    found: list[tuple[str, Any]] = []

    active: list[int] = []

    def wrapped(call: Any) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            # A subclass that calls its parent's method gets here twice; the outer one counts.
            inner = bool(active) and active[-1] == id(self)
            active.append(id(self))
            try:
                out = call(self, *args, **kwargs)
            finally:
                active.pop()
            if id(self) in paths and not inner:
                found.append((paths[id(self)], out))
            return out

        return run

    with _LOCK:
        own = {c: c.__dict__.get("__call__") for c in classes}
        try:
            for c in classes:
                c.__call__ = wrapped(c.__call__)
            yield found
        finally:
            for c, call in own.items():
                if call is None:
                    del c.__call__
                else:
                    c.__call__ = call


def _kept(found: Sequence[tuple[str, Any]], out: Any, images: Any) -> dict[str, jax.Array]:
    """The outputs that can be layers, calls after the first numbered; the whole's output last."""
    kept: dict[str, jax.Array] = {}
    calls: dict[str, int] = {}
    for path, value in [*found, (OUTPUT, out)]:
        if not hasattr(value, "shape") or not value.shape or value.shape[0] != images.shape[0]:
            continue
        if not jnp.issubdtype(value.dtype, jnp.floating):
            continue
        calls[path] = calls.get(path, 0) + 1
        kept[path if calls[path] == 1 else f"{path}@{calls[path]}"] = value
    return kept


def _model(
    forward: Any,
    variables: Any,
    name: str,
    input: InputSpec,
    layers: Sequence[str] | None,
    encoder: str | None,
    logits: str | None,
    task: str | None,
    *,
    architecture: str,
) -> Model:
    """The model, after its layers have been looked at (nothing is computed)."""
    everything = Model.from_function(forward, variables, name=name, input=input)
    if layers is not None:
        for layer in layers:
            everything.spec.check_layer(layer)
        forward = _Chosen(forward, tuple(layers))
    model = Model.from_function(
        forward, variables, name=name, input=input, encoder=encoder, logits=logits, task=task
    )
    return dataclasses.replace(
        model, spec=dataclasses.replace(model.spec, architecture=architecture)
    )
