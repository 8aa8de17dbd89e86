"""The graphs of an index that are most similar to one, and exactly how similar they are.

Three passes, each over fewer rows: the signs of all rows (a population count a word, 1/32 of the
bytes), the projections of those that agree in most signs, and the graphs themselves of the best.
Nothing is approximate but which rows come through to the next pass.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.graph import AttributionGraph, embed
from depara_jax.index.build import Entry, project, why_not
from depara_jax.index.file import Index, sign_bits
from depara_jax.recipe import Recipe
from depara_jax.store import Store, load_graph

__all__ = ["Match", "find_row", "nearest_rows", "query_index"]

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
      score: the exact similarity; None without the store.
    """

    name: str
    model: str
    layer: str
    address: str
    estimate: float
    score: float | None


def query_index(
    index: Index,
    model: str | AttributionGraph,
    *,
    top: int = 10,
    store: Store | None = None,
    shortlist: int = BY_PROJECTION,
) -> list[Match]:
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
        raise DeparaError(f"query: top is {top}, shortlist {shortlist}; expected 1 <= top <= "
                          "shortlist")  # fmt: skip
    recipe = Recipe.from_dict(index.header.recipe)
    if isinstance(model, AttributionGraph):
        _check(index, model)
        exact, own = np.asarray(embed(model, recipe)), -1
        vector = project(index.header, exact)
    else:
        own = find_row(index, model)
        vector, exact = index.vectors([own])[0], None
    wanted = (shortlist if store is not None else top) + (own >= 0)
    rows, estimates = nearest_rows(index, vector, wanted)
    found = [
        Match(estimate=float(estimate), score=None, **index.meta(int(row)))
        for row, estimate in zip(rows, estimates, strict=True)
        if row != own
    ]
    if store is None:
        return found[:top]
    if exact is None:
        exact = _exact(store, index.meta(own)["address"], recipe)
    scored = [m._replace(score=float(exact @ _exact(store, m.address, recipe))) for m in found]
    return sorted(scored, key=lambda m: -m.score)[:top]  # type: ignore[operator]


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


def _exact(store: Store, address: str, recipe: Recipe) -> np.ndarray:
    artefact = store.read(address)
    if artefact is None:
        raise DeparaError(
            f"store {store.root} does not have artefact {address[:16]} of the index; sweep again, "
            "or query without --store"
        )
    return np.asarray(embed(load_graph(artefact), recipe))


def _check(index: Index, graph: AttributionGraph) -> None:
    """Refuses a graph that was not made as those of the index were."""
    if graph.info is None:
        raise DeparaError("query: the graph does not say which images and recipe it was made of")
    info, header = graph.info, index.header
    entry = Entry(
        "", info.model, info.layer, info.recipe, info.probe or "", graph.n_images, header.code, ""
    )
    reason = why_not(header, entry)
    if reason is not None:
        raise DeparaError(f"index {index.path}: {graph.name} cannot be compared with it: {reason}")
