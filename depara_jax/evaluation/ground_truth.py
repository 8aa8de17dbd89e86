"""The true order of sources for every target, against which a similarity matrix is judged."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.evaluation.checks import (
    check_known,
    check_row,
    check_targets,
    check_unique,
    default_names,
    describe,
    entry_id,
)

__all__ = ["GroundTruth"]


@dataclasses.dataclass(frozen=True, eq=False)
class GroundTruth:
    """Which sources transfer best to each target.

    Made by `from_rows`, `from_affinity` or `load_ground_truth`, which check what they are given.

    Attributes:
      targets: t names, each one also a candidate.
      candidates: m names, in the order of the similarity matrix's rows and columns.
      order: int [t, k], indices into `candidates`, best first, the target itself left out; rows
        with fewer than k known sources end in -1.
      affinity: float [t, m] or None; how well each candidate serves each target, higher is better,
        NaN where there is no such pair. The target's own column is kept for `dds_score`.
    """

    targets: tuple[str, ...]
    candidates: tuple[str, ...]
    order: np.ndarray
    affinity: np.ndarray | None = None

    def __post_init__(self):
        check_unique("candidate", self.candidates)
        check_unique("target", self.targets)
        if not self.targets:
            raise DeparaError("ground truth: no targets; expected at least one row")
        check_targets(self.targets, self.candidates)
        shape = np.shape(self.order)
        if len(shape) != 2 or shape[0] != len(self.targets):
            raise DeparaError(
                f"ground truth: order has shape {shape}, expected [{len(self.targets)} targets, k]"
            )
        for row, target in zip(self.order, self.targets, strict=True):
            check_row(row, target, self.candidates)

    @classmethod
    def from_rows(
        cls, rows: Sequence[Sequence[Any]] | np.ndarray, candidates: Sequence[str] | None = None
    ) -> "GroundTruth":
        """From rankings like the authors' `sort_gt.npy`.

        Args:
          rows: one a target; its first entry names the target, the others its sources, best first.
            Entries are ids (indices into `candidates`) or names.
          candidates: names of the similarity matrix's rows; by default "0", "1", ... up to the
            largest id. Needed where the entries are names.

        Raises:
          DeparaError: no rows, an id out of range, an unknown name, an entry twice in a row, a
            target with two rows.
        """
        if candidates is None:
            candidates = default_names(rows)
        names = tuple(str(name) for name in candidates)
        check_unique("candidate", names)
        where = {name: i for i, name in enumerate(names)}
        ids = [[entry_id(entry, where) for entry in row] for row in rows]
        for row in ids:
            if len(row) < 2:
                raise DeparaError(
                    "ground truth: a row needs a target and at least one source, got "
                    f"{[names[i] for i in row]}"
                )
        width = max((len(row) for row in ids), default=1) - 1
        order = np.full((len(ids), width), -1, np.int64)
        for i, row in enumerate(ids):
            order[i, : len(row) - 1] = row[1:]
        return cls(tuple(names[row[0]] for row in ids), names, order)

    @classmethod
    def from_affinity(
        cls, affinity: Any, targets: Sequence[str], candidates: Sequence[str]
    ) -> "GroundTruth":
        """From measured transfer: descending affinity, ties in the order of `candidates`.

        Args:
          affinity: float [t, m], higher is better; NaN where there is no such pair, which then
            neither ranks nor counts as a candidate.
          targets: t names.
          candidates: m names.

        Raises:
          DeparaError: a wrong shape, an infinite value. A target without any source is accepted
            (Taskonomy's `all_affinities` has one) and refused by the metrics; leave it out there.
        """
        values = np.array(affinity, np.float64)
        targets, candidates = tuple(map(str, targets)), tuple(map(str, candidates))
        if values.shape != (len(targets), len(candidates)):
            raise DeparaError(
                f"ground truth: affinity has shape {values.shape}, expected "
                f"[{len(targets)} targets, {len(candidates)} candidates]"
            )
        check_targets(targets, candidates)
        if np.isinf(values).any():
            raise DeparaError(
                "ground truth: affinity has infinite values; NaN marks a missing pair"
            )
        order = np.full((len(targets), max(len(candidates) - 1, 0)), -1, np.int64)
        for i, target in enumerate(targets):
            ranked = np.argsort(-values[i], kind="stable")  # NaN sorts last
            ranked = [j for j in ranked if candidates[j] != target and not np.isnan(values[i, j])]
            order[i, : len(ranked)] = ranked
        return cls(targets, candidates, order, values)

    @property
    def rows(self) -> np.ndarray:
        """Int [t], the row of each target in the similarity matrix."""
        where = {name: i for i, name in enumerate(self.candidates)}
        return np.array([where[target] for target in self.targets], np.int64)

    @property
    def pairs(self) -> np.ndarray:
        """Bool [t, m], who competes for each target: all but itself and missing pairs."""
        if self.affinity is None:
            mask = np.ones((len(self.targets), len(self.candidates)), bool)
        else:
            mask = ~np.isnan(self.affinity)
        mask[np.arange(len(self.targets)), self.rows] = False
        return mask

    def relevant(self, size: int) -> np.ndarray:
        """Bool [t, m], the `size` best sources of each target (the papers take 5).

        Raises:
          DeparaError: `size` is below 1, or a target has fewer sources.
        """
        if size < 1:
            raise DeparaError(f"relevant must be at least 1, got {size}")
        known = (self.order >= 0).sum(1)
        if known.min() < size:
            worst = int(known.argmin())
            raise DeparaError(
                f"relevant={size}, but target {self.targets[worst]!r} has only {known[worst]} "
                "ranked sources; choose a smaller relevant set"
            )
        mask = np.zeros((len(self.targets), len(self.candidates)), bool)
        np.put_along_axis(mask, self.order[:, :size], True, axis=1)
        return mask

    def select(
        self, *, targets: Sequence[str] | None = None, candidates: Sequence[str] | None = None
    ) -> "GroundTruth":
        """The same truth for some targets, or among some candidates in that order.

        Raises:
          UnknownNameError: a name that is not there, or a target that is no longer a candidate.
        """
        targets = self.targets if targets is None else tuple(targets)
        kept = self.candidates if candidates is None else tuple(candidates)
        check_known("target of the ground truth", targets, self.targets)
        check_known("candidate of the ground truth", kept, self.candidates)
        check_targets(targets, kept)
        rows = [self.targets.index(name) for name in targets]
        columns = [self.candidates.index(name) for name in kept]
        if self.affinity is not None:
            return self.from_affinity(self.affinity[np.ix_(rows, columns)], targets, kept)
        chosen = set(columns)
        order = [
            [name, *(self.candidates[j] for j in self.order[i] if j in chosen)]
            for i, name in zip(rows, targets, strict=True)
        ]
        return self.from_rows(order, kept)

    def aligned(self, names: Sequence[str]) -> "GroundTruth":
        """The same truth with its candidates in the order of a similarity matrix's `names`.

        Raises:
          DeparaError: the names differ; those that only one side has are listed.
        """
        names = tuple(map(str, names))
        if names == self.candidates:
            return self
        check_unique("name of the similarity matrix", names)
        missing = [name for name in self.candidates if name not in names]
        extra = [name for name in names if name not in self.candidates]
        if missing or extra:
            raise DeparaError(
                "the similarity matrix and the ground truth name different candidates: "
                f"{describe(missing)} only in the truth, {describe(extra)} only in the matrix; "
                "select the common ones on both sides"
            )
        return self.select(candidates=names)
