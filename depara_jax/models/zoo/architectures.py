"""Architectures by name: what can be built from a weights file or from a seed."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import (
    convnext,
    efficientnet_lite,
    encoder,
    mobilenet_v1,
    mobilenet_v2,
    resnet,
    taskonomy,
    vgg,
    vit,
)
from depara_jax.models.config import PortConfig
from depara_jax.models.model import Model
from depara_jax.models.port import (
    convert,
    flatten_variables,
    port_model,
    port_spec,
    random_variables,
    replaced,
)
from depara_jax.models.schemes import Scheme, count_classes
from depara_jax.spec import InputSpec, ModelSpec
from depara_jax.weights.cache import read_converted, remember, remembered
from depara_jax.weights.readers import file_sha256, read_tensors
from depara_jax.weights.tf_checkpoint import is_tf_checkpoint

__all__ = ["ARCHITECTURES", "Architecture", "build_model"]

Schemes = Callable[[Any], Sequence[Scheme]]
Configure = Callable[[Any, Mapping[str, Any]], Any]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A port under a name: a network class, its configuration, and the namings of its files.

    Attributes:
      network: the NNX class.
      config: its configuration; what a caller or a file asks for replaces fields of it.
      schemes: configuration -> the namings that are known.
      configure: (configuration, {source name: array}) -> the configuration that a file's tensors
        ask for; None where they decide on nothing but the number of classes.
      task: for Taskonomy's encoders, which are one network under twenty names.
    """

    network: Any
    config: PortConfig
    schemes: Schemes
    configure: Configure | None = None
    task: taskonomy.Task | None = None

    @property
    def name(self) -> str:
        """E.g. "vgg19_bn"."""
        return self.config.architecture if self.task is None else self.task.model

    def configured(
        self, num_classes: int | None = None, configuration: Mapping[str, Any] | None = None
    ) -> Any:
        """The configuration with other classes or other values of its fields.

        Raises:
          DeparaError: it has no classes, or there is no such configuration.
        """
        config = replaced(self.config, configuration or {})
        if num_classes is None:
            return config
        if self.config.logits is None:
            raise DeparaError(f"{self.name} is an encoder without classes; leave num_classes out")
        return replaced(config, {"num_classes": num_classes})

    def spec(
        self,
        config: PortConfig | None = None,
        *,
        input: InputSpec | None = None,
        sha256: str | None = None,
    ) -> ModelSpec:
        """The spec of a network without weights; its own configuration by default."""
        config, task = config or self.config, self.task
        if task is None:
            return port_spec(config, input=input, sha256=sha256)
        return port_spec(
            config, name=task.model, input=input or task.input(), task=task.name, zoo="taskonomy",
            sha256=sha256,
        )  # fmt: skip

    def read(
        self, weights: Path, asked: int | None, configuration: Mapping[str, Any] | None
    ) -> tuple[Any, Any, str | None]:
        """Configuration, variables and digest of a file; other frameworks' are converted once."""
        source = f"weights file {weights}"
        plain = weights.suffix.lower() == ".safetensors"  # as quick to read as the cache
        # A checkpoint is several files, which have no one digest.
        sha256 = None if is_tf_checkpoint(weights) else file_sha256(weights)
        if plain:
            kept = read_converted(weights, self.name)
        else:
            kept = None if sha256 is None else remembered(self.name, asked, sha256)
        if kept is not None:
            config, tensors = replaced(self.config, kept[0]), kept[1]
            if config == replaced(config, configuration or {}):
                return config, self._converted(config, tensors, source), sha256
        tensors = read_tensors(weights)
        if self.task is not None:
            self.task.check(tensors, sha256, source)
        config = self.configured(asked, configuration)
        if asked is None and "num_classes" not in (configuration or {}):
            counted = count_classes(config.logits, self.schemes(config), tensors)
            config = config if counted is None else replaced(config, {"num_classes": counted})
        if self.configure is not None and configuration is None:
            config = self.configure(config, tensors)
        variables = self._converted(config, tensors, source)
        if not plain and sha256 is not None:
            fields = dataclasses.asdict(config)
            remember(self.name, asked, sha256, fields, flatten_variables(variables))
        return config, variables, sha256

    def _converted(self, config: Any, tensors: Mapping[str, Any], source: str) -> Any:
        return convert(self.network, config, self.schemes(config), tensors, source=source)


def _rows() -> Iterator[Architecture]:
    for port, network, configs in _PORTS:
        schemes = getattr(port, "schemes", lambda config: ())  # else the variables' own names
        for config in configs:
            yield Architecture(network, config, schemes, getattr(port, "configure", None))
    for task in taskonomy.TASKS.values():
        config = taskonomy.TaskonomyConfig(channels_in=task.channels_in)
        yield Architecture(taskonomy.TaskonomyEncoder, config, taskonomy.schemes, task=task)


# Package, network and configurations of each port.
_PORTS: tuple[tuple[Any, Any, Sequence[PortConfig]], ...] = (
    (vgg, vgg.VGG, [vgg.VGGConfig(n, norm) for n in (11, 13, 16, 19) for norm in (False, True)]),
    (
        resnet,
        resnet.ResNet,
        [
            *(resnet.ResNetConfig(depth) for depth in (18, 34, 50, 101, 152)),
            *(resnet.ResNetConfig(depth, "cifar", 10) for depth in (8, 20, 32, 44, 56, 110)),
        ],
    ),
    (
        mobilenet_v1,
        mobilenet_v1.MobileNetV1,
        [mobilenet_v1.MobileNetV1Config(width) for width in (0.25, 0.5, 0.75, 1.0)],
    ),
    (
        mobilenet_v2,
        mobilenet_v2.MobileNetV2,
        [mobilenet_v2.MobileNetV2Config(width) for width in (0.35, 0.5, 0.75, 1.0, 1.4)],
    ),
    (
        efficientnet_lite,
        efficientnet_lite.EfficientNetLite,
        [efficientnet_lite.EfficientNetLiteConfig(size) for size in range(5)],
    ),
    (vit, vit.ViT, [vit.ViTConfig(size, patch) for size in "sbl" for patch in (8, 14, 16, 32)]),
    (
        convnext,
        convnext.ConvNeXt,
        [convnext.ConvNeXtConfig(size) for size in ("tiny", "small", "base", "large")],
    ),
    (
        encoder,
        encoder.Encoder,
        [encoder.EncoderConfig(block) for block in ("residual", "plain", "separable")],
    ),
)
ARCHITECTURES: Mapping[str, Architecture] = {row.name: row for row in _rows()}


def build_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    random_seed: int | None = None,
    num_classes: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    input: InputSpec | None = None,
) -> Model:
    """A network of a known architecture, with weights from a file or from a seed.

    Args:
      name: one of `ARCHITECTURES`.
      weights: a .safetensors, .npz, .pth or .pt file under the original framework's tensor names;
        for Taskonomy's encoders also the prefix of a TensorFlow checkpoint.
      random_seed: seed of random weights; give this or `weights`.
      num_classes: outputs; by default as many as the file has, or the family's own.
      configuration: fields of the architecture's configuration that differ from its own, such as
        {"width": 0.5}; by default what the file's tensors ask for.
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
    architecture, sha256 = ARCHITECTURES[name], None
    network = architecture.network
    if weights is None:
        config = architecture.configured(num_classes, configuration)
        variables = random_variables(network, config, jax.random.key(random_seed or 0))
    else:
        config, variables, sha256 = architecture.read(Path(weights), num_classes, configuration)
    spec = architecture.spec(config, input=input, sha256=sha256)
    return port_model(network, config, variables=variables, spec=spec)
