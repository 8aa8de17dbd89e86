"""A task's encoder as a `Model`: its spec, and the weights that are checked to be its own."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.models.model import Model
from depara_jax.models.taskonomy.modeling import TaskonomyConfig, forward
from depara_jax.models.taskonomy.params import variables_from_tensors
from depara_jax.models.taskonomy.tasks import Task, task_named, torch_file_task
from depara_jax.spec import InputSpec, ModelSpec
from depara_jax.weights.readers import file_sha256, read_tensors
from depara_jax.weights.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint

__all__ = ["build_taskonomy", "load_taskonomy", "read_weights", "taskonomy_spec"]


def build_taskonomy(
    variables: Any,
    task: str | Task,
    *,
    config: TaskonomyConfig | None = None,
    size: int = 256,
    sha256: str | None = None,
) -> Model:
    """Makes the model `taskonomy/NAME` of a task's variables.

    Args:
      variables: as `init_variables` or `variables_from_tensors` returns.
      task: one of `TASKS`, or its name.
      config: the encoder's shape; by default the published one.
      size: height and width of the images; the published networks saw 256.
      sha256: digest of its file.

    Raises:
      UnknownNameError: no such task.
      DeparaError: `config` has another number of input channels than the task.
    """
    task = task if isinstance(task, Task) else task_named(task)
    config = TaskonomyConfig(channels_in=task.channels_in) if config is None else config
    if config.channels_in != task.channels_in:
        raise DeparaError(
            f"task {task.name!r} sees {task.channels_in} channels, but the encoder takes "
            f"{config.channels_in}; set channels_in={task.channels_in}"
        )
    spec = taskonomy_spec(config, task, input=task.input(size), sha256=sha256)
    return Model(spec, forward(config), variables)


def taskonomy_spec(
    config: TaskonomyConfig,
    task: Task,
    *,
    input: InputSpec | None = None,
    sha256: str | None = None,
) -> ModelSpec:
    """The spec of `taskonomy/NAME`; `input` is the task's own preprocessing by default.

    Raises:
      DeparaError: `input` gives another number of channels than the encoder takes.
    """
    input = task.input() if input is None else input
    if input.n_channels != config.channels_in:
        raise DeparaError(
            f"taskonomy/{task.name} takes {config.channels_in} channel(s), but the preprocessing "
            f"gives {input.n_channels}"
        )
    return ModelSpec(
        name=f"taskonomy/{task.name}",
        architecture=config.architecture,
        input=input,
        layers=config.layers,
        encoder="compress",
        points=config.points,
        task=task.name,
        zoo="taskonomy",
        sha256=sha256,
    )


def load_taskonomy(
    task: str,
    weights: str | os.PathLike[str],
    *,
    config: TaskonomyConfig | None = None,
    size: int = 256,
) -> Model:
    """Loads a task's encoder from a file.

    Args:
      task: one of `TASKS`, by either name.
      weights: a PyTorch port (.pth, or converted to .safetensors or .npz under the same names), or
        the prefix of a TensorFlow V2 checkpoint such as "model.permanent-ckpt".
      config: the encoder's shape; by default the published one.
      size: height and width of the images.

    Raises:
      UnknownNameError: no such task.
      DeparaError: the file is unreadable, does not fit the network, takes another number of input
        channels, or is the published file of another task.
    """
    known = task_named(task)
    config = TaskonomyConfig(channels_in=known.channels_in) if config is None else config
    tensors, digest = read_weights(known, weights)
    variables = variables_from_tensors(tensors, config, source=f"weights file {weights}")
    return build_taskonomy(variables, known, config=config, size=size, sha256=digest)


def read_weights(
    task: Task, weights: str | os.PathLike[str]
) -> tuple[Mapping[str, np.ndarray], str | None]:
    """A file's tensors and digest; a checkpoint, which is several files, has no digest.

    Raises:
      DeparaError: the file is unreadable, or is the published file of another task.
    """
    if is_tf_checkpoint(weights):
        return read_tf_checkpoint(weights), None
    tensors, digest = read_tensors(weights), file_sha256(weights)
    published = torch_file_task(digest)
    if published is not None and published != task:
        raise DeparaError(
            f"weights file {weights} is the published encoder of {published.name!r} "
            f"({published.torch_name} in the ports), not of {task.name!r}"
        )
    return tensors, digest
