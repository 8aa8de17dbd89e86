"""Architectures by name: what can be built from a weights file or from a seed."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import (
    convnext,
    efficientnet_lite,
    mobilenet_v1,
    mobilenet_v2,
    resnet,
    taskonomy,
    vgg,
    vit,
)
from depara_jax.models.model import Model
from depara_jax.models.port import (
    convert,
    flatten_variables,
    port_model,
    port_spec,
    random_variables,
)
from depara_jax.spec import InputSpec, ModelSpec
from depara_jax.weights.cache import read_converted, remember, remembered
from depara_jax.weights.readers import file_sha256, read_tensors

__all__ = ["ARCHITECTURES", "Architecture", "build_model", "list_architectures"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network family and size, as functions over its frozen configuration.

    Attributes:
      name: e.g. "vgg19_bn".
      config: number of classes (None: the family's own) -> frozen configuration.
      make_spec: (configuration, input=, sha256=) -> `ModelSpec`.
      random: (configuration, key) -> variables.
      convert: (configuration, {source name: array}, source=) -> variables, strict on both sides.
      count_classes: {source name: array} -> number of classes, None where it cannot be seen.
      assemble: (configuration, variables=, spec=) -> `Model`.
      read: path -> ({source name: array}, the file's sha256 or None).
      configure: (configuration, {source name: array}) -> the configuration that the names ask for.
      cached: whether converted weights are kept (see `weights.cache`).
    """

    name: str
    config: Callable[[int | None], Any]
    make_spec: Callable[..., ModelSpec]
    random: Callable[[Any, jax.Array], Any]
    convert: Callable[..., Any]
    count_classes: Callable[[Mapping[str, Any]], int | None]
    assemble: Callable[..., Model]
    read: Callable[..., tuple[Mapping[str, Any], str | None]] = lambda path: (
        read_tensors(path),
        file_sha256(path),
    )
    configure: Callable[[Any, Mapping[str, Any]], Any] = lambda config, tensors: config
    cached: bool = False

    def spec(self, *, num_classes: int | None = None, input: InputSpec | None = None) -> ModelSpec:
        """The spec of a network without weights."""
        return self.make_spec(self.config(num_classes), input=input)

    def build(
        self,
        weights: str | os.PathLike[str] | None,
        seed: int | None,
        num_classes: int | None,
        input: InputSpec | None = None,
    ) -> Model:
        """The network with the weights of a file, or else drawn from a seed."""
        if weights is None:
            config, sha256 = self.config(num_classes), None
            variables = self.random(config, jax.random.key(seed or 0))
        else:
            config, variables, sha256 = self._from_file(Path(weights), num_classes)
        spec = self.make_spec(config, input=input, sha256=sha256)
        return self.assemble(config, variables=variables, spec=spec)

    def _from_file(self, weights: Path, num_classes: int | None) -> tuple[Any, Any, str | None]:
        """Configuration, variables and digest of a file; other frameworks' are converted once."""
        source = f"weights file {weights}"
        plain = weights.suffix.lower() == ".safetensors"  # as quick to read as the cache
        kept = None
        if self.cached and plain:
            kept = read_converted(weights, self.name)
        elif self.cached and weights.is_file():  # a TensorFlow checkpoint is several
            kept = remembered(self.name, num_classes, file_sha256(weights))
        if kept is not None:
            fields, tensors = kept
            # JSON has no tuples, and a list could not be hashed.
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            config = type(self.config(num_classes))(**fields)
            return config, self.convert(config, tensors, source=source), file_sha256(weights)
        tensors, sha256 = self.read(weights)
        config = self.config(num_classes or self.count_classes(tensors))
        config = self.configure(config, tensors)
        variables = self.convert(config, tensors, source=source)
        if self.cached and not plain and sha256 is not None:
            fields, arrays = dataclasses.asdict(config), flatten_variables(variables)
            remember(self.name, num_classes, sha256, fields, arrays)
        return config, variables, sha256


def _vgg(depth: int, batch_norm: bool) -> Architecture:
    def config(num_classes: int | None) -> vgg.VGGConfig:
        classes = 1000 if num_classes is None else num_classes
        return vgg.VGGConfig(depth, batch_norm, classes)

    return Architecture(
        name=config(None).architecture,
        config=config,
        make_spec=vgg.vgg_spec,
        random=vgg.random_variables,
        convert=vgg.convert,
        count_classes=vgg.count_classes,
        assemble=vgg.vgg,
        cached=True,
    )


def _taskonomy(task: taskonomy.Task) -> Architecture:
    name = f"taskonomy/{task.name}"

    def config(num_classes: int | None) -> taskonomy.TaskonomyConfig:
        if num_classes is not None:
            raise DeparaError(f"{name} is an encoder without classes; leave num_classes out")
        return taskonomy.TaskonomyConfig(channels_in=task.channels_in)

    return Architecture(
        name=name,
        config=config,
        make_spec=functools.partial(taskonomy.taskonomy_spec, task=task),
        random=taskonomy.init_variables,
        convert=lambda config, tensors, *, source: taskonomy.variables_from_tensors(
            tensors, config, source=source
        ),
        count_classes=lambda tensors: None,
        assemble=lambda config, *, variables, spec: Model(
            spec, taskonomy.forward(config), variables
        ),
        read=functools.partial(taskonomy.read_weights, task),
        cached=True,
    )


def _port(
    network: Any,
    make: Callable[[int], Any],
    schemes: Callable[[Any], Any],
    count_classes: Callable[[Mapping[str, Any]], int | None],
    classes: int = 1000,
    configure: Callable[[Any, Mapping[str, Any]], Any] = lambda config, tensors: config,
) -> Architecture:
    """An architecture of `models.port`; `make` takes the number of classes."""

    def config(num_classes: int | None) -> Any:
        return make(classes if num_classes is None else num_classes)

    return Architecture(
        name=config(None).architecture,
        config=config,
        make_spec=port_spec,
        random=functools.partial(random_variables, network),
        convert=lambda config, tensors, *, source: convert(
            network, config, schemes(config), tensors, source=source
        ),
        count_classes=count_classes,
        assemble=functools.partial(port_model, network),
        configure=configure,
        cached=True,
    )


def _resnet(depth: int, family: resnet.Family) -> Architecture:
    return _port(
        resnet.ResNet,
        lambda classes: resnet.ResNetConfig(depth, family, classes),
        resnet.schemes,
        resnet.count_classes,
        classes=10 if family == "cifar" else 1000,
        configure=resnet.configure,
    )


def _mobilenet_v1(width: float) -> Architecture:
    return _port(
        mobilenet_v1.MobileNetV1,
        lambda classes: mobilenet_v1.MobileNetV1Config(width, classes),
        mobilenet_v1.schemes,
        mobilenet_v1.count_classes,
        configure=mobilenet_v1.configure,
    )


def _mobilenet_v2(width: float) -> Architecture:
    return _port(
        mobilenet_v2.MobileNetV2,
        lambda classes: mobilenet_v2.MobileNetV2Config(width, classes),
        mobilenet_v2.schemes,
        mobilenet_v2.count_classes,
        configure=mobilenet_v2.configure,
    )


def _efficientnet_lite(size: int) -> Architecture:
    return _port(
        efficientnet_lite.EfficientNetLite,
        lambda classes: efficientnet_lite.EfficientNetLiteConfig(size, classes),
        efficientnet_lite.schemes,
        efficientnet_lite.count_classes,
    )


def _vit(size: Any, patch: int) -> Architecture:
    return _port(
        vit.ViT,
        lambda classes: vit.ViTConfig(size, patch, classes),
        vit.schemes,
        vit.count_classes,
        configure=vit.configure,
    )


def _convnext(size: Any) -> Architecture:
    return _port(
        convnext.ConvNeXt,
        lambda classes: convnext.ConvNeXtConfig(size, classes),
        convnext.schemes,
        convnext.count_classes,
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    "vgg11": _vgg(11, False),
    "vgg11_bn": _vgg(11, True),
    "vgg13": _vgg(13, False),
    "vgg13_bn": _vgg(13, True),
    "vgg16": _vgg(16, False),
    "vgg16_bn": _vgg(16, True),
    "vgg19": _vgg(19, False),
    "vgg19_bn": _vgg(19, True),
    **{f"resnet{depth}": _resnet(depth, "imagenet") for depth in (18, 34, 50, 101, 152)},
    **{f"cifar_resnet{depth}": _resnet(depth, "cifar") for depth in (8, 20, 32, 44, 56, 110)},
    **{f"mobilenet_v1_{width}": _mobilenet_v1(width) for width in (0.25, 0.5, 0.75, 1.0)},
    **{f"mobilenet_v2_{width}": _mobilenet_v2(width) for width in (0.35, 0.5, 0.75, 1.0, 1.4)},
    **{f"efficientnet_lite{size}": _efficientnet_lite(size) for size in range(5)},
    **{f"vit_{size}{patch}": _vit(size, patch) for size in "sbl" for patch in (8, 14, 16, 32)},
    **{f"convnext_{size}": _convnext(size) for size in ("tiny", "small", "base", "large")},
    **{f"taskonomy/{name}": _taskonomy(task) for name, task in taskonomy.TASKS.items()},
}


def list_architectures() -> tuple[str, ...]:
    """Names that `build_model` knows."""
    return tuple(ARCHITECTURES)


def build_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    random_seed: int | None = None,
    num_classes: int | None = None,
    input: InputSpec | None = None,
) -> Model:
    """A network of a known architecture, with weights from a file or from a seed.

    Args:
      name: one of `list_architectures()`.
      weights: a .safetensors, .npz, .pth or .pt file under the original framework's tensor names;
        for Taskonomy's encoders also the prefix of a TensorFlow checkpoint.
      random_seed: seed of random weights; give this or `weights`.
      num_classes: outputs; by default as many as the file has, or the family's own.
      input: preprocessing; the family's own by default.

    Raises:
      UnknownNameError: no such architecture.
      DeparaError: neither or both of `weights` and `random_seed` are given, the file cannot be
        read, or it does not fit the architecture.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    if (weights is None) == (random_seed is None):
        raise DeparaError(
            f"architecture {name!r}: give a weights file or a random seed, "
            f"got {'neither' if weights is None else 'both'}"
        )
    return ARCHITECTURES[name].build(weights, random_seed, num_classes, input)
