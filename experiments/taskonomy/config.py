"""What a run of the Taskonomy experiment is made of, and what the papers printed for it."""

import dataclasses
from collections.abc import Mapping

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.taskonomy import TaskonomyConfig
from depara_jax.recipe import Recipe, recipe_named
from depara_jax.selection.models import refuse_logits

# method -> (row of `depara_jax.estimators.ESTIMATORS`, whether features are centred first as in the
# authors' code, whose RSA baseline is that of the centred ones)
ESTIMATORS: Mapping[str, tuple[str, bool]] = {
    "rsa": ("rsa", False),
    "rsa-centred": ("rsa", True),
    "svcca": ("svcca", False),
    "dds": ("dds_cosine", False),
}


@dataclasses.dataclass(frozen=True)
class ProbeSet:
    """One of the papers' probe sets.

    Attributes:
      lam: the lambda that the authors' code uses on it (prcurve/plot.py).
      table1: method -> (P@1, P@5) of DEPARA's Table 1, means over 17 targets.
    """

    lam: float
    table1: Mapping[str, tuple[float, float]]


def _row(depara: tuple, v: tuple, e: tuple, rsa: tuple) -> Mapping[str, tuple[float, float]]:
    return {"DEPARA": depara, "DEPARA-V": v, "DEPARA-E": e, "RSA": rsa}


PROBE_SETS: Mapping[str, ProbeSet] = {
    "taskonomy": ProbeSet(0.25, _row((0.88, 0.75), (0.71, 0.68), (0.82, 0.75), (0.82, 0.73))),
    "indoor": ProbeSet(0.27, _row((1.00, 0.81), (0.82, 0.72), (1.00, 0.78), (1.00, 0.79))),
    "coco": ProbeSet(0.03, _row((0.82, 0.80), (0.82, 0.78), (0.76, 0.65), (0.82, 0.69))),
}


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A run; hashable.

    Attributes:
      recipes: presets of `depara_jax.recipe`. Their maps are averaged over channels, whatever they
        say, because colorization sees one channel and the others three.
      estimators: keys of `ESTIMATORS`.
      lam: lambda of the recipes that weigh both terms; `None` leaves the presets'.
      size: pixels of the images' sides; the networks were trained at 256.
      network: shape of the encoders (their `channels_in` follows from the task).
      chunk: images a cell, the unit of work that is stored and never computed twice.
      batch: images a compiled step.
    """

    recipes: tuple[str, ...] = ("depara-task", "paper", "tam", "default")
    estimators: tuple[str, ...] = tuple(ESTIMATORS)
    lam: float | None = None
    size: int = 256
    network: TaskonomyConfig = TaskonomyConfig()
    chunk: int = 20
    batch: int = 4

    def __post_init__(self):
        for name in self.recipes:
            refuse_logits(recipe_named(name))
        for name in self.estimators:
            if name not in ESTIMATORS:
                raise UnknownNameError("estimator of this experiment", name, ESTIMATORS)
        if not self.recipes or min(self.size, self.chunk, self.batch) < 1:
            raise DeparaError(
                "ExperimentConfig: needs a recipe, and size, chunk and batch of at least 1, got "
                f"{self}"
            )

    def recipe(self, name: str) -> Recipe:
        """A preset as this run uses it."""
        recipe = recipe_named(name).replace(channel_reduction="mean", name=name)
        if self.lam is not None and recipe.uses_nodes and recipe.uses_edges:
            recipe = recipe.replace(lam=self.lam, name=name)
        return recipe

    def maps(self, name: str) -> Recipe:
        """What the maps of a recipe depend on, without edges."""
        return self.recipe(name).map_part().replace(lam=0.0, name="maps")

    def node_recipes(self) -> dict[Recipe, str]:
        """The distinct ways to make maps, each with the name of the first recipe that needs it."""
        found: dict[Recipe, str] = {}
        for name in self.recipes:
            if self.recipe(name).uses_nodes:
                found.setdefault(self.maps(name), name)
        return found
