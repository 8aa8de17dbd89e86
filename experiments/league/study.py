"""The results as questions: which sources for this target network? And the truth about them."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.evaluation import GroundTruth
from depara_jax.evaluation.correlation import spearman
from experiments.league.config import RANDOM, Encoder
from experiments.league.methods import Method
from experiments.league.results import Results

__all__ = ["Pool", "Study", "admitted", "agreement"]


def agreement(rankings: np.ndarray) -> np.ndarray:
    """[pairs] Spearman's correlation of every pair of k measurements [k, s] of the same sources."""
    return np.array([spearman(*pair) for pair in itertools.combinations(rankings, 2)])


def admitted(
    targets: Sequence[str],
    reproducible: np.ndarray,
    own: np.ndarray,
    random: np.ndarray,
    *,
    least: float | None,
) -> tuple[str, ...]:
    """The targets that count.

    Args:
      targets: t names.
      reproducible: [t] Spearman between encoder seeds of the order of their sources.
      own: [t] loss of the target's own encoders.
      random: [t] loss of random-initialised ones.
      least: bound on `reproducible`; None admits all.
    """
    rows = zip(targets, reproducible, own, random, strict=True)
    return tuple(name for name, r, o, c in rows if least is None or (r >= least and o < c))


class Pool(NamedTuple):
    """Who asks and who is asked: target networks of one architecture and seed, sources of another.

    Attributes:
      architecture: of the target networks.
      target_seed: theirs.
      source_seed: of the sources.
      sources: architectures of the sources.
    """

    architecture: str
    target_seed: int
    source_seed: int
    sources: tuple[str, ...]


class Study:
    """Results with what follows from them: the admitted targets, affinities, aligned matrices."""

    def __init__(self, results: Results):
        self.results = results
        self.row = {name: i for i, name in enumerate(results.names)}
        self.place = {name: i for i, name in enumerate(results.trained)}
        parts = [name.split("/") for name in results.names]
        encoders = [Encoder(task, shape, int(seed)) for task, shape, seed in parts]
        self.tasks = tuple(dict.fromkeys(e.task for e in encoders if e.task != RANDOM))
        self.architectures = tuple(dict.fromkeys(e.architecture for e in encoders))
        self.seeds = tuple(sorted({e.seed for e in encoders}))
        if self.tasks != results.targets:
            raise DeparaError("results: sources and targets must be the same tasks in one order")

    @functools.cached_property
    def reproducible(self) -> np.ndarray:
        """[t] Spearman between encoder seeds of the order of sources.

        Mean over pairs of seeds and over architectures.
        """
        values = np.empty((len(self.tasks), len(self.architectures)))
        for j, architecture in enumerate(self.architectures):
            stack = np.stack([self.gains(architecture, seed) for seed in self.seeds])
            for i in range(len(self.tasks)):
                others = np.arange(len(self.tasks)) != i
                values[i, j] = agreement(stack[:, i, others]).mean()
        return values.mean(axis=1)

    @functools.cached_property
    def targets(self) -> tuple[str, ...]:
        """The targets that the rule of `admitted` lets count."""
        least = self.results.meta["config"]["least_agreement"]
        losses = self.results.losses.mean(axis=2)
        own, control = np.empty(len(self.tasks)), np.empty(len(self.tasks))
        for i, task in enumerate(self.tasks):
            own[i] = np.mean([losses[self.row[name], i] for name in self._all_named(task)])
            control[i] = np.mean([losses[self.row[name], i] for name in self._all_named(RANDOM)])
        return admitted(self.tasks, self.reproducible, own, control, least=least)

    def _all_named(self, task: str) -> list[str]:
        pairs = itertools.product(self.architectures, self.seeds)
        return [Encoder(task, architecture, seed).name for architecture, seed in pairs]

    def control(self, architecture: str) -> np.ndarray:
        """[t] loss of the random-initialised encoders, mean over seeds and draws."""
        rows = [self.row[Encoder(RANDOM, architecture, seed).name] for seed in self.seeds]
        return self.results.losses[rows].mean(axis=(0, 2))

    def gains(self, architecture: str, seed: int, *, draw: int | None = None) -> np.ndarray:
        """[t, s] what each source saves of the control's loss; rows and columns as `tasks`."""
        losses = self.results.losses
        losses = losses.mean(axis=2) if draw is None else losses[:, :, draw]
        control = self.control(architecture)[:, None]
        return 1.0 - self.table(losses, architecture, seed) / control

    def table(self, values: np.ndarray, architecture: str, seed: int) -> np.ndarray:
        """[t, s] of an array [e, t] for the sources of one architecture and seed."""
        rows = [self.row[Encoder(task, architecture, seed).name] for task in self.tasks]
        return values[rows].T

    def pools(
        self, *, seeds: Sequence[int] | None = None, sources: str = "same"
    ) -> tuple[Pool, ...]:
        """All pools whose target and source seeds are among `seeds`.

        Args:
          seeds: by default all.
          sources: architectures of the sources: the target's ("same"), the "other" ones, or "all".
        """
        seeds = self.seeds if seeds is None else seeds
        pools = []
        for architecture, first, second in itertools.product(self.architectures, seeds, seeds):
            others = tuple(name for name in self.architectures if name != architecture)
            kinds = {"same": (architecture,), "other": others, "all": (architecture, *others)}
            pools.append(Pool(architecture, first, second, kinds[sources]))
        return tuple(pools)

    def candidates(self, pool: Pool) -> list[str]:
        """Names of the pool's sources, in the order of `truth`'s candidates."""
        pairs = itertools.product(pool.sources, self.tasks)
        return [Encoder(task, architecture, pool.source_seed).name for architecture, task in pairs]

    def truth(self, pool: Pool, targets: Sequence[str], *, ahp: bool = False) -> GroundTruth:
        """Affinities of the pool's sources; a target task's own networks are no candidates."""
        losses = self.results.losses.mean(axis=2)
        # One control for all sources of a pool, so that their gains compare.
        control = self.control(pool.architecture)[:, None]
        blocks = [
            self.table(self.results.ahp, architecture, pool.source_seed)
            if ahp
            else 1.0 - self.table(losses, architecture, pool.source_seed) / control
            for architecture in pool.sources
        ]
        names = self.candidates(pool)
        rows = [self.tasks.index(name) for name in targets]
        affinity = np.concatenate(blocks, axis=1)[rows]
        tasks = np.array([name.split("/")[0] for name in names])
        affinity[tasks == np.array(targets)[:, None]] = np.nan
        # A target is the row of the candidate of its own task, see `similarity`.
        own = [names[rows[i]] for i in range(len(targets))]
        return GroundTruth.from_affinity(affinity, own, names)

    def similarity(self, method: Method, pool: Pool) -> np.ndarray:
        """[c, c], row i the target network of candidate i's task; aligned by name."""
        names = self.candidates(pool)
        asking = [
            Encoder(name.split("/")[0], pool.architecture, pool.target_seed).name for name in names
        ]
        columns, rows = ([self.place[name] for name in side] for side in (names, asking))
        trained = self.results.trained
        assert [trained[i] for i in columns] == names, "columns are not the sources asked for"
        assert [trained[i] for i in rows] == asking, "rows are not the target networks asked for"
        parts = [
            weight * self.results.matrices[key][np.ix_(rows, columns)]
            for key, weight in method.parts
        ]
        return np.sum(parts, axis=0)
