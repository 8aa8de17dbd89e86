"""The families that can be trained: VGG, the zoo's encoders, the CIFAR ResNets."""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models.encoder import Encoder, EncoderConfig
from depara_jax.models.layers.pooling import adaptive_avg_pool, max_pool
from depara_jax.models.model import Model
from depara_jax.models.port import (
    nested_variables,
    port_model,
    port_spec,
    random_variables,
    variable_shapes,
)
from depara_jax.models.resnet import ResNet, ResNetConfig
from depara_jax.models.vgg import VGG, VGGConfig
from depara_jax.training.units import Mode, Network, Unit, Values, flat_values

__all__ = ["EncoderClassifier", "encoder_network", "network_of", "vgg_network"]

_BINS = 4  # per side, between an encoder's output and its classes


def _unit(name: str, *steps: str | Callable[[Any], Any]) -> Unit:
    """A unit of parts of the module, by their dotted paths, and of functions between them."""
    owns = tuple(step for step in steps if isinstance(step, str))
    return Unit(name, owns, functools.partial(_run, steps))


def _run(steps: tuple[Any, ...], module: Any, x: Any, mode: Mode) -> jax.Array:
    for step in steps:
        x = mode.call(_part(module, step), x) if isinstance(step, str) else step(x)
    return x


def _part(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = module[int(name)] if name.isdigit() else getattr(module, name)
    return module


def _averages(x: jax.Array, *, bins: int) -> jax.Array:
    return adaptive_avg_pool(x, bins, bins).reshape(x.shape[0], -1)


def _max_pool(x: jax.Array) -> jax.Array:
    return max_pool(x, 3, stride=2, padding="torch")


def _wrapped(network: Any, config: Any, values: Values, name: str) -> Model:
    variables = nested_variables(values, variable_shapes(network, config))
    return port_model(network, config, variables=variables, spec=port_spec(config, name=name))


def _classifier_network(network: Any, config: Any, units: list[Unit]) -> Network:
    """Of a port whose last layer gives the classes."""
    return Network(
        name=f"{config.architecture} with {config.num_classes} classes",
        make=functools.partial(network, config),
        units=tuple(units),
        classes=config.num_classes,
        draw=lambda key: flat_values(random_variables(network, config, key)),
        read=lambda model: flat_values(model.variables),
        wrap=functools.partial(_wrapped, network, config),
    )


@functools.cache
def vgg_network(config: VGGConfig) -> Network:
    """A VGG; its 18 cut points (VGG-19) are the outputs of the ReLUs."""
    units, steps = [], []
    for i, (kind, _) in enumerate(config.feature_modules):
        steps.append(f"features.{i}")
        if kind == "activation":
            units.append(_unit(f"features.{i}", *steps))
            steps = []
    averages = functools.partial(_averages, bins=7)
    units += [
        _unit("classifier.1", *steps, averages, "classifier.0", "classifier.1"),
        _unit("classifier.4", "classifier.2", "classifier.3", "classifier.4"),
        _unit("classifier.6", "classifier.5", "classifier.6"),
    ]
    return _classifier_network(VGG, config, units)


class EncoderClassifier(nnx.Module):
    """An encoder and a linear map of its output's 4 x 4 averages to classes."""

    def __init__(self, config: EncoderConfig, classes: int, rngs: nnx.Rngs):
        self.encoder = Encoder(config, rngs)
        self.classifier = nnx.Linear(_BINS * _BINS * config.features, classes, rngs=rngs)


@functools.cache
def encoder_network(config: EncoderConfig, classes: int) -> Network:
    """One of the zoo's encoders with a classifier; cut after the stem, a block or the encoder."""
    places = ("stem", *(f"blocks.{k}" for k in range(len(config.widths))), "head")
    units = []
    for stage, place in zip(config.stages, places, strict=True):
        rectified = [jax.nn.relu] if f"{stage}.pre" in config.layers else []
        units.append(_unit(stage, f"encoder.{place}", *rectified))
    units.append(_unit("classifier", functools.partial(_averages, bins=_BINS), "classifier"))

    def make(rngs: nnx.Rngs) -> EncoderClassifier:
        return EncoderClassifier(config, classes, rngs)

    def wrap(values: Values, name: str) -> Model:
        inner = {n.removeprefix("encoder."): v for n, v in values.items() if n[:8] == "encoder."}
        return _wrapped(Encoder, config, inner, name)

    return Network(
        name=f"{config.architecture} with {classes} classes",
        make=make,
        units=tuple(units),
        classes=classes,
        draw=lambda key: flat_values(nnx.split(make(nnx.Rngs(key)))[1]),
        read=lambda model: {f"encoder.{n}": v for n, v in flat_values(model.variables).items()},
        wrap=wrap,
    )


@functools.cache
def resnet_network(config: ResNetConfig) -> Network:
    """A ResNet; cut after the stem or a unit."""
    units = [_unit("stem", "stem", operator.itemgetter(1), jax.nn.relu)]
    pool = [] if config.stem_pool is None else [_max_pool]
    parts = (f"stages.{b}.{u}" for b, count in enumerate(config.units) for u in range(count))
    for stage, part in zip(config.stages[1:], parts, strict=True):
        units.append(_unit(stage, *pool, part, operator.itemgetter(2)))
        pool = []
    units.append(_unit("fc", lambda x: x.mean(axis=(1, 2)), "fc"))
    return _classifier_network(ResNet, config, units)


def network_of(model: Model, classes: int) -> Network:
    """The trainable network of a model's family, with that many classes.

    Raises:
      DeparaError: a family that has no chain of units here.
    """
    config: Any = getattr(model.forward, "config", None)  # every port's forward has one
    if isinstance(config, VGGConfig):
        return vgg_network(dataclasses.replace(config, num_classes=classes))
    if isinstance(config, EncoderConfig):
        return encoder_network(config, classes)
    if isinstance(config, ResNetConfig):
        return resnet_network(dataclasses.replace(config, num_classes=classes))
    raise DeparaError(
        f"model {model.name!r} ({model.spec.architecture}) cannot be trained here; expected a VGG, "
        "a ResNet or an encoder of a zoo"
    )
