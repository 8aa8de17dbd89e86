"""Estimators of this library against straightforward numpy and scikit-learn, as ratios in one run.

    python -m experiments.benchmarks.estimators [--samples 6667 --width 2048 --classes 100]

Prints one JSON line (and every row as it is done on stderr). Both sides get the same arrays,
already in memory. Ours run in float32 after a warm-up, with the time of the first call
(compilation) kept apart; the peers in float64, as the common code does, and for LogME in float32
too. `alone` includes the decomposition of the features, `shared` is given one, as in
`depara_jax.estimators.estimate`.
"""

import json
import os
import resource
import statistics
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks.common import apart, script, timed
from experiments.benchmarks.peers import numpy_estimators as peers

CLOSED = ("leep", "nce", "h_score", "h_score_shrinkage", "logme", "transrate", "gbc_diagonal")
CLOSED += ("knn", "cka_linear")
SMALL_ONLY = ("parc",)  # 22 million pairs at 6,667 samples: hundreds of MB and minutes for scipy


def measure(
    samples: int = 6667,
    width: int = 2048,
    classes: int = 100,
    repeats: int = 5,
    large: str = ",".join(CLOSED),
) -> dict[str, Any]:
    """The line's content: `large` runs at the size given, all of them at a small one.

    Ours run `repeats` times, peers for up to 10 seconds.
    """
    import jax

    shape, load = (samples, width, classes), os.getloadavg()
    rows = compare(shape, tuple(large.split(",")), repeats)
    small = (500, width, 20)
    return {
        "benchmark": "estimators",
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "small": {"shape": small, "seconds": compare(small, CLOSED + SMALL_ONLY, 4 * repeats)},
        "load_average_before_after": [load[0], os.getloadavg()[0]],
        "large": {"shape": shape, "seconds": rows},
        "logme_float32_peer": logme_in_float32(shape, rows["logme"]),
        "logme_peak_mib": {side: apart(added_memory, side, shape) for side in ("ours", "peer")},
    }


def data(samples: int, width: int, classes: int) -> dict[str, np.ndarray]:
    """Seeded features of a ReLU network's kind (non-negative, correlated), labels, predictions."""
    r = np.random.default_rng(0)
    labels = r.permutation(np.arange(samples) % classes)
    mixing = r.normal(size=(width // 4, width)) / np.sqrt(width // 4)
    hidden = r.normal(size=(classes, width // 4))[labels] + 2 * r.normal(size=(samples, width // 4))
    features = np.maximum(hidden @ mixing + 0.3 * r.normal(size=(samples, width)), 0)
    logits = r.normal(size=(samples, classes)) + 2 * np.eye(classes)[labels]
    probabilities = np.exp(logits)
    return {
        "features": features,
        "labels": labels,
        "probabilities": probabilities / probabilities.sum(axis=1, keepdims=True),
        "target_features": np.maximum(features @ r.normal(size=(width, width // 4)) / 30, 0),
    }


def compare(shape: tuple[int, int, int], names: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """{name: times, ratio, both values} of ours and the peers' on the same arrays."""
    import jax
    import jax.numpy as jnp

    from depara_jax.estimators import ESTIMATORS, spectrum

    arrays = data(*shape)
    ours = {
        name: jnp.asarray(value, jnp.float32 if value.dtype == float else jnp.int32)
        for name, value in arrays.items()
    }
    split = {name: spectrum(ours[name]) for name in ("features", "target_features")}
    decompose = partial(spectrum, ours["features"])
    rows = {"spectrum": repeated(lambda: jax.block_until_ready(decompose()), repeats)[1]}
    for name in names:
        row, peer = ESTIMATORS[name], getattr(peers, name)
        ours_call = partial(row.function, *[ours[need] for need in row.needs])
        peer_call = partial(peer, *[arrays[need] for need in row.needs])
        rows[name] = _against(ours_call, peer_call, repeats)
        if row.shared:
            given = partial(row.function, *[split.get(need, ours[need]) for need in row.needs])
            rows[name]["shared"] = repeated(given, repeats)[1]
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    return rows


def _against(ours: Callable[[], Any], peer: Callable[[], Any], repeats: int) -> dict[str, Any]:
    value, alone = repeated(ours, repeats)
    peer_value, theirs = repeated(peer, repeats, limit=10.0)
    found = {"alone": alone, "peer": theirs, "value": value, "peer_value": peer_value}
    return found | _ratios(theirs, alone)


def _ratios(peer: dict[str, Any], ours: dict[str, Any], suffix: str = "") -> dict[str, float]:
    """Of medians, and of the best runs: on a machine that others use, those least disturbed."""
    return {
        f"ratio{suffix}": round(peer["median"] / ours["median"], 2),
        f"ratio_of_best{suffix}": round(peer["best"] / ours["best"], 2),
    }


def repeated(
    call: Callable[[], Any], repeats: int, *, limit: float = float("inf")
) -> tuple[Any, dict[str, Any]]:
    """The value, and {first, median, best} in seconds; stops repeating after `limit` seconds."""

    def waited() -> Any:
        value = call()
        return value if isinstance(value, tuple) else float(value)

    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h_score says that it is meaningless here, and it is
        for _ in range(repeats + 1):
            value, _, seconds = timed(waited)
            times.append(seconds)
            if sum(times) > limit:
                break
    rest = times[1:] or times
    return value, {
        "first": round(times[0], 5),
        "median": round(statistics.median(rest), 6),
        "best": round(min(rest), 6),
        "runs": len(rest),
    }


def logme_in_float32(shape: tuple[int, int, int], measured: dict[str, Any]) -> dict[str, Any]:
    """The peer in our precision, and ours in its."""
    import jax

    from depara_jax.estimators import logme

    arrays = data(*shape)
    single = arrays["features"].astype(np.float32)
    value, peer = repeated(lambda: peers.logme(single, arrays["labels"]), 3, limit=10.0)
    with jax.enable_x64(True):
        double, ours = repeated(lambda: float(logme(arrays["features"], arrays["labels"])), 3)
    return {
        "peer_float32": peer,
        "peer_float32_value": value,
        **_ratios(peer, measured["alone"], "_in_float32"),
        "ours_float64": ours,
        "ours_float64_value": double,
        **_ratios(measured["peer"], ours, "_in_float64"),
    }


def added_memory(side: str, shape: tuple[int, int, int]) -> float:
    """Peak resident MiB that LogME adds to this process, which holds the arrays."""
    arrays = data(*shape)
    if side == "ours":
        import jax.numpy as jnp

        from depara_jax.estimators import logme

        features = jnp.asarray(arrays["features"], jnp.float32)
        small = (features[:64, :32], arrays["labels"][:64])
        call = lambda: float(logme(features, arrays["labels"]))  # noqa: E731
        float(logme(*small))
    else:
        call = lambda: peers.logme(arrays["features"], arrays["labels"])  # noqa: E731
    worker, seen = threading.Thread(target=call), [_resident()]
    worker.start()
    while worker.is_alive():
        worker.join(0.005)
        seen.append(_resident())
    return round(max(seen[1:]) - seen[0], 1)


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


main = script(measure, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
