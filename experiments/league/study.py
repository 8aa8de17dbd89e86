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
        self.encoders = [Encoder.parse(name) for name in results.names]
        self.row = {encoder: i for i, encoder in enumerate(self.encoders)}
        self.place = {Encoder.parse(name): i for i, name in enumerate(results.trained)}
        self.tasks = tuple(dict.fromkeys(e.task for e in self.place))
        self.architectures = tuple(dict.fromkeys(e.architecture for e in self.encoders))
        self.seeds = tuple(sorted({e.seed for e in self.encoders}))
        self.losses = results.losses.mean(axis=2)
        if self.tasks != results.targets:
            raise DeparaError("results: sources and targets must be the same tasks in one order")

    def agreement(self, measured: Sequence[np.ndarray]) -> np.ndarray:
        """[t] Spearman's correlation of the order of a target's sources between measurements.

        Args:
          measured: k tables [t, s]; the mean is over their pairs.
        """
        rows = range(len(self.tasks))
        others = [[s for s in rows if s != t] for t in rows]  # a target's own is no source
        pairs = list(itertools.combinations(measured, 2))
        found = [[spearman(a[t, others[t]], b[t, others[t]]) for a, b in pairs] for t in rows]
        return np.mean(found, axis=1)

    @functools.cached_property
    def reproducible(self) -> np.ndarray:
        """[t] agreement between encoder seeds, mean over architectures."""
        by_seed = [[self.gains(a, seed) for seed in self.seeds] for a in self.architectures]
        return np.mean([self.agreement(tables) for tables in by_seed], axis=0)

    @functools.cached_property
    def targets(self) -> tuple[str, ...]:
        """Those that count: reproducible, and served better by their own encoders than by random.

        The bound is `StudyConfig.least_agreement`; without one all count.
        """
        least = self.results.meta["config"]["least_agreement"]
        own = [self.losses[self.rows(task), i].mean() for i, task in enumerate(self.tasks)]
        better = own < self.losses[self.rows(RANDOM)].mean(axis=0)
        kept = np.full(len(own), True) if least is None else better & (self.reproducible >= least)
        return tuple(itertools.compress(self.tasks, kept))

    def rows(self, task: str, architecture: str | None = None) -> list[int]:
        """Positions of the encoders of a task, of all architectures by default."""
        return [
            i for i, e in enumerate(self.encoders)
            if e.task == task and architecture in (None, e.architecture)
        ]  # fmt: skip

    def gains(self, architecture: str, seed: int, *, draw: int | None = None) -> np.ndarray:
        """[t, s] what each source saves of the control's loss; rows and columns as `tasks`."""
        losses = self.losses if draw is None else self.results.losses[:, :, draw]
        return 1.0 - self.table(losses, architecture, seed) / self._control(architecture)

    def _control(self, architecture: str) -> np.ndarray:
        """[t, 1] loss of the random-initialised encoders, mean over seeds and draws."""
        return self.results.losses[self.rows(RANDOM, architecture)].mean(axis=(0, 2))[:, None]

    def table(self, values: np.ndarray, architecture: str, seed: int) -> np.ndarray:
        """[t, s] of an array [e, t] for the sources of one architecture and seed."""
        return values[[self.row[Encoder(task, architecture, seed)] for task in self.tasks]].T

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

    def candidates(self, pool: Pool) -> list[Encoder]:
        """The pool's sources, in the order of `truth`'s candidates."""
        pairs = itertools.product(pool.sources, self.tasks)
        return [Encoder(task, architecture, pool.source_seed) for architecture, task in pairs]

    def foreign(self, pool: Pool) -> np.ndarray:
        """[c, c] whether the task of a row's target is another than the candidate's."""
        tasks = np.array([source.task for source in self.candidates(pool)])
        return tasks[:, None] != tasks

    def truth(self, pool: Pool, targets: Sequence[str], *, ahp: bool = False) -> GroundTruth:
        """Affinities of the pool's sources; a target task's own networks are no candidates."""
        affinity = self.of_sources(pool, self.results.ahp if ahp else self.losses)
        if not ahp:  # one control for all sources of a pool, so that their gains compare
            control = self._control(pool.architecture)
            affinity = 1.0 - affinity / np.tile(control, (len(pool.sources), 1))
        rows = [self.tasks.index(name) for name in targets]
        names = [source.name for source in self.candidates(pool)]
        affinity = np.where(self.foreign(pool), affinity, np.nan)[rows]
        # A target is the row of the candidate of its own task, see `similarity`.
        return GroundTruth.from_affinity(affinity, [names[row] for row in rows], names)

    def of_sources(self, pool: Pool, values: np.ndarray) -> np.ndarray:
        """An array [e, t] as [c, c]: columns the candidates, row i for the task of candidate i."""
        blocks = [self.table(values, one, pool.source_seed) for one in pool.sources]
        return np.tile(np.concatenate(blocks, axis=1), (len(pool.sources), 1))

    def similarity(self, method: Method, pool: Pool) -> np.ndarray:
        """[c, c], row i the target network of candidate i's task; aligned by name."""
        sources = self.candidates(pool)
        asking = [Encoder(e.task, pool.architecture, pool.target_seed) for e in sources]
        block = np.ix_([self.place[e] for e in asking], [self.place[e] for e in sources])
        parts = [weight * self.results.matrices[key][block] for key, weight in method]
        return np.sum(parts, axis=0)
