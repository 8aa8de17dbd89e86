"""The result of a selection: candidates with their scores, ties explicit."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.graph.rows import competition_ranks, ranked_rows
from depara_jax.recipe import Recipe
from depara_jax.spec import LayerRef
from depara_jax.types import ProbeLike

__all__ = ["Ranking", "check_distinct", "probe_facts"]


def check_distinct(kind: str, names: Sequence[str]) -> None:
    """Refuses candidates of the same name.

    Raises:
      DeparaError: there are some.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeparaError(f"ranking of {kind}s: {', '.join(twice)} named more than once")


def probe_facts(probe: ProbeLike) -> dict[str, Any]:
    """What images a result is of: their source if the probe set knows it, how many, fingerprint."""
    source = getattr(probe, "spec", None)
    facts = {"images": len(probe), "fingerprint": probe.fingerprint}
    return {"source": source and str(source), **facts}


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates to transfer from, with what each scored.

    The arrays are in the order in which the candidates were given; `order`, `ranks` and `rows` put
    them best first.

    Attributes:
      kind: "model" or "layer".
      target: the target network and its layer.
      names: m candidates.
      score: [m] node_weight * node + lam * edge.
      node: [m] mean cosine of the attribution maps; None if the recipe leaves nodes out.
      edge: [m] Spearman correlation of the edges; None if the recipe leaves edges out.
      recipe: how the graphs were made and weighed, with the grid that was used.
      probe: the probe set: source, images (how many), fingerprint.
      source: of layers, the network that has them.
      zero_maps: [m] how many of the candidate's attribution maps are zero; each counts as cosine 0.
      target_zero_maps: the same for the target.
      node_cosines: [m, n] the cosines that `node` is the mean of, for bootstrap over images.
      edges: [m, e] of the candidates, for the same; kept by `rank_layers` only.
      target_edges: [e] of the target.
    """

    kind: Literal["model", "layer"]
    target: LayerRef
    names: tuple[str, ...]
    score: Float[np.ndarray, " m"]
    node: Float[np.ndarray, " m"] | None
    edge: Float[np.ndarray, " m"] | None
    recipe: Recipe
    probe: Mapping[str, Any]
    source: str | None = None
    zero_maps: tuple[int, ...] = ()
    target_zero_maps: int = 0
    node_cosines: Float[np.ndarray, "m n"] | None = None
    edges: Float[np.ndarray, "m e"] | None = None
    target_edges: Float[np.ndarray, " e"] | None = None

    def __post_init__(self):
        if not self.names:
            raise DeparaError(f"ranking of {self.kind}s: there are no candidates")
        check_distinct(self.kind, self.names)
        bad = [n for n, s in zip(self.names, self.score, strict=True) if not np.isfinite(s)]
        if bad:
            raise DegenerateError(f"ranking of {self.kind}s: no finite score for {', '.join(bad)}")

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of the candidates, best first; equal scores stay in the order given."""
        return tuple(int(i) for i in np.argsort(-self.score, kind="stable"))

    @functools.cached_property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each candidate, 1 the best; equal scores share the better rank (1, 2, 2, 4)."""
        return tuple(rank for rank in competition_ranks(self.score) if rank is not None)

    @property
    def best(self) -> str:
        """The first candidate of the ranking."""
        return self.names[self.order[0]]

    @property
    def ties(self) -> tuple[tuple[str, ...], ...]:
        """Groups of candidates with exactly equal scores, best first."""
        groups: dict[int, list[str]] = {}
        for i in self.order:
            groups.setdefault(self.ranks[i], []).append(self.names[i])
        return tuple(tuple(g) for g in groups.values() if len(g) > 1)

    @property
    def with_zero_maps(self) -> dict[str, int]:
        """Networks or layers with zero attribution maps, the target first, and how many."""
        counts = dict(zip(self.names, self.zero_maps, strict=True)) if self.zero_maps else {}
        return {n: z for n, z in {str(self.target): self.target_zero_maps, **counts}.items() if z}

    def with_lam(self, lam: float) -> "Ranking":
        """The same graphs under another lambda; nothing is computed again.

        Raises:
          DeparaError: a term that is needed was not computed.
        """
        recipe = self.recipe.replace(lam=lam)
        terms = [(recipe.node_weight, self.node), (recipe.lam, self.edge)]
        used = [(weight, values) for weight, values in terms if weight > 0]
        if any(values is None for _, values in used):
            raise DeparaError(
                f"with_lam({lam}): this ranking was made with recipe {self.recipe.name!r}, which "
                "leaves one of the terms out; rank again with both weights above 0"
            )
        score = np.sum([weight * values for weight, values in used if values is not None], axis=0)
        return dataclasses.replace(self, score=score, recipe=recipe)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a candidate, best first: rank, model or layer, score, node, edge."""
        labels = {self.kind: self.names}
        return ranked_rows(self.score, self.node, self.edge, labels, ranks=self.ranks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files; `names` in the order given, of layers shallow to deep."""
        source = {} if self.source is None else {"source": self.source}
        return {
            "kind": self.kind,
            "target": self.target._asdict(),
            **source,
            "recipe": self.recipe.to_dict(),
            "probe": dict(self.probe),
            "names": list(self.names),
            "ranking": self.rows(),
            "best": self.best,
            "ties": [list(group) for group in self.ties],
            "zero_maps": self.with_zero_maps,
        }

    def __repr__(self) -> str:
        best = self.order[0]
        return (
            f"Ranking({len(self.names)} {self.kind}s for {self.target}, best {self.names[best]!r} "
            f"{self.score[best]:+.4f}, recipe {self.recipe.name!r}, {self.probe['images']} images)"
        )

    def __str__(self) -> str:
        width = max(len(n) for n in self.names)
        images = self.probe["images"]
        lines = [f"{self.kind}s for {self.target} ({self.recipe.name}, {images} images)"]
        for row in self.rows():
            terms = [key for key in ("score", "node", "edge") if row[key] is not None]
            parts = "  ".join(f"{key} {row[key]:+.4f}" for key in terms)
            lines.append(f"{row['rank']:3d}  {row[self.kind]:<{width}}  {parts}")
        if self.with_zero_maps:
            listed = ", ".join(f"{name} {count}" for name, count in self.with_zero_maps.items())
            lines.append(f"zero attribution maps (counted as cosine 0): {listed}")
        return "\n".join(lines)
