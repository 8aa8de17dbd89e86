"""One work item of a sweep: all wanted layers of one model, by one recipe, on one probe set."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from depara_jax.data import Probe
from depara_jax.errors import DeparaError
from depara_jax.models import list_models, load_model
from depara_jax.recipe import Recipe
from depara_jax.selection import attribution_graphs
from depara_jax.store import (
    ArtefactKey,
    DamagedArtefactError,
    Store,
    StoreError,
    artefact_key,
    provenance,
    save_features,
    save_graph,
    save_vector,
    weights_digest,
)
from depara_jax.sweep.preemption import PreemptedError
from depara_jax.types import ModelLike
from depara_jax.walk import (
    Placement,
    check_agreement,
    device_mesh,
    from_lead,
    is_lead,
    layer_features,
)

__all__ = ["Row", "WorkItem", "compute_item"]

# By kind and layer of an artefact: its key; its address and the digest of its content.
Keys = dict[tuple[str, str], ArtefactKey]
Found = dict[tuple[str, str], tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class WorkItem:
    """What one task computes; small enough to be sent anywhere.

    Attributes:
      model: as `load_model` takes it.
      zoo: where plain names are looked up.
      layers: as in the plan.
      keep: kinds of artefact.
      recipe: the method.
      probe: number of the probe set in the plan.
      batch_size: images a step.
      images: devices that images are sharded over.
      parameters: devices that parameters are sharded over.
    """

    model: str
    zoo: str
    layers: tuple[str, ...]
    keep: tuple[str, ...]
    recipe: Recipe
    probe: int
    batch_size: int | None = None
    images: int = 1
    parameters: int = 1


class Row(NamedTuple):
    """What became of an item.

    Attributes:
      model: its name in the plan.
      recipe: name of the recipe.
      probe: fingerprint of the probe set.
      status: "computed", "reused" or "failed".
      reason: of a failure.
      artefacts: kind, layer, address and content digest of each.
      notes: what was found on the way: damaged artefacts that were made anew.
      seconds: how long it took, by a clock that does not jump.
    """

    model: str
    recipe: str
    probe: str
    status: str
    reason: str | None
    artefacts: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def lasting(self) -> dict[str, Any]:
        """The part that is the same whenever and however often the sweep is run."""
        fields = {key: self._asdict()[key] for key in ("model", "recipe", "probe", "reason")}
        return fields | {"failed": self.status == "failed", "artefacts": list(self.artefacts)}


def placement_for(item: WorkItem) -> Placement | None:
    """The devices that an item's plan asks for; None for JAX's default one.

    Raises:
      DeparaError: there are not as many here.
    """
    many = jax.process_count() > 1
    if item.images == item.parameters == 1 and not many:
        return None
    # On many hosts all devices take part; a plan that names no number means all.
    images = 0 if many and item.images == 1 else item.images
    return Placement(device_mesh(images=images, parameters=item.parameters))


class _Bare(NamedTuple):
    """A model of which only the spec is known: enough for keys if the weights have a digest."""

    spec: Any
    forward: Any = None
    variables: Any = None


@functools.lru_cache(maxsize=4)
def zoo_specs(zoo: str) -> Mapping[str, Any]:
    """Specs of a zoo by name. Kept, since every item asks; a sweep clears it when it begins."""
    return {spec.name: spec for spec in list_models(zoo)}


def described(item: WorkItem) -> _Bare | None:
    """A model whose zoo knows its weights' digest, without reading the weights; else None."""
    try:
        spec = zoo_specs(item.zoo).get(item.model)
    except DeparaError:
        return None
    return _Bare(spec) if spec is not None and spec.sha256 else None


def wanted_layers(item: WorkItem, spec: Any) -> list[str]:
    """The layers of a model that an item names."""
    if item.layers == ("all",):
        return list(spec.layers)
    return list(dict.fromkeys(spec.encoder if n == "encoder" else n for n in item.layers))


def wanted_keys(item: WorkItem, model: Any, probe: str) -> Keys:
    """Keys of everything that an item makes, by kind and layer.

    Raises:
      UnknownNameError: a layer that the model does not have.
    """
    weights = weights_digest(model)
    return {
        (kind, layer): artefact_key(kind, model, layer, item.recipe, probe, weights=weights)
        for layer in wanted_layers(item, model.spec)
        for kind in item.keep
    }


def compute_item(
    item: WorkItem,
    probe: Probe,
    store: Store,
    *,
    placement: Placement | None = None,
    check: Callable[[], None] = lambda: None,
) -> Row:
    """Computes what is missing of an item and stores it.

    Whatever is wrong with the model becomes a failed row. What is wrong with the store, or a
    signal, is no fault of the model and is raised.

    Args:
      item: what.
      probe: its probe set.
      store: where it goes.
      placement: devices.
      check: called between steps; raises to stop.

    Raises:
      StoreError: the store cannot be used.
      PreemptedError: from `check`.
    """
    started = time.monotonic()
    work = _Work(item, probe, store, placement, check)
    row = Row(item.model, item.recipe.name, probe.fingerprint, "failed", None)
    try:
        found, made = work.compute()
    except (StoreError, PreemptedError):
        raise
    except Exception as error:  # noqa: BLE001 - a bad model costs its own row, never the sweep
        row = row._replace(reason=describe_error(error))
    else:
        artefacts = tuple(
            {"kind": kind, "layer": layer, "address": address, "content": content}
            for (kind, layer), (address, content) in found.items()
        )
        row = row._replace(status="computed" if made else "reused", artefacts=artefacts)
    return row._replace(notes=tuple(work.notes), seconds=time.monotonic() - started)


def describe_error(error: BaseException) -> str:
    """One line for a failed row."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"out of memory; use a smaller batch_size or more devices ({text[:200]})"
    if isinstance(error, DeparaError):
        return text
    return f"{type(error).__name__}: {text[:300]}"


@dataclasses.dataclass(frozen=True)
class _Work:
    """An item on its way through the store."""

    item: WorkItem
    probe: Probe
    store: Store
    placement: Placement | None
    check: Callable[[], None]
    notes: list[str] = dataclasses.field(default_factory=list)

    def compute(self) -> tuple[Found, bool]:
        """Addresses and contents of all that is wanted, and whether any of it had to be made."""
        bare = described(self.item)
        model = bare or _loaded(self.item)
        keys = wanted_keys(self.item, model, self.probe.fingerprint)
        found = self._look(keys)
        if len(found) == len(keys):
            return found, False
        with self._waiting():
            found = self._look(keys)  # another sweep may have been at it meanwhile
            missing = {part: key for part, key in keys.items() if part not in found}
            if not missing:
                return found, False
            found |= self._make(model if bare is None else _loaded(self.item), missing)
        return {part: found[part] for part in keys}, True

    def _look(self, keys: Keys) -> Found:
        """What is there and sound; what is damaged is noted and removed. The lead looks."""
        found = {}
        for part, key in keys.items() if is_lead() else ():
            try:
                artefact = self.store.get(key)
            except DamagedArtefactError as error:
                self.notes.append(f"{error}; made anew")
                self.store.discard(key.address)
                continue
            if artefact is not None:
                found[part] = (key.address, artefact.record["content"])
        there = from_lead(np.array([part in found for part in keys], np.uint8))
        return {
            part: found.get(part, (key.address, ""))
            for (part, key), is_there in zip(keys.items(), there, strict=True)
            if is_there
        }

    def _make(self, model: ModelLike, missing: Keys) -> Found:
        """One pass over the probe set for all missing layers."""
        started = time.monotonic()
        item, probe, store = self.item, self.probe, self.store
        of_graphs = list(dict.fromkeys(layer for kind, layer in missing if kind != "features"))
        of_features = [layer for kind, layer in missing if kind == "features"]
        graphs, features = {}, {}
        if of_graphs:
            graphs = attribution_graphs(
                model, probe, item.recipe, layers=of_graphs, batch_size=item.batch_size,
                placement=self.placement, progress=lambda *_: self.check(),
            )  # fmt: skip
        if of_features and is_lead():
            features = layer_features(model, probe, of_features, batch_size=item.batch_size)
        for graph in graphs.values():
            assert graph.info is not None  # attribution_graphs fills it in
            graph.info = graph.info._replace(model=item.model)
        self.check()
        if not is_lead():
            return {part: (key.address, "") for part, key in missing.items()}
        origin = provenance({"seconds": round(time.monotonic() - started, 3), "images": len(probe)})
        found = {}
        for (kind, layer), key in missing.items():
            if kind == "features":
                content = save_features(
                    store, key, features[layer], model=item.model, provenance=origin
                )
            elif kind == "graph":
                content = save_graph(store, key, graphs[layer], provenance=origin)
            else:
                content = save_vector(store, key, graphs[layer], item.recipe, provenance=origin)
            found[kind, layer] = (key.address, content)
        return found

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Holds the item's lock, so that two sweeps on one store share the work."""
        item, prints = self.item, self.probe.fingerprint
        name = f"item {item.model} {item.zoo} {item.recipe.graph_key()} {prints}"
        with contextlib.ExitStack() as held:
            while is_lead():
                with self.store.explained():
                    mine = held.enter_context(self.store.locks.held(name, wait=False))
                if mine:
                    break
                held.close()
                if jax.process_count() == 1:  # in a job this is no step: the others do not take it
                    self.check()
                time.sleep(0.1)
            yield


def _loaded(item: WorkItem) -> ModelLike:
    """The model, on all hosts of the job or on none."""
    try:
        model = load_model(item.model, zoo=item.zoo)
    except Exception as error:
        check_agreement({"weights": describe_error(error)})
        raise
    check_agreement({"weights": weights_digest(model)})
    return model
