r"""What the ports share: a pure forward, variables by rule tables or from a key, and the spec.

A port is a frozen configuration (`PortConfig`), a Flax NNX network built from it, and a `Scheme`
for each way in which files name the tensors (torchvision's, timm's, Keras's). A file's own names
choose the scheme. Whatever else a port can do follows from these three.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.config import PortConfig
from depara_jax.models.model import Model
from depara_jax.models.schemes import OWN_NAMES, TORCH_IGNORED, Scheme, scheme_of
from depara_jax.spec import InputSpec, ModelSpec
from depara_jax.weights.mapping import assign

__all__ = [
    "PureForward",
    "check_images",
    "convert",
    "draw_variables",
    "flatten_variables",
    "nested_variables",
    "port_model",
    "port_spec",
    "random_variables",
    "replaced",
    "variable_name",
    "variable_shapes",
]

Network = Callable[[Any, nnx.Rngs], nnx.Module]
Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class PureForward:
    """A network as a pure function of (variables, images); see `depara_jax.types.Forward`.

    Equal for equal networks and configurations, so that compiled programs are found again.
    """

    network: Network
    config: Any

    def __call__(self, variables: Any, images: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep."""
        return nnx.merge(_split(self.network, self.config)[0], variables)(jnp.asarray(images))


def convert(
    network: Network,
    config: PortConfig,
    schemes: Sequence[Scheme],
    tensors: Mapping[str, Any],
    *,
    source: str = "weights",
) -> Any:
    """Variables of a port from a file's tensors, by the scheme that their names show.

    Args:
      network: the NNX class.
      config: its configuration.
      schemes: the namings that are known; the weights' own names always are.
      tensors: {name in the source framework: array}.
      source: what to call them in an error.

    Returns:
      An `nnx.State`.

    Raises:
      DeparaError: the names follow no known scheme; or tensors are missing, unexpected, of another
        shape or dtype, or not finite, which are all listed.
    """
    scheme = scheme_of([*schemes, OWN_NAMES], tensors, config.architecture, source)
    source = f"{source}, read as {config.architecture} under {scheme.name}'s names"
    shapes = variable_shapes(network, config)
    chosen = assign(
        scheme.rules,
        {name: np.asarray(value) for name, value in tensors.items()},
        {variable_name(path): leaf for path, leaf in nnx.to_flat_state(shapes)},
        ignore=(*scheme.ignore, *TORCH_IGNORED),
        source=source,
    )
    bad = [name for name, v in chosen.items() if not np.isfinite([v.min(), v.max()]).all()]
    if bad:
        raise DeparaError(f"{source}: NaN or infinity in {', '.join(bad[:10])}")
    return nested_variables(chosen, shapes)


def random_variables(network: Network, config: PortConfig, key: jax.Array) -> Any:
    """Variables drawn at random, float32, a function of the key alone.

    As `draw_variables` has it, unless the network has a static method `draw(config, key)` for
    initial values that its training depends on.
    """
    draw = getattr(network, "draw", None)
    return draw_variables(network, config, key) if draw is None else draw(config, key)


def _he_std(shape: tuple[int, ...]) -> float:
    return math.sqrt(2.0 / math.prod(shape[:-1]))


def draw_variables(
    network: Network,
    config: PortConfig,
    key: jax.Array,
    *,
    kernel_std: Callable[[tuple[int, ...]], float] = _he_std,
) -> Any:
    """Kernels from a normal distribution, everything else constant.

    Position embeddings and class tokens are N(0, 0.02^2), layer scales 1e-6 (as their papers have
    them), biases 0, normalisations the identity. Drawn by numpy: several times faster than JAX on a
    CPU, and the same whatever the backend; hence not traceable.

    Args:
      network: the NNX class.
      config: its configuration.
      key: the source of chance.
      kernel_std: standard deviation of a kernel of a shape; sqrt(2 / fan_in) by default (He et al.,
        ICCV 2015).
    """
    seed = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]

    def value(index: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        if kind in ("scale", "var"):
            return np.ones(shape, np.float32)
        if kind == "layer_scale":
            return np.full(shape, 1e-6, np.float32)
        if kind not in ("kernel", "position", "class_token"):
            return np.zeros(shape, np.float32)
        values = np.random.default_rng([*seed, index]).standard_normal(shape, np.float32)
        values *= np.float32(kernel_std(shape) if kind == "kernel" else 0.02)
        return values

    shapes = variable_shapes(network, config)
    values = {
        variable_name(path): value(index, str(path[-1]), leaf.shape)
        for index, (path, leaf) in enumerate(nnx.to_flat_state(shapes))
    }
    return nested_variables(values, shapes)


def variable_shapes(network: Network, config: PortConfig) -> Any:
    """The `nnx.State` of a network with shapes in place of arrays; nothing is computed."""
    return _split(network, config)[1]


def flatten_variables(variables: Any) -> dict[str, np.ndarray]:
    """{tensor name such as "stem.conv.kernel": array}, as converted weights are stored."""
    flat = nnx.to_flat_state(variables)
    return {variable_name(path): np.asarray(leaf[...]) for path, leaf in flat}


def nested_variables(values: Mapping[str, Any], like: Any) -> Any:
    """The inverse of `flatten_variables`, with the shape of the state `like`."""
    return nnx.from_flat_state(
        [
            (path, leaf.replace(jnp.asarray(values[variable_name(path)])))
            for path, leaf in nnx.to_flat_state(like)
        ]
    )


def port_spec(
    config: PortConfig,
    *,
    name: str | None = None,
    input: InputSpec | None = None,
    task: str | None = None,
    zoo: str | None = None,
    sha256: str | None = None,
) -> ModelSpec:
    """What a network is but its numbers.

    Args:
      config: its configuration.
      name: the model's name; the architecture's by default.
      input: preprocessing; the family's own by default.
      task: what it was trained for.
      zoo: the zoo it belongs to.
      sha256: digest of its weights file.

    Raises:
      DeparaError: `input` gives another number of channels than the network takes.
    """
    name, input = name or config.architecture, input or config.input
    if input.n_channels != config.input.n_channels:
        raise DeparaError(
            f"{name} takes {config.input.n_channels} channel(s), but the preprocessing gives "
            f"{input.n_channels}"
        )
    fields = ("architecture", "layers", "encoder", "logits", "points")
    said = {field: getattr(config, field) for field in fields}
    return ModelSpec(name=name, input=input, task=task, zoo=zoo, sha256=sha256, **said)


def port_model(
    network: Network, config: PortConfig, *, variables: Any, spec: ModelSpec | None = None
) -> Model:
    """Makes a `Model` of a port's variables."""
    return Model(spec or port_spec(config), PureForward(network, config), variables)


def replaced(config: Config, fields: Mapping[str, Any]) -> Config:
    """A configuration with other values of some fields, as JSON and TOML write them.

    Args:
      config: a frozen dataclass.
      fields: {field: value}; a list stands for a tuple, a whole number for a float.

    Raises:
      DeparaError: a field is unknown or has a value that no such configuration has.
    """
    kind = type(config).__name__
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in vars(config):
            raise UnknownNameError(f"field of {kind}", name, vars(config))
        old = getattr(config, name)
        value = tuple(value) if isinstance(value, list) else value
        value = float(value) if isinstance(old, float) and type(value) is int else value
        if None not in (old, value) and type(old) is not type(value):
            raise DeparaError(f"{kind}: {name} cannot be {fields[name]!r}; expected such as {old}")
        values[name] = value
    try:
        made = dataclasses.replace(config, **values)  # pyright: ignore[reportArgumentType]
        hash(made)
    except (TypeError, ValueError, OverflowError) as error:
        raise DeparaError(f"{kind}: {dict(fields)} is not one ({error})") from error
    return made


def check_images(images: jax.Array, architecture: str, *, smallest: int = 1) -> None:
    """Refuses what is not a batch of images.

    Args:
      images: what should be [n, h, w, 3].
      architecture: what takes them.
      smallest: height and width that it needs.

    Raises:
      DeparaError: they are of another shape.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[-1] != 3 or min(shape[1:3]) < smallest:
        least = f" of at least {smallest}x{smallest} pixels" if smallest > 1 else ""
        raise DeparaError(f"{architecture} takes images [n, h, w, 3]{least}, got shape {shape}")


@functools.cache
def _split(network: Network, config: Any) -> tuple[Any, Any]:
    """The static half of the network and its variables' shapes; nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: network(config, nnx.Rngs(0))))


def variable_name(path: tuple[Any, ...]) -> str:
    """The dotted name of a path in an `nnx.State`, such as "stem.conv.kernel"."""
    return ".".join(map(str, path))
