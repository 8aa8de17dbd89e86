"""The families that can be trained: VGG, the zoo's encoders, the CIFAR ResNets."""

import dataclasses
import functools
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
    kinds = [kind for kind, _ in config.feature_modules]
    units, pending = [], []
    for i, kind in enumerate(kinds):
        pending.append(i)
        if kind == "activation":
            owns = tuple(f"features.{k}" for k in pending if kinds[k] in ("conv", "norm"))
            units.append(Unit(f"features.{i}", owns, functools.partial(_features, tuple(pending))))
            pending = []
    last_pool = pending[0]
    for first, last, owned in ((0, 1, 0), (2, 4, 3), (5, 6, 6)):
        run = functools.partial(_classifier, last_pool, range(first, last + 1))
        units.append(Unit(f"classifier.{last}", (f"classifier.{owned}",), run))
    return _classifier_network(VGG, config, units)


def _features(indices: tuple[int, ...], module: VGG, x: jax.Array, mode: Mode) -> jax.Array:
    for i in indices:
        x = mode.call(module.features[i], x)
    return x


def _classifier(last_pool: int, indices: range, module: VGG, x: jax.Array, mode: Mode) -> jax.Array:
    if indices[0] == 0:
        x = adaptive_avg_pool(module.features[last_pool](x), 7, 7)
        x = x.reshape(x.shape[0], -1)
    for i in indices:
        x = mode.call(module.classifier[i], x)
    return x


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
        part = f"encoder.{place}"
        run = functools.partial(_encoder_stage, part, f"{stage}.pre" in config.layers)
        units.append(Unit(stage, (part,), run))
    units.append(Unit("classifier", ("classifier",), _encoder_head))

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


def _encoder_stage(
    part: str, rectified: bool, module: EncoderClassifier, x: jax.Array, mode: Mode
) -> jax.Array:
    x = mode.call(_at(module, part), x)
    return jax.nn.relu(x) if rectified else x


def _at(module: Any, part: str) -> Any:
    """A part of a module by its dotted path."""
    for step in part.split("."):
        module = module[int(step)] if step.isdigit() else getattr(module, step)
    return module


def _encoder_head(module: EncoderClassifier, x: jax.Array, mode: Mode) -> jax.Array:
    x = adaptive_avg_pool(x, _BINS, _BINS)
    return mode.call(module.classifier, x.reshape(x.shape[0], -1))


@functools.cache
def resnet_network(config: ResNetConfig) -> Network:
    """A ResNet; cut after the stem or a unit."""
    inner = [f"stages.{b}.{u}" for b, count in enumerate(config.units) for u in range(count)]
    units = []
    for stage, part in zip(config.stages, ("stem", *inner), strict=True):
        pooled = config.stem_pool is not None and part == inner[0]
        units.append(Unit(stage, (part,), functools.partial(_resnet_stage, part, pooled)))
    units.append(Unit("fc", ("fc",), _resnet_head))
    return _classifier_network(ResNet, config, units)


def _resnet_stage(part: str, pooled: bool, module: ResNet, x: jax.Array, mode: Mode) -> jax.Array:
    if part == "stem":
        return jax.nn.relu(mode.call(module.stem, x)[1])
    if pooled:
        x = max_pool(x, 3, stride=2, padding="torch")
    return mode.call(_at(module, part), x)[2]


def _resnet_head(module: ResNet, x: jax.Array, mode: Mode) -> jax.Array:
    return mode.call(module.fc, x.mean(axis=(1, 2)))


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
