"""Cutting a network: what is loaded, what is frozen and what is drawn anew."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from depara_jax.training.units import Network, Values

__all__ = ["Parts", "cut_network"]


class Parts(NamedTuple):
    """The values of a network, by what training does to them.

    Attributes:
      frozen: everything up to and including the cut, its batch norm and running statistics too;
        run in inference mode and never changed.
      parameters: of the units above, learnt.
      statistics: running statistics of the units above, updated.
      start: position of the first unit above the cut.
    """

    frozen: dict[str, jax.Array]
    parameters: dict[str, jax.Array]
    statistics: dict[str, jax.Array]
    start: int

    @property
    def values(self) -> dict[str, jax.Array]:
        """All of them."""
        return {**self.frozen, **self.parameters, **self.statistics}


def cut_network(
    network: Network,
    source: Values | None,
    cut: str | None,
    *,
    seed: int,
    name: str = "source network",
) -> Parts:
    """The values with which transfer from one layer starts.

    Units up to and including `cut` are the source's. All others are drawn from the seed: the same
    ones for every cut, whatever was trained before (the authors' script built its network once and
    let each layer's run start from the weights that the layer before had left).

    Args:
      network: of the target task.
      source: values of the network to transfer from; its head may have other classes.
      cut: name of a unit, or None to train all from scratch.
      seed: of the fresh values.
      name: what messages call the source.

    Raises:
      DeparaError: nothing is above the cut, or the source does not fit below it.
      UnknownNameError: no such cut point.
    """
    start = network.position(cut)
    fresh = network.draw(jax.random.key(seed))
    values = dict(fresh)
    if start:
        below = source or {}
        network.check(below, name, units=start)
        loaded = {n: jnp.asarray(v) for n, v in below.items() if network.unit_of(n) < start}
        values.update(loaded)
    frozen, parameters, statistics = {}, {}, {}
    for value_name, value in values.items():
        if network.unit_of(value_name) < start:
            frozen[value_name] = value
        elif network.kind(value_name) == "statistic":
            statistics[value_name] = value
        else:
            parameters[value_name] = value
    return Parts(frozen, parameters, statistics, start)
