"""Taskonomy's twenty encoders: the model pool of both papers."""

from depara_jax.models.taskonomy.loading import (
    build_taskonomy,
    load_taskonomy,
    read_weights,
    taskonomy_spec,
)
from depara_jax.models.taskonomy.modeling import TaskonomyConfig, TaskonomyEncoder, forward
from depara_jax.models.taskonomy.params import init_variables, variables_from_tensors
from depara_jax.models.taskonomy.tasks import TASKS, Task, task_named

__all__ = [
    "TASKS",
    "Task",
    "TaskonomyConfig",
    "TaskonomyEncoder",
    "build_taskonomy",
    "forward",
    "init_variables",
    "load_taskonomy",
    "read_weights",
    "task_named",
    "taskonomy_spec",
    "variables_from_tensors",
]
