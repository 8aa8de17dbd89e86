"""What a sweep costs, and what many models would: `python -m experiments.benchmarks.sweep`.

Sweeps the packaged zoo into a new store, again with everything there, and indexes it; from the
seconds and bytes of one unit it extrapolates to more models and machines. The extrapolation is
arithmetic: it holds for networks like those of the zoo, and scales with a unit's seconds for others
(`depara sweep --dry-run` times one batch of yours).
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depara_jax.index import add_to_index, build_index
from depara_jax.store import Store, verify_store
from depara_jax.sweep import run_sweep
from depara_jax.sweep.plan import parse_plan

MODELS = (1000, 10_000, 1_000_000)
MACHINES = (1, 16, 256)
SKETCH = 1024 + 512 + 4 * 4096  # bytes of a row of an index of dim 4,096


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall seconds, processor seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path, images: int) -> dict[str, float]:
    """Seconds and bytes of one unit (one model, one layer, one recipe)."""
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder, create=True)
    probes = [f"photographs:probe[:{images}]"]
    plan = parse_plan({"probes": probes})
    one = parse_plan({"probes": probes, "models": ["edges"]})
    first, _, first_cpu = timed(lambda: run_sweep(one, store))
    swept, _, cpu = timed(lambda: run_sweep(plan, store))
    units = [row.seconds for row in swept.rows if row.status == "computed"]
    again, _, reuse_cpu = timed(lambda: run_sweep(plan, store))
    assert all(row.status == "reused" for row in again.rows)
    (sound, _), _, verify_cpu = timed(lambda: verify_store(store))
    _, _, index_cpu = timed(lambda: build_index(store, folder / "zoo.index"))
    index = build_index(store, folder / "zoo.index")
    _, add_s, _ = timed(lambda: add_to_index(index, store))
    size = sum(p.stat().st_size for p in (folder / "objects").rglob("*") if p.is_file())
    files = sum(p.is_file() for p in (folder / "objects").rglob("*"))
    return {
        "images": images,
        "first_unit_s": first.rows[0].seconds,
        "first_unit_cpu_s": first_cpu,
        "unit_s": sum(units) / len(units),
        "unit_cpu_s": cpu / len(units),
        "reuse_cpu_s": reuse_cpu / len(swept.rows),
        "verify_cpu_s": verify_cpu / sound,
        "index_row_cpu_s": index_cpu / sound,
        "nothing_to_add_s": add_s,
        "store_bytes": size / sound,
        "store_files": files / sound,
    }


def extrapolate(unit: dict[str, float]) -> list[dict[str, Any]]:
    """Hours and bytes for more models on more machines of two cores like this one."""
    rows = []
    for models in MODELS:
        for machines in MACHINES:
            # Each machine compiles once; its share of the units; then the index, on one machine.
            sweep = unit["first_unit_cpu_s"] + models * unit["unit_cpu_s"] / machines
            rows.append({
                "models": models,
                "machines": machines,
                "sweep_hours": round(sweep / 3600, 3),
                "index_hours": round(models * unit["index_row_cpu_s"] / 3600, 3),
                "store_gb": round(models * unit["store_bytes"] / 1e9, 1),
                "store_files": int(models * unit["store_files"]),
                "index_gb": round(models * SKETCH / 1e9, 2),
            })  # fmt: skip
    return rows


def main() -> None:
    """Prints one JSON line a measurement, one a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/sweep_benchmark"))
    parser.add_argument("--quick", action="store_true", help="6 images")
    args = parser.parse_args()
    unit = measure(args.folder, 6 if args.quick else args.images)
    rounded = {key: round(value, 4) for key, value in unit.items()}
    print(json.dumps(rounded | {"load": os.getloadavg()[0]}), flush=True)
    for row in extrapolate(unit):
        print(json.dumps(row))
    shutil.rmtree(args.folder)


if __name__ == "__main__":
    sys.exit(main())
