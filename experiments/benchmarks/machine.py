"""What this machine does at best, measured beside a benchmark: the floor under it."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["fresh_process", "peak_mb", "rates", "summary", "timed"]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, processor seconds of all threads, wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def summary(seconds: list[float], times: float = 1) -> dict[str, float]:
    """Median, best and quartiles of measurements, each multiplied by `times`."""
    low, median, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    values = {"median": median, "best": min(seconds), "quartile_1": low, "quartile_3": high}
    return {name: round(value * times, 6) for name, value in values.items()}


def rates(size: int = 2048, megabytes: int = 64, repeats: int = 7) -> dict[str, float]:
    """Best of `repeats`, by processor seconds of one core: GFLOP/s, GB/s, sorted values a second.

    Call it where OpenBLAS has one thread (`fresh_process(..., one_thread=True)`).
    """
    rng = np.random.default_rng(0)
    a = rng.standard_normal((size, size), np.float32)
    b = a.copy()
    product = np.empty_like(a)
    source = rng.standard_normal(megabytes << 18, np.float32)
    target = np.zeros_like(source)
    values = source[:500_000]
    best = lambda work: min(timed(work)[1] for _ in range(repeats))  # noqa: E731
    return {
        "matmul_gflops": round(2e-9 * size**3 / best(lambda: np.matmul(a, b, out=product)), 1),
        # A copy reads and writes; a floor that only reads counts a byte once.
        "copy_gb_s": round(2e-9 * source.nbytes / best(lambda: np.copyto(target, source)), 2),
        "sort_million_s": round(1e-6 * len(values) / best(lambda: np.sort(values)), 1),
    }


def peak_mb() -> float:
    """Largest resident memory of this process so far, in 10**6 bytes; Linux alone."""
    # Not `ru_maxrss`: a child begins with its parent's.
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if "VmHWM" in line) * 1024 / 1e6, 1)


def fresh_process(
    module: str, options: Mapping[str, Any], *, one_thread: bool = False
) -> dict[str, Any]:
    """What `python -m module --NAME VALUE ...` prints as its last line, as JSON."""
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    environment = dict(os.environ)
    if one_thread:
        environment |= {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])
