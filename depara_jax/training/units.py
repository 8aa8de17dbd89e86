"""A network as a chain of units: what training cuts, freezes and runs in parts.

A unit is what stands between two cut points: a convolution with its normalisation and activation,
or a residual block. Its name is that of the layer that it gives, which `rank_layers` ranks. The
last unit is the head, which has nothing above it.

Values are flat dictionaries {"features.0.kernel": array}: easy to split by unit, to save, to test.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.model import Model
from depara_jax.models.port import nested_variables, variable_name

__all__ = ["Mode", "Network", "Unit", "Values", "flat_values"]

Values = Mapping[str, Any]  # {dotted name: array}

_MOMENTUM = 0.9  # of running statistics: what PyTorch, and so the authors' code, calls .1


@dataclasses.dataclass(frozen=True)
class Mode:
    """How a unit runs.

    Attributes:
      train: batch statistics are used and the running ones updated, dropout drops; otherwise the
        running statistics are used and left alone.
      key: of the dropout; needed where there is one and `train` holds.
    """

    train: bool = False
    key: jax.Array | None = None

    def call(self, layer: Any, x: jax.Array) -> Any:
        """One layer, or a block with batch norms somewhere inside, in this mode."""
        if isinstance(layer, nnx.Dropout):
            if not self.train:
                return x
            assert self.key is not None
            return layer(x, deterministic=False, rngs=nnx.Rngs(dropout=self.key))
        if isinstance(layer, nnx.Module):
            for _, part in nnx.iter_modules(layer):
                if isinstance(part, nnx.BatchNorm):
                    part.use_running_average = not self.train
                    part.momentum = _MOMENTUM
        return layer(x)


class Unit(NamedTuple):
    """One link of the chain.

    Attributes:
      name: of the layer that it gives.
      owns: beginnings of the names of its values, each up to a dot.
      run: (module, features below, mode) -> features.
    """

    name: str
    owns: tuple[str, ...]
    run: Callable[[Any, jax.Array, Mode], jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network that can be trained; made by `depara_jax.training.networks`, compared by identity.

    Attributes:
      name: architecture and number of classes.
      make: (rngs) -> the NNX module.
      units: from the image to the classes.
      classes: how many.
      draw: key -> fresh values of everything.
      read: a `Model` of this family -> its values, the head's too if it has one.
      wrap: values, name -> `Model`, for graphs.
    """

    name: str
    make: Callable[[nnx.Rngs], nnx.Module]
    units: tuple[Unit, ...]
    classes: int
    draw: Callable[[jax.Array], Values]
    read: Callable[[Model], Values]
    wrap: Callable[[Values, str], Model]

    @property
    def cuts(self) -> tuple[str, ...]:
        """Where it can be cut, shallow to deep: after every unit but the head."""
        return tuple(unit.name for unit in self.units[:-1])

    def position(self, cut: str | None) -> int:
        """How many units lie up to and including the cut; 0 for none.

        Raises:
          DeparaError: the head, above which nothing is left to train.
          UnknownNameError: no unit of that name.
        """
        if cut is None:
            return 0
        if cut == self.units[-1].name:
            raise DeparaError(
                f"cannot cut {self.name} at {cut!r}: it is the last unit and nothing above it is "
                f"left to train; the deepest cut is {self.cuts[-1]!r}"
            )
        if cut not in self.cuts:
            raise UnknownNameError(f"cut point of {self.name}", cut, self.cuts)
        return self.cuts.index(cut) + 1

    @functools.cached_property
    def _split(self) -> tuple[Any, Any]:
        return nnx.split(nnx.eval_shape(lambda: self.make(nnx.Rngs(0))))

    @functools.cached_property
    def _leaves(self) -> dict[str, Any]:
        return {variable_name(path): leaf for path, leaf in nnx.to_flat_state(self._split[1])}

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every value."""
        return {name: tuple(leaf.shape) for name, leaf in self._leaves.items()}

    def kind(self, name: str) -> Literal["parameter", "statistic"]:
        """Whether a value is learnt by gradients or is a running statistic."""
        return "statistic" if isinstance(self._leaves[name], nnx.BatchStat) else "parameter"

    def unit_of(self, name: str) -> int:
        """Position of the unit that owns a value."""
        for i, unit in enumerate(self.units):
            if any(name.startswith(f"{prefix}.") for prefix in unit.owns):
                return i
        raise AssertionError(f"no unit of {self.name} owns {name}")

    def run(
        self,
        values: Values,
        x: jax.Array,
        *,
        start: int = 0,
        stop: int | None = None,
        train_from: int | None = None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Units `start` to `stop`; traceable.

        Args:
          values: of the whole network; those of units outside are not used.
          x: images, preprocessed, or the features that unit `start - 1` gave.
          start: first unit.
          stop: one after the last; all by default.
          train_from: units from here on run in training mode; none by default.
          key: of their dropout.

        Returns:
          The last unit's output and the running statistics of the units in training mode.
        """
        graph, shapes = self._split
        module = nnx.merge(graph, nested_variables(values, shapes))
        stop = len(self.units) if stop is None else stop
        train_from = stop if train_from is None else train_from
        for i in range(start, stop):
            train = i >= train_from
            unit_key = jax.random.fold_in(key, i) if train and key is not None else None
            x = self.units[i].run(module, x, Mode(train, unit_key))
        statistics = nnx.to_flat_state(nnx.state(module, nnx.BatchStat))
        new = {variable_name(path): leaf[...] for path, leaf in statistics}
        return x, {n: v for n, v in new.items() if train_from <= self.unit_of(n) < stop}

    def check(self, values: Values, source: str, *, units: int | None = None) -> None:
        """Refuses values that are not this network's.

        Args:
          values: to look at.
          source: what messages call them.
          units: look at the first ones only.

        Raises:
          DeparaError: names or shapes that differ; the first few are listed.
        """
        units = len(self.units) if units is None else units
        wanted = {n: s for n, s in self.shapes.items() if self.unit_of(n) < units}
        wrong = [f"{n} is missing" for n in wanted if n not in values]
        wrong += [
            f"{n} has shape {np.shape(values[n])} instead of {shape}"
            for n, shape in wanted.items()
            if n in values and np.shape(values[n]) != shape
        ]
        wrong += [f"{n} is unknown" for n in values if n not in self.shapes]
        if wrong:
            more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DeparaError(
                f"{source} does not fit {self.name}: {'; '.join(wrong[:3])}{more}; "
                "it is of another architecture"
            )


def flat_values(variables: Any) -> dict[str, jax.Array]:
    """{dotted name: array} of a model's variables (an `nnx.State`)."""
    flat = nnx.to_flat_state(variables)
    return {variable_name(path): jnp.asarray(leaf[...]) for path, leaf in flat}
