"""Several estimators side by side on one set of candidates: scores, ranks, one fused rank, cost."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.estimators import ESTIMATORS, Estimate, EstimatorInputs, estimate, estimator_rows
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.model_selection import rank_models
from depara_jax.types import ModelLike, ProbeLike
from depara_jax.walk import layer_features

__all__ = ["DEPARA", "Column", "League", "rank_by_estimators"]

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

    @property
    def ranks(self) -> tuple[int | None, ...]:
        """Rank of each candidate, 1 the best, ties sharing the better one; None without a value."""
        signed = self.values if self.higher_is_better else -self.values
        return tuple(
            None if np.isnan(s) else int((signed[~np.isnan(signed)] > s).sum()) + 1 for s in signed
        )


@dataclasses.dataclass(frozen=True, eq=False)
class League:
    """The table: candidates, a column an estimator, and what they say together.

    Attributes:
      target: name of the target network.
      names: m candidates.
      columns: one an estimator.
      feature_seconds: for the forward passes that all but DEPARA share.
    """

    target: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    feature_seconds: float

    @property
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files."""
        fused = self.fused
        return {
            "fused": [
                {
                    "rank": int((fused > fused[i]).sum()) + 1,
                    "model": self.names[i],
                    "mean_reciprocal_rank": float(fused[i]),
                }
                for i in self.order
            ],
            "estimators": {
                column.name: {
                    "higher_is_better": column.higher_is_better,
                    "seconds": round(column.seconds, 6),
                    "models": {
                        name: {"value": None if np.isnan(v) else float(v), "rank": r, "why": w}
                        for name, v, r, w in zip(
                            self.names, column.values, column.ranks, column.why, strict=True
                        )
                    },
                }
                for column in self.columns
            },
            "feature_seconds": round(self.feature_seconds, 6),
        }


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
) -> League:
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
    columns, feature_seconds = {}, 0.0
    if DEPARA in names:
        columns[DEPARA] = _depara(target, sources, probe, recipe, batch_size)
    if others:
        rows, feature_seconds = _estimate_all(
            target, sources, probe, others, labels, batch_size, progress
        )
        for name in others:
            columns[name] = _column(name, [row[name] for row in rows])
    return League(
        target.spec.name,
        tuple(source.spec.name for source in sources),
        tuple(columns[name] for name in names),
        feature_seconds,
    )


def _depara(
    target: ModelLike,
    sources: Sequence[ModelLike],
    probe: ProbeLike,
    recipe: Recipe | None,
    batch_size: int | None,
) -> Column:
    started = time.perf_counter()
    recipe = RECIPES["default"] if recipe is None else recipe
    ranking = rank_models(target, sources, probe, recipe, batch_size=batch_size)
    seconds = time.perf_counter() - started
    return Column(DEPARA, ranking.score, ("",) * len(sources), True, seconds)


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
        spec = model.spec
        layers = [spec.encoder, *([spec.logits] if spec.logits else [])]
        features = layer_features(model, probe, layers, batch_size=batch_size)
        seconds += time.perf_counter() - started
        logits = features.get(spec.logits) if spec.logits else None
        return {"features": features[spec.encoder]} | ({} if logits is None else {"logits": logits})

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
