"""What a sweep would do: what is there already, and what the rest would cost."""

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax

from depara_jax.data import Probe
from depara_jax.errors import DeparaError
from depara_jax.models import load_model
from depara_jax.selection import attribution_graphs
from depara_jax.store import Store
from depara_jax.sweep.items import WorkItem, describe_error, described, wanted_keys, wanted_layers
from depara_jax.sweep.plan import Plan
from depara_jax.sweep.runner import plan_items, probes_of
from depara_jax.walk.memory import default_batch_size

__all__ = ["estimate_sweep"]


def estimate_sweep(plan: Plan, store: Store | None) -> dict[str, Any]:
    """The items of a plan, what is there, bytes and seconds of the rest; nothing is written.

    Seconds come from the store's log where it has items of this recipe on as many images;
    otherwise from one batch of one missing model, timed here: twice, so that compiling counts once.

    Args:
      plan: what.
      store: where, if it exists yet.

    Raises:
      DeparaError: as `run_sweep`.
    """
    items, probes = plan_items(plan), probes_of(plan)
    rows, missing = [], []
    for item in items:
        row = {"model": item.model, "recipe": item.recipe.name,
               "probe": probes[item.probe].fingerprint}  # fmt: skip
        try:
            model = described(item) or load_model(item.model, zoo=item.zoo)
            keys = wanted_keys(item, model, probes[item.probe].fingerprint)
        except Exception as error:  # noqa: BLE001 - what would fail is part of the answer
            rows.append(row | {"there": 0, "missing": 0, "would_fail": describe_error(error)})
            continue
        there = sum(store.has(key) for key in keys.values()) if store is not None else 0
        rows.append(row | {"there": there, "missing": len(keys) - there, "would_fail": None})
        if there < len(keys):
            missing.append(item)
    seconds, source, size = _cost(missing, probes, store)
    return {
        "items": rows,
        "to_compute": len(missing),
        "there": sum(row["missing"] == 0 and not row["would_fail"] for row in rows),
        "would_fail": sum(bool(row["would_fail"]) for row in rows),
        "estimate": {"seconds": seconds, "from": source, "bytes": size},
    }


def _cost(
    missing: Sequence[WorkItem], probes: Sequence[Probe], store: Store | None
) -> tuple[float | None, str, int | None]:
    """Seconds, where they come from, and bytes of what is missing."""
    if not missing:
        return 0.0, "nothing is missing", 0
    logged = {} if store is None else _logged(store)
    seconds, source, size = 0.0, "the store's log", 0
    measured: dict[tuple, tuple[float, float, int]] = {}
    for item in missing:
        count = len(probes[item.probe])
        kind = (item.recipe, item.probe)
        if kind not in measured:
            try:
                measured[kind] = _timed(item, probes[item.probe])
            except Exception as error:  # noqa: BLE001 - a model that fails has no cost
                return None, f"unknown: {describe_error(error)}", None
        first, each, bytes_each = measured[kind]
        past = logged.get((item.recipe.name, count, item.layers))
        if past:
            seconds += statistics.median(past)
        else:
            source = f"one batch of {item.model}, timed now"
            seconds += each + first
            measured[kind] = (0.0, each, bytes_each)
        size += bytes_each
    return round(seconds, 3), source, size


def _timed(item: WorkItem, probe: Probe) -> tuple[float, float, int]:
    """Seconds of compiling, seconds of a whole item, its bytes; from one batch of one model."""
    model = load_model(item.model, zoo=item.zoo)
    layers = wanted_layers(item, model.spec)
    size = min(item.batch_size or default_batch_size(model.spec.input, item.recipe), len(probe))
    part = probe.subset(range(max(3, size)))
    times = []
    for _ in range(2):
        started = time.monotonic()
        graphs = attribution_graphs(model, part, item.recipe, layers=layers, batch_size=size)
        jax.block_until_ready([graph.nodes for graph in graphs.values()])
        times.append(time.monotonic() - started)
    each = times[1] * len(probe) / len(part)
    width = sum(graph.nodes.shape[1] for graph in graphs.values())
    edges = len(graphs) * item.recipe.uses_edges * len(probe) * (len(probe) - 1) // 2
    return max(0.0, times[0] - times[1]), each, 4 * (width * len(probe) + edges)


def _logged(store: Store) -> dict[tuple, list[float]]:
    """Seconds of items computed before, by recipe, images and layers."""
    found: dict[tuple, list[float]] = {}
    for path in sorted((store.root / "sweeps").glob("*/log.jsonl")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
                if entry["status"] == "computed":
                    key = (entry["recipe"], entry["images"], tuple(entry["layers"]))
                    found.setdefault(key, []).append(float(entry["seconds"]))
            except (ValueError, KeyError, TypeError):
                continue  # a line that a kill has cut off
    return found


def check_store_exists(path: str) -> Store | None:
    """The store for a dry run, None if it would be made."""
    try:
        return Store(path)
    except DeparaError as error:
        if "nothing there" in str(error):
            return None
        raise
