"""From the graphs of a store to the rows of an index."""

import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.graph import embed
from depara_jax.index.file import Index, IndexHeader, building
from depara_jax.index.projection import Projection
from depara_jax.recipe import Recipe
from depara_jax.store import Store, load_graph
from depara_jax.store.keys import canonical
from depara_jax.store.provenance import package_versions

__all__ = ["DIM", "add_to_index", "build_index", "project", "store_entries"]

DIM = 4096
BATCH = 64
META_FIELDS = ("name", "model", "layer", "address")


class Entry(NamedTuple):
    """A graph of a store, before its arrays are read."""

    address: str
    model: str
    layer: str
    recipe: Recipe
    probe: str
    images: int
    code: str
    group: str

    @property
    def name(self) -> str:
        """Model and layer."""
        return f"{self.model}:{self.layer}"


def store_entries(store: Store) -> Iterator[Entry]:
    """The graphs of a store; vectors and features are left out.

    Raises:
      DamagedArtefactError: a record is damaged.
    """
    for address in store.addresses():
        record = store.record(address)
        if record is None or record["key"]["kind"] != "graph":
            continue
        key, info = record["key"], record["info"]
        # Graphs of one group can be compared; grids and sizes are part of the choices and shapes.
        width = record["arrays"]["nodes"]["shape"][1]
        group = canonical([key["recipe"], key["probe"], key["code"], key["dtype"], width])
        yield Entry(
            address, info["model"], key["layer"], Recipe.from_dict(info["recipe"]), key["probe"],
            info["images"], key["code"], group,
        )  # fmt: skip


def build_index(
    store: Store,
    path: str | os.PathLike[str],
    *,
    dim: int | None = DIM,
    seed: int = 0,
    recipe: Recipe | None = None,
    probe: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Index:
    """Makes an index of all graphs of a store that can be compared with each other.

    Args:
      store: with graphs.
      path: of the index; an old one is replaced once the new one is whole.
      dim: of the projection; None keeps the vectors as they are.
      seed: of the projection.
      recipe: the graphs to take where the store has several methods; also lambda and the weight of
        the nodes, which graphs do not depend on.
      probe: the beginning of the fingerprint of the probe set to take, where it has several.
      progress: called with (rows done, rows in all).

    Raises:
      DeparaError: no graphs, or graphs that cannot be compared with each other.
      DamagedArtefactError: one of them is damaged; a sweep would make it anew.
    """
    entries = list(store_entries(store))
    if recipe is not None:
        entries = [e for e in entries if _same_graphs(e.recipe, recipe)]
    if probe is not None:
        entries = [e for e in entries if e.probe.startswith(probe)]
    _check_one_group(store, entries)
    recipe = entries[0].recipe if recipe is None else recipe
    entries.sort(key=_by_name)
    first = _vector(store, entries[0], recipe)
    if dim is not None and dim < 64:
        raise DeparaError(f"index dim must be at least 64, got {dim}")
    header = IndexHeader(
        dim=len(first) if dim is None else dim,
        length=len(first),
        exact=dim is None,
        seed=seed,
        recipe=recipe.to_dict(),
        **{name: getattr(entries[0], name) for name in ("probe", "images", "code")},
        command=shlex.join(sys.argv),
        versions=package_versions(),
    )
    with building(path) as temporary:
        _append(Index.create(temporary, header), store, entries, recipe, progress)
    return Index(path)


def add_to_index(
    index: Index, store: Store, *, progress: Callable[[int, int], None] = lambda *_: None
) -> tuple[Index, int]:
    """Adds the graphs of a store that an index does not have yet.

    Returns:
      (the index, how many were added).

    Raises:
      DeparaError: the store has graphs of other methods or probe sets only; the message says what
        differs.
    """
    recipe = Recipe.from_dict(index.header.recipe)
    entries = list(store_entries(store))
    reasons = [why_not(index.header, entry) for entry in entries]
    fitting = [e for e, reason in zip(entries, reasons, strict=True) if reason is None]
    if entries and not fitting:
        raise DeparaError(
            f"index {index.path}: no graph of store {store.root} can be compared with it; "
            f"{entries[0].name}: {reasons[0]}"
        )
    new = [entry for entry in fitting if not index.rows_with("address", entry.address)]
    return _append(index, store, sorted(new, key=_by_name), recipe, progress), len(new)


def why_not(header: IndexHeader, entry: Entry) -> str | None:
    """Why a graph cannot be compared with those of an index; None if it can."""
    if entry.probe != header.probe:
        return f"another probe set ({entry.probe[:12]}, the index has {header.probe[:12]})"
    recipe = Recipe.from_dict(header.recipe)
    if not _same_graphs(entry.recipe, recipe):
        return f"another recipe ({entry.recipe.name!r}, the index has {recipe.name!r})"
    if entry.code != header.code:
        return f"made by other code ({entry.code}, the index has {header.code}); sweep again"
    return None


def project(header: IndexHeader, vector: np.ndarray) -> np.ndarray:
    """A graph's vector as the index has it."""
    if len(vector) != header.length:
        raise DeparaError(
            f"the graph's vector has {len(vector)} entries, the index's have {header.length}; they "
            "are of models of different input sizes, give their recipe a common grid"
        )
    return vector if header.exact else _projection(header.length, header.dim, header.seed)(vector)


# The last projection used is kept: its random numbers take a second to make for large ones.
_projection = functools.lru_cache(maxsize=1)(Projection)


def _by_name(entry: Entry) -> tuple[str, str, str]:
    return entry.model, entry.layer, entry.address


def _append(
    index: Index, store: Store, entries: Sequence[Entry], recipe: Recipe, progress: Callable
) -> Index:
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        rows = [project(index.header, _vector(store, entry, recipe)) for entry in batch]
        metas = [{name: getattr(entry, name) for name in META_FIELDS} for entry in batch]
        index = index.append(metas, np.stack(rows))
        progress(start + len(batch), len(entries))
    return index


def _vector(store: Store, entry: Entry, recipe: Recipe) -> np.ndarray:
    artefact = store.read(entry.address)
    if artefact is None:
        raise DeparaError(f"store {store.root}: {entry.name} has been removed meanwhile")
    return np.asarray(embed(load_graph(artefact), recipe))


def _same_graphs(a: Recipe, b: Recipe) -> bool:
    return (*a.graph_key(), a.uses_edges) == (*b.graph_key(), b.uses_edges)


def _check_one_group(store: Store, entries: list[Entry]) -> None:
    if not entries:
        raise DeparaError(
            f"store {store.root} has no graphs of that recipe and probe set; `depara store ls` "
            "lists what it has"
        )
    groups = {entry.group: entry for entry in entries}
    if len(groups) > 1:
        found = "; ".join(
            f"recipe {e.recipe.name!r}, probe {e.probe[:12]}, code {e.code}, e.g. {e.name}"
            for e in list(groups.values())[:4]
        )
        raise DeparaError(
            f"store {store.root} has graphs of {len(groups)} kinds that cannot be compared with "
            f"each other ({found}); choose with --recipe and --probe-set, remove graphs of other "
            "code with `depara store gc --other-code`"
        )
