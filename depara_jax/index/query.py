"""The graphs of an index that are most similar to one, and exactly how similar they are.

Three passes, each over fewer rows: the signs of all rows (a population count a word, 1/32 of the
bytes), the projections of those that agree in most signs, and the graphs themselves of the best.
Nothing is approximate but which rows come through to the next pass.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.graph import AttributionGraph, GraphInfo, embed
from depara_jax.graph.rows import ranked_rows
from depara_jax.index.build import Entry, project, why_not
from depara_jax.index.file import Index, sign_bits
from depara_jax.recipe import Recipe
from depara_jax.spec import LayerRef
from depara_jax.store import Store, load_graph

__all__ = ["Match", "QueryResult", "find_row", "nearest_rows", "query_index"]

# Rows that come through the first pass, and through the second. Measured: experiments/README.md.
BY_SIGNS, BY_PROJECTION = 1000, 100


class Match(NamedTuple):
    """A row of an index found similar.

    Attributes:
      name: model and layer.
      model: the network.
      layer: its layer.
      address: of the graph in the store.
      estimate: the similarity by the index alone.
      score: the exact similarity with the store, else the estimate.
      node: its node term, with the store and a recipe that has one.
      edge: its edge term, likewise.
    """

    name: str
    model: str
    layer: str
    address: str
    estimate: float
    score: float
    node: float | None = None
    edge: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class QueryResult(Sequence[Match]):
    """The rows of an index that are most similar to a graph, best first.

    Attributes:
      target: the graph asked for.
      matches: r rows.
      exact: whether the scores are exact, or the index's estimates.
      recipe: of the index.
      probe: the probe set: source (an index does not keep it), images (how many), fingerprint.
    """

    target: LayerRef
    matches: tuple[Match, ...]
    exact: bool
    recipe: Recipe
    probe: Mapping[str, Any]

    @property
    def score(self) -> Float[np.ndarray, " r"]:
        """Exact similarities, or estimates."""
        return np.array([match.score for match in self.matches])

    @property
    def node(self) -> Float[np.ndarray, " r"] | None:
        """Node terms; None where they are not known."""
        return self._column("node")

    @property
    def edge(self) -> Float[np.ndarray, " r"] | None:
        """Edge terms; None where they are not known."""
        return self._column("edge")

    def _column(self, term: str) -> Float[np.ndarray, " r"] | None:
        values = [getattr(match, term) for match in self.matches]
        return None if None in values else np.array(values, float)

    def __getitem__(self, place: Any) -> Any:
        return self.matches[place]

    def __len__(self) -> int:
        return len(self.matches)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a match, best first: rank, model, layer, score, node, edge, and whence."""
        labels = {
            name: [getattr(match, name) for match in self.matches]
            for name in ("model", "layer", "address", "estimate")
        }
        return ranked_rows(self.score, self.node, self.edge, labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for result files."""
        return {
            "kind": "graph",
            "target": self.target._asdict(),
            "recipe": self.recipe.to_dict(),
            "probe": dict(self.probe),
            "exact": self.exact,
            "ranking": self.rows(),
        }

    def __repr__(self) -> str:
        best = f", best {self[0].name!r} {self[0].score:+.4f}" if len(self) else ""
        return f"QueryResult({len(self)} graphs for {self.target}{best}, exact {self.exact})"


def query_index(
    index: Index,
    model: str | AttributionGraph,
    *,
    top: int = 10,
    store: Store | None = None,
    shortlist: int = BY_PROJECTION,
) -> QueryResult:
    """The rows most similar to a model.

    Args:
      index: where to look.
      model: a name of the index (MODEL:LAYER, or MODEL if that is one row; it is left out of the
        answer itself), or a graph made in the same way on the same images.
      top: how many.
      store: with the graphs; if given, the best `shortlist` are ranked by their exact similarity.
      shortlist: how many.

    Raises:
      UnknownNameError: a name that the index does not have.
      DeparaError: a graph that cannot be compared with the index, or a shortlisted graph that the
        store does not have.
    """
    if top < 1 or shortlist < top:
        given = f"top is {top}, shortlist {shortlist}"
        raise DeparaError(f"query: {given}; expected 1 <= top <= shortlist")
    recipe = Recipe.from_dict(index.header.recipe)
    if isinstance(model, AttributionGraph):
        info = _check(index, model)
        graph, own, target = model, -1, LayerRef(info.model, info.layer)
        vector = project(index.header, np.asarray(embed(model, recipe)))
    else:
        own = find_row(index, model)
        meta, graph = index.meta(own), None
        vector, target = index.vectors([own])[0], LayerRef(meta["model"], meta["layer"])
    wanted = (shortlist if store is not None else top) + (own >= 0)
    rows, estimates = nearest_rows(index, vector, wanted)
    found = [
        Match(estimate=float(estimate), score=float(estimate), **index.meta(int(row)))
        for row, estimate in zip(rows, estimates, strict=True)
        if row != own
    ]
    if store is not None:
        graph = _stored(store, index.meta(own)["address"]) if graph is None else graph
        found = _exactly(graph, found, store, recipe)
    probe = {"source": None, "images": index.header.images, "fingerprint": index.header.probe}
    exact = store is not None or index.header.exact
    return QueryResult(target, tuple(found[:top]), exact, recipe, probe)


def _exactly(
    graph: AttributionGraph, found: list[Match], store: Store, recipe: Recipe
) -> list[Match]:
    """The matches with their exact similarities to a graph, best first."""
    vector = np.asarray(embed(graph, recipe))
    split = graph.nodes.size if recipe.uses_nodes else 0  # where the edges' entries begin
    scored = []
    for match in found:
        other = np.asarray(embed(_stored(store, match.address), recipe))
        parts = (vector[:split] @ other[:split], vector[split:] @ other[split:])
        node, edge = (
            float(part) / weight if weight else None
            for part, weight in zip(parts, (recipe.node_weight, recipe.lam), strict=True)
        )
        scored.append(match._replace(score=float(vector @ other), node=node, edge=edge))
    return sorted(scored, key=lambda match: -match.score)


def nearest_rows(
    index: Index, vector: Float[np.ndarray, " d"], count: int, *, by_signs: int = BY_SIGNS
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the largest dot products, largest first, and these.

    Args:
      index: where to look.
      vector: as the index's rows are.
      count: how many.
      by_signs: rows whose dot products are looked at; those that agree in most signs. All of them
        if there are no more.

    Returns:
      (rows [r], dot products [r]), r at most `count`.
    """
    if not len(index):
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    if len(index) <= max(by_signs, count):
        products = np.concatenate([index.block(b)["vectors"] @ vector for b in range(index.blocks)])
        rows = np.arange(len(index))
    else:
        rows = _agreeing(index, vector, max(by_signs, count))
        products = index.vectors(rows) @ vector
    best = np.argsort(-products, kind="stable")[:count]
    return rows[best], products[best]


def find_row(index: Index, name: str) -> int:
    """The row of a name: MODEL:LAYER, or MODEL where only one of its layers is there.

    Raises:
      UnknownNameError: there is none; the near names are offered.
      DeparaError: several layers of the model are there.
    """
    rows = index.rows_with("name", name)
    if not rows:
        rows = index.rows_with("model", name)
        if len(rows) > 1:
            layers = ", ".join(index.meta(row)["name"] for row in rows[:8])
            raise DeparaError(f"index {index.path}: {name!r} has several layers there: {layers}")
    if not rows:
        metas = [index.meta(row) for row in range(len(index))]
        known = [*dict.fromkeys(m["model"] for m in metas), *(m["name"] for m in metas)]
        raise UnknownNameError(f"model of index {index.path}", name, known)
    return rows[-1]


def _agreeing(index: Index, vector: np.ndarray, count: int) -> np.ndarray:
    """Rows whose signs differ from the vector's in the fewest places."""
    signs = sign_bits(vector)
    different = np.empty(len(index), np.uint32)
    for number in range(index.blocks):
        there = index.block(number)["signs"]
        start = number * index.block_rows
        words = np.bitwise_count(there ^ signs)
        different[start : start + len(there)] = words.sum(axis=1, dtype=np.uint32)
    return np.sort(np.argpartition(different, count - 1)[:count])


def _stored(store: Store, address: str) -> AttributionGraph:
    artefact = store.read(address)
    if artefact is None:
        raise DeparaError(
            f"store {store.root} does not have artefact {address[:16]} of the index; sweep again, "
            "or query without --store"
        )
    return load_graph(artefact)


def _check(index: Index, graph: AttributionGraph) -> GraphInfo:
    """Refuses a graph that was not made as those of the index were, else says where it is from."""
    if graph.info is None:
        raise DeparaError("query: the graph does not say which images and recipe it was made of")
    info, header = graph.info, index.header
    entry = Entry(
        "", info.model, info.layer, info.recipe, info.probe or "", graph.n_images, header.code, ""
    )
    reason = why_not(header, entry)
    if reason is not None:
        raise DeparaError(f"index {index.path}: {graph.name} cannot be compared with it: {reason}")
    return info
