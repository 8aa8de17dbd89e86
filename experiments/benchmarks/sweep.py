"""What a sweep costs, and what many models would: `python -m experiments.benchmarks.sweep`.

Sweeps the packaged zoo into a new store, again with everything there, and indexes it; from the
seconds and bytes of one unit it extrapolates to more models and machines. The extrapolation is
arithmetic: it holds for networks like those of the zoo, and scales with a unit's seconds for others
(`depara sweep --dry-run` times one batch of yours).
"""

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depara_jax.index import add_to_index, build_index
from depara_jax.store import Store, verify_store
from depara_jax.sweep import run_sweep
from depara_jax.sweep.plan import parse_plan
from experiments.benchmarks.common import script, timed

MODELS = (1000, 10_000, 1_000_000)
MACHINES = (1, 16, 256)
SKETCH = 1024 + 512 + 4 * 4096  # bytes of a row of an index of dim 4,096


def unit_cost(folder: Path, images: int) -> dict[str, float]:
    """Seconds and bytes of one unit (one model, one layer, one recipe)."""
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder, create=True)
    probes = [f"photographs:probe[:{images}]"]
    plan = parse_plan({"probes": probes})
    one = parse_plan({"probes": probes, "models": ["edges"]})
    first, first_cpu, _ = timed(lambda: run_sweep(one, store))
    swept, cpu, _ = timed(lambda: run_sweep(plan, store))
    units = [row.seconds for row in swept.rows if row.status == "computed"]
    again, reuse_cpu, _ = timed(lambda: run_sweep(plan, store))
    assert all(row.status == "reused" for row in again.rows)
    (sound, _), verify_cpu, _ = timed(lambda: verify_store(store))
    index, index_cpu, _ = timed(lambda: build_index(store, folder / "zoo.index"))
    _, _, add_s = timed(lambda: add_to_index(index, store))
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
    for models, machines in itertools.product(MODELS, MACHINES):
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


def measure(
    images: int = 200, folder: Path = Path("runs/sweep_benchmark")
) -> Iterator[dict[str, Any]]:
    """A line for the measurement, and one for each case that is extrapolated from it."""
    unit = unit_cost(folder, images)
    yield {key: round(value, 4) for key, value in unit.items()} | {"load": os.getloadavg()[0]}
    yield from extrapolate(unit)
    shutil.rmtree(folder)


main = script(measure, {"images": 6}, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
