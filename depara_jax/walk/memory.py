"""How many images a step takes: by a rule of thumb, or by what the compiled programs need."""

from collections.abc import Callable
from typing import Any, NamedTuple

from depara_jax.errors import DeparaError
from depara_jax.host.platform import platform
from depara_jax.recipe import Recipe
from depara_jax.spec import InputSpec
from depara_jax.walk.step import Program, run_step

__all__ = ["Need", "batch_within", "default_batch_size", "feature_share", "program_need"]

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1.0))


class Need(NamedTuple):
    """What one network's step needs, in bytes.

    Attributes:
      name: of the network.
      step: while it runs: intermediate results and outputs.
      kept: of these, the node vectors, which stay until every network has seen the images.
    """

    name: str
    step: int
    kept: int


def default_batch_size(input: InputSpec, recipe: Recipe | None = None) -> int:
    """Images a step: 128 of 32 x 32 pixels, 10 of 224 x 224, in proportion between.

    On a CPU a recipe with a path takes fewer, so that its steps fit side by side (see
    `depara_jax.attribution.gradients.steps_at_once`).
    """
    height, width = input.size
    most = min(128, max(2, 2**19 // (height * width)))
    if recipe is None or recipe.steps is None or platform() != "cpu":
        return most
    return max(1, min(most, 2**20 // (height * width * recipe.steps)))


def feature_share(memory_limit: int) -> int:
    """Bytes of features to hold: a quarter, since making edges of them takes up to four times."""
    return memory_limit // 4


def program_need(program: Program, variables: Any, images: Any, name: str) -> Need:
    """What a step needs for these arrays, as XLA says; it is compiled, not run.

    Args:
      program: of the step.
      variables: arrays or shapes.
      images: an array or its shape.
      name: of the network.
    """
    lowered = run_step.lower(program, variables, images)
    memory: Any = lowered.compile().memory_analysis()
    vectors = lowered.out_info.vectors
    kept = sum(v.size * v.dtype.itemsize for v in vectors)
    return Need(name, memory.temp_size_in_bytes + memory.output_size_in_bytes, kept)


def batch_within(memory_limit: int, most: int, needs: Callable[[int], list[Need]]) -> int:
    """The largest number of images a step that is found to fit.

    A step needs its own memory and that of the node vectors which the other networks have left; the
    features held between steps have their share. Weights and results (graphs, m x m similarities)
    are not counted: they are needed whatever the step.

    Args:
      memory_limit: bytes.
      most: images a step at most.
      needs: of every network for a number of images; compiles programs, so it is called rarely.

    Raises:
      DeparaError: one image is too much.
    """
    room, size = memory_limit - feature_share(memory_limit), most
    while True:
        found = needs(size)
        kept = sum(need.kept for need in found)
        worst = max(found, key=lambda need: need.step - need.kept)
        total = kept + worst.step - worst.kept
        if total <= room:
            return size
        if size == 1:
            raise DeparaError(
                f"memory limit of {_shown(memory_limit)}: one image of {worst.name} needs "
                f"{_shown(total)} with the maps of {len(found)} network(s), and a quarter of the "
                f"limit is for features; give at least {_shown(total * 4 / 3 + 1)}"
            )
        # Needs grow a little less than in proportion: what is constant is counted per image here.
        size = max(1, min(size - 1, int(size * room / total)))


def _shown(count: int | float) -> str:
    """1.5 GB; rounded up, so that a limit of the shown size is enough."""
    unit, size = next((u, s) for u, s in _UNITS if count >= s or s == 1)
    return f"{-(-count * 10 // size) / 10:g} {unit}"
