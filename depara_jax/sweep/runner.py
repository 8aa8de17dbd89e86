"""Running a plan: every item once, with progress, and the result files of the store.

STORE/sweeps/DIGEST/results.json      rows and content digests: the same bytes whenever, wherever
and after however many interruptions the sweep is run
STORE/sweeps/DIGEST/provenance.json   versions, devices, command, times and settings of the run
that wrote it
STORE/sweeps/DIGEST/log.jsonl         one line an item done, with its seconds
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from depara_jax.data import Probe, load_probe
from depara_jax.errors import DeparaError
from depara_jax.store import Store, code_version, provenance
from depara_jax.store.keys import canonical
from depara_jax.sweep.items import Row, WorkItem, compute_item, placement_for, zoo_specs
from depara_jax.sweep.plan import Plan, ProbeEntry
from depara_jax.walk import check_agreement, is_lead

__all__ = ["Engine", "Row", "SweepResult", "local_engine", "plan_items", "probes_of", "run_sweep"]

Show = Callable[[int, int, Row, float | None], None]


# Runs items somewhere and gives (number of the item, its row), in whatever order they are done.
Engine = Callable[
    [Plan, Sequence[WorkItem], Sequence[Probe], Store, Callable[[], None]],
    Iterator[tuple[int, Row]],
]


class SweepResult(NamedTuple):
    """What a sweep came to.

    Attributes:
      rows: in the plan's order.
      seconds: of this run.
      path: the result file; None on hosts that do not write.
    """

    rows: tuple[Row, ...]
    seconds: float
    path: str | None

    def summary(self) -> dict[str, Any]:
        """{"computed", "reused", "failed", "seconds"}."""
        statuses = [row.status for row in self.rows]
        counts = {name: statuses.count(name) for name in ("computed", "reused", "failed")}
        return counts | {"seconds": round(self.seconds, 3)}


def run_sweep(
    plan: Plan,
    store: Store,
    *,
    engine: Engine | None = None,
    show: Show = lambda *_: None,
    check: Callable[[], None] = lambda: None,
) -> SweepResult:
    """Computes whatever of the plan the store does not have.

    Args:
      plan: what.
      store: where.
      engine: runs the items; by default this process does.
      show: called after each item with (done, of how many, its row, seconds left or None).
      check: called between steps; raises to stop.

    Raises:
      DeparaError: a plan that means nothing, an unreadable probe set, hosts that differ.
      StoreError: the store cannot be used.
      PreemptedError: from `check`; the same call goes on where this one stopped.
    """
    started = time.monotonic()
    if is_lead():
        store.check_writable()
    items, probes = plan_items(plan), probes_of(plan)
    prints = [probe.fingerprint for probe in probes]
    check_agreement({"plan": plan.digest, "code": code_version(), "probe set": canonical(prints)})
    engine = local_engine if engine is None else engine
    rows: dict[int, Row] = {}
    for number, row in engine(plan, items, probes, store, check):
        rows[number] = row
        _log(store, plan, items[number], row, len(probes[items[number].probe]))
        show(len(rows), len(items), row, _seconds_left(rows.values(), len(items), started))
    ordered = tuple(rows[number] for number in range(len(items)))
    result = SweepResult(ordered, time.monotonic() - started, None)
    if is_lead():
        lasting = {
            "plan": plan.digest,
            "code": code_version(),
            "recipes": {recipe.name: recipe.to_dict() for recipe in plan.recipes},
            "probes": {p.fingerprint: {"source": str(p.spec), "images": len(p)} for p in probes},
            "rows": [row.lasting() for row in ordered],
        }
        path = store.write_result(f"{_folder(plan)}/results.json", lasting)
        summary = result.summary()
        origin = provenance({"summary": summary, "seconds": summary["seconds"]})
        store.write_result(f"{_folder(plan)}/provenance.json", origin)
        result = result._replace(path=path)
    return result


def _folder(plan: Plan) -> str:
    """Where the store has a plan's results."""
    return f"sweeps/{plan.digest[:16]}"


def local_engine(
    plan: Plan, items: Sequence[WorkItem], probes: Sequence[Probe], store: Store,
    check: Callable[[], None],
) -> Iterator[tuple[int, Row]]:  # fmt: skip
    """Runs the items one after the other, on this process's devices and its job's."""
    placement = placement_for(items[0])  # the same for all
    for number, item in enumerate(items):
        check()
        row = compute_item(item, probes[item.probe], store, placement=placement, check=check)
        yield number, row


def plan_items(plan: Plan) -> list[WorkItem]:
    """The items of a plan: probe by probe, recipe by recipe, model by model.

    Raises:
      UnknownNameError: no such zoo.
      DeparaError: models of different input shapes without a common grid, whose graphs no one could
        compare.
    """
    zoo_specs.cache_clear()  # the manifest may have changed since the last sweep
    specs = zoo_specs(plan.zoo)
    models = plan.models or tuple(specs)
    if not models:
        raise DeparaError(f"zoo {plan.zoo!r} has no models; there is nothing to sweep")
    shapes = {specs[name].input.shape for name in models if name in specs}
    for recipe in plan.recipes if len(shapes) > 1 else ():
        if recipe.uses_nodes and recipe.grid is None:
            raise DeparaError(
                f"recipe {recipe.name!r}: the models take images of {len(shapes)} shapes "
                f"({', '.join(map(str, sorted(shapes)))}), so their maps have no common "
                'size; name one in the plan, e.g. {base = "default", grid = 32}'
            )
    same = ("zoo", "layers", "keep", "batch_size", "images", "parameters")
    settings: dict[str, Any] = {name: getattr(plan, name) for name in same}
    return [
        WorkItem(model=name, recipe=recipe, probe=number, **settings)
        for number in range(len(plan.probes))
        for recipe in plan.recipes
        for name in models
    ]


def probes_of(plan: Plan) -> list[Probe]:
    """Opens the plan's probe sets.

    Raises:
      DeparaError: one cannot be read, or two are the same images.
    """
    probes = [open_probe(entry) for entry in plan.probes]
    prints = [probe.fingerprint for probe in probes]
    if len(set(prints)) != len(prints):
        raise DeparaError("probes: two of the probe sets are the same images in the same order")
    return probes


def open_probe(entry: ProbeEntry) -> Probe:
    """One probe set of a plan."""
    return load_probe(entry.source, count=entry.count, seed=entry.seed)


def _seconds_left(rows: Iterable[Row], total: int, started: float) -> float | None:
    """From the pace so far; None before anything has been computed."""
    rows = list(rows)
    computed = [row for row in rows if row.status == "computed"]
    if not computed:
        return None
    pace = (time.monotonic() - started) / len(rows)
    if len(computed) < len(rows):  # what was there already says nothing about what is left
        pace = sum(row.seconds for row in computed) / len(computed)
    return pace * (total - len(rows))


def _log(store: Store, plan: Plan, item: WorkItem, row: Row, images: int) -> None:
    """Appends a line to the log, which nothing but estimates is read from."""
    if not (store.is_local and is_lead()):
        return
    entry = {
        "model": row.model, "zoo": item.zoo, "recipe": row.recipe, "probe": row.probe,
        "images": images, "layers": item.layers, "status": row.status, "reason": row.reason,
        "notes": row.notes, "seconds": round(row.seconds, 3), "process": os.getpid(),
    }  # fmt: skip
    folder = store.root / _folder(plan)
    with store.explained():
        folder.mkdir(parents=True, exist_ok=True)
        line = (json.dumps(entry) + "\n").encode()
        handle = os.open(folder / "log.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, line)  # one call: lines of two sweeps do not mix
        finally:
            os.close(handle)
