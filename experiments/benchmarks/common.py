"""What the timing scripts share: their command, timed calls, peak memory, facts of the machine."""

import argparse
import inspect
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.common.run import reading


def script(
    measure: Callable[..., Mapping[str, Any] | Iterator[Mapping[str, Any]]],
    quick: Mapping[str, Any] = types.MappingProxyType({}),
    *,
    about: str | None,
) -> Callable[..., int]:
    """A benchmark's `main`: prints a JSON line for everything that it measures.

    Args:
      measure: its keywords are the command's options, types and defaults too. Where `quick` is one
        of them it hears of --quick.
      quick: the options' values under --quick; without any there is no such option.
      about: what --help says.
    """
    hints, parameters = typing.get_type_hints(measure), inspect.signature(measure).parameters

    def main(argv: Sequence[str] | None = None) -> int:
        kind = argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(description=about, formatter_class=kind)
        if quick:
            parser.add_argument("--quick", action="store_true", help=f"small: {dict(quick)}")
        for name, parameter in parameters.items():
            option, default = f"--{name.replace('_', '-')}", parameter.default
            if name != "quick" and default is False:
                parser.add_argument(option, action="store_true")
            elif name != "quick":
                kwargs = {**reading(hints[name]), "default": default}
                parser.add_argument(option, help=f"default: {default}", **kwargs)
        given = vars(parser.parse_args(argv))
        given |= dict(quick) if given.get("quick") else {}
        lines = measure(**{name: given[name] for name in parameters})
        for line in [lines] if isinstance(lines, Mapping) else lines:
            print(json.dumps(line), flush=True)
        return 0

    return main


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, processor seconds of all threads, wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def summary(seconds: Sequence[float], times: float = 1) -> dict[str, float]:
    """Median, best and quartiles of measurements, each multiplied by `times`."""
    many = len(seconds) > 1
    low, median, high = statistics.quantiles(seconds, n=4) if many else [*seconds] * 3
    values = {"median": median, "best": min(seconds), "quartile_1": low, "quartile_3": high}
    return {name: round(value * times, 6) for name, value in values.items()}


def clocks(seconds: Sequence[Sequence[float]], times: float = 1) -> dict[str, dict[str, float]]:
    """The `summary` of (processor, wall) seconds of calls, by clock."""
    cpu, wall = zip(*seconds, strict=True)
    return {"cpu": summary(cpu, times), "wall": summary(wall, times)}


def interleaved(
    calls: Mapping[str, Callable[[], Any]], repeats: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Times calls in turns, so that other work on the machine disturbs all alike.

    Args:
      calls: each waits for its result.
      repeats: runs of each after a first one that is kept apart.

    Returns:
      For each: seconds of the first run, and median, best and worst of the others (wall), with
      processor seconds of the process beside them.
    """
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(1 + max(repeats.values())):
        for name, call in calls.items():
            if turn <= repeats[name]:
                rows[name].append(timed(call)[1:])
    return {name: _summary(row) for name, row in rows.items()}


def _summary(row: list[tuple[float, float]]) -> dict[str, float]:
    processors, walls = zip(*(row[1:] or row), strict=True)
    return {
        "first_s": round(row[0][1], 4),
        "median_s": round(statistics.median(walls), 5),
        "best_s": round(min(walls), 5),
        "worst_s": round(max(walls), 5),
        "cpu_median_s": round(statistics.median(processors), 5),
        "cpu_best_s": round(min(processors), 5),
        "runs": len(walls),
    }


def ratio(times: Mapping[str, Mapping[str, float]], peer: str) -> dict[str, float] | None:
    """Peer's seconds over those of "ours": medians of wall time, and the least disturbed runs."""
    if peer not in times:
        return None
    return {
        "wall": round(times[peer]["median_s"] / times["ours"]["median_s"], 2),
        "cpu": round(times[peer]["cpu_best_s"] / times["ours"]["cpu_best_s"], 2),
    }


def machine() -> dict[str, Any]:
    """Processor or accelerator, cores, load and versions, as every line carries them."""
    import jax

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    found = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "numpy", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": names[0] if names else platform.processor(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "versions": found,
    }


def own_peak_mb() -> float:
    """Largest resident memory of this process so far, in 10**6 bytes; Linux alone."""
    # Not `ru_maxrss`: a child begins with its parent's.
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if "VmHWM" in line) * 1024 / 1e6, 1)


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """What the work returns in a fresh process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def peak_mb(work: Callable[..., Any], *args: Any) -> float:
    """Peak resident megabytes of a fresh process that does the work, imports too; Linux alone."""
    return apart(_peak_after, work, args)


def _peak_after(work: Callable[..., Any], args: tuple[Any, ...]) -> float:
    work(*args)
    return own_peak_mb()


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
