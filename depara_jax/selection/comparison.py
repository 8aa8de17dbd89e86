"""Several estimators side by side on one set of candidates: scores, ranks, one fused rank, cost."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.estimators import ESTIMATORS, Estimate, EstimatorInputs, estimate, estimator_rows
from depara_jax.graph.rows import competition_ranks, ranked_rows
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.models import rank_models
from depara_jax.selection.ranking import Ranking, probe_facts
from depara_jax.spec import LayerRef
from depara_jax.types import ModelLike, ProbeLike
from depara_jax.walk import layer_features

__all__ = ["DEPARA", "Column", "Comparison", "rank_by_estimators"]

DEPARA = "depara"


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One estimator's view of the candidates.

    Attributes:
      name: of the estimator.
      values: [m]; NaN where it gives none.
      why: for each candidate, why there is no value, or a remark; empty if there is nothing to say.
      higher_is_better: which way to rank.
      seconds: for all candidates together, features not counted.
    """

    name: str
    values: Float[np.ndarray, " m"]
    why: tuple[str, ...]
    higher_is_better: bool
    seconds: float

    @functools.cached_property
    def ranks(self) -> tuple[int | None, ...]:
        """Rank of each candidate, 1 the best, ties sharing the better one; None without a value."""
        return competition_ranks(self.values, higher_is_better=self.higher_is_better)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values, for result files, under the candidates' names."""
        cells = zip(names, self.values, self.ranks, self.why, strict=True)
        return {
            "higher_is_better": self.higher_is_better,
            "seconds": round(self.seconds, 6),
            "models": {
                name: {"value": None if np.isnan(v) else float(v), "rank": r, "why": w}
                for name, v, r, w in cells
            },
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The table: candidates, a column an estimator, and what they say together.

    The first estimator is the one that ranks: `score`, `rows` and `best` are by it.

    Attributes:
      target: the target network and its encoder layer.
      names: m candidates.
      columns: one an estimator.
      feature_seconds: for the forward passes that all but DEPARA share.
      recipe: of DEPARA.
      probe: the probe set: source, images (how many), fingerprint.
      depara: DEPARA's own ranking, if it is among the estimators.
    """

    target: LayerRef
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    feature_seconds: float
    recipe: Recipe
    probe: Mapping[str, Any]
    depara: Ranking | None = None

    @property
    def score(self) -> Float[np.ndarray, " m"]:
        """What the first estimator gives; NaN where it gives none."""
        return self.columns[0].values

    @property
    def node(self) -> Float[np.ndarray, " m"] | None:
        """The node term, if DEPARA is the first estimator and its recipe has one."""
        return self.depara.node if self.depara and self.columns[0].name == DEPARA else None

    @property
    def edge(self) -> Float[np.ndarray, " m"] | None:
        """The edge term, likewise."""
        return self.depara.edge if self.depara and self.columns[0].name == DEPARA else None

    @functools.cached_property
    def fused(self) -> Float[np.ndarray, " m"]:
        """Mean reciprocal rank over the estimators that have a value for the candidate, else 0."""
        ranks = np.array([[r or np.nan for r in column.ranks] for column in self.columns], float)
        known = ~np.isnan(ranks)
        total = np.where(known, 1 / np.where(known, ranks, 1), 0).sum(axis=0)
        return total / np.maximum(known.sum(axis=0), 1)

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of the candidates, best fused rank first; ties stay in the order given."""
        return tuple(int(i) for i in np.argsort(-self.fused, kind="stable"))

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a candidate that the first estimator has a value for, best first."""
        labels, ranks = {"model": self.names}, self.columns[0].ranks
        return ranked_rows(self.score, self.node, self.edge, labels, ranks=ranks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files."""
        ranking, fused_ranks = self.rows(), competition_ranks(self.fused)
        fused = [
            {"rank": fused_ranks[i], "model": self.names[i],
             "mean_reciprocal_rank": float(self.fused[i])}
            for i in self.order
        ]  # fmt: skip
        return {
            "kind": "model",
            "target": self.target._asdict(),
            "recipe": self.recipe.to_dict(),
            "probe": dict(self.probe),
            "names": list(self.names),
            "ranking": ranking,
            "best": ranking[0]["model"] if ranking else None,
            "ranked_by": self.columns[0].name,
            "fused": fused,
            "estimators": {column.name: column.to_dict(self.names) for column in self.columns},
            "feature_seconds": round(self.feature_seconds, 6),
        }

    def __repr__(self) -> str:
        estimators = ", ".join(column.name for column in self.columns)
        first = self.names[self.order[0]]
        return (
            f"Comparison({len(self.names)} models for {self.target} by {estimators}; first of the "
            f"fused rank {first!r}, {self.probe['images']} images)"
        )


def rank_by_estimators(
    target: ModelLike,
    sources: Sequence[ModelLike],
    probe: ProbeLike,
    names: Sequence[str],
    *,
    recipe: Recipe | None = None,
    labels: Any = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Ranks sources by several estimators on the same cached features.

    Features are those of each network's encoder layer, flattened; outputs those of its logits
    layer, where it has one. An estimator that lacks something (labels, a classifier, equal inputs)
    says so in its column and the others still run.

    Args:
      target: the network of the target task.
      sources: candidates.
      probe: images.
      names: rows of `ESTIMATORS`, and "depara" for deep attribution graphs.
      recipe: of DEPARA; `RECIPES["default"]` if none is given.
      labels: [n] integer classes of the probe images, if they are known.
      batch_size: images a step.
      progress: called with (candidates done, candidates in all).

    Raises:
      UnknownNameError: an estimator that does not exist.
      DeparaError: no estimator, labels that do not fit the probe set.
    """
    names = list(dict.fromkeys(names))
    others = [name for name in names if name != DEPARA]
    for name in names:
        if name != DEPARA and name not in ESTIMATORS:
            raise UnknownNameError("estimator", name, [DEPARA, *ESTIMATORS])
    if not names or not sources:
        raise DeparaError("rank_by_estimators: name at least one estimator and one source")
    progress = progress or (lambda done, total: None)
    recipe = RECIPES["default"] if recipe is None else recipe
    columns, feature_seconds, depara = {}, 0.0, None
    if DEPARA in names:
        started = time.perf_counter()
        depara = rank_models(target, sources, probe, recipe, batch_size=batch_size)
        seconds = time.perf_counter() - started
        columns[DEPARA] = Column(DEPARA, depara.score, ("",) * len(sources), True, seconds)
    if others:
        rows, feature_seconds = _estimate_all(
            target, sources, probe, others, labels, batch_size, progress
        )
        columns |= {name: _column(name, [row[name] for row in rows]) for name in others}
    return Comparison(
        target=LayerRef(target.spec.name, target.spec.encoder),
        names=tuple(source.spec.name for source in sources),
        columns=tuple(columns[name] for name in names),
        feature_seconds=feature_seconds,
        recipe=recipe if depara is None else depara.recipe,
        probe=probe_facts(probe),
        depara=depara,
    )


def _column(name: str, results: Sequence[Estimate]) -> Column:
    values = np.array([np.nan if r.value is None else r.value for r in results], np.float64)
    seconds = sum(r.seconds for r in results)
    why = tuple(r.why for r in results)
    return Column(name, values, why, ESTIMATORS[name].higher_is_better, seconds)


def _estimate_all(
    target: ModelLike,
    sources: Sequence[ModelLike],
    probe: ProbeLike,
    names: Sequence[str],
    labels: Any,
    batch_size: int | None,
    progress: Callable[[int, int], None],
) -> tuple[list[dict[str, Estimate]], float]:
    needs = {need for row in estimator_rows(list(names)) for need in row.needs}
    seconds = 0.0

    def known(model: ModelLike) -> dict[str, np.ndarray]:
        nonlocal seconds
        started = time.perf_counter()
        layers = {"features": model.spec.encoder}
        if model.spec.logits:
            layers["logits"] = model.spec.logits
        found = layer_features(model, probe, list(layers.values()), batch_size=batch_size)
        seconds += time.perf_counter() - started
        return {role: found[layer] for role, layer in layers.items()}

    goal = known(target)
    whole = needs & {"images", "gradients", "target_gradients"}
    results = []
    for done, source in enumerate(sources):
        given: dict[str, Any] = {**known(source), "target_features": goal["features"]}
        if "logits" in given:
            given["probabilities"] = np.asarray(jax.nn.softmax(given["logits"], axis=-1))
        if labels is not None:
            given["labels"] = labels
        if whole and source.spec.input == target.spec.input:
            batches = probe.batches(source.spec.input, len(probe))
            given["images"] = np.concatenate(list(batches))
            given["source_model"], given["target_model"] = _encoder(source), _encoder(target)
        results.append(estimate(list(names), EstimatorInputs(**given)))
        progress(done + 1, len(sources))
    return results, seconds


def _encoder(model: ModelLike) -> Callable[[Any], Any]:
    """The network up to its encoder layer, images -> [n, d]."""
    forward, variables, layer = model.forward, model.variables, model.spec.encoder
    return lambda images: forward(variables, images)[layer].reshape(images.shape[0], -1)
