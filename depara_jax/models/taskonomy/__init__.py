"""Taskonomy's twenty encoders: the model pool of both papers."""

from depara_jax.models.taskonomy.config import TaskonomyConfig
from depara_jax.models.taskonomy.modeling import TaskonomyEncoder
from depara_jax.models.taskonomy.params import schemes
from depara_jax.models.taskonomy.tasks import TASKS, Task

__all__ = ["TASKS", "Task", "TaskonomyConfig", "TaskonomyEncoder", "schemes"]
