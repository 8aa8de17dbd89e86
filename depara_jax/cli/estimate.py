"""`depara estimate`: transferability estimators on cached arrays, in one table."""

import argparse
import dataclasses
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax.cli.common import split
from depara_jax.errors import DeparaError
from depara_jax.files import load_arrays

# Flag, field of EstimatorInputs, help.
ARRAYS = (
    ("--features", "features", "[n, d] features of the source model on the target's images"),
    ("--labels", "labels", "[n] integer classes of the target task"),
    ("--probabilities", "probabilities", "[n, z] softmax outputs of the source model"),
    ("--logits", "logits", "[n, z] outputs of the source model before the softmax"),
    ("--targets", "targets", "[n, t] real or 0/1 targets (regression, multi-label)"),
    ("--against", "target_features", "[n, d'] features of a model trained on the target"),
    ("--gradients", "gradients", "[n, ...] input gradients of the source model"),
    ("--against-gradients", "target_gradients", "[n, ...] input gradients of the target model"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    for flag, field, text in ARRAYS:
        parser.add_argument(
            flag, dest=field, metavar="FILE.npy", required=field == "features", help=text
        )
    parser.add_argument(
        "--estimators", default="all", metavar="all|A,B",
        help="which to run; one that lacks an input says so and the others still run",
    )  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs the estimators asked for, shows them, and returns {"estimators": {name: ...}, ...}."""
    estimators, names = depara_jax.estimators, args.estimators
    # The inputs depend on nothing that is slow; a name that does not exist is refused before them.
    if names != "all":
        names = split(names, "--estimators", what="no estimator") or []
    estimators.estimator_rows(names)
    arrays = {
        field: load_array(flag, getattr(args, field))
        for flag, field, _ in ARRAYS
        if getattr(args, field) is not None
    }
    results = estimators.estimate(names, estimators.EstimatorInputs(**arrays))
    _show(results, console)
    described = {}
    for name, one in results.items():
        row = estimators.ESTIMATORS[name]
        facts = {"higher_is_better": row.higher_is_better, "citation": row.citation}
        described[name] = dataclasses.asdict(one) | {"seconds": round(one.seconds, 6)} | facts
    files = {field: str(getattr(args, field)) for field in arrays}
    return {
        "samples": len(arrays["features"]),
        "inputs": files,
        "estimators": described,
        "provenance": {"inputs": depara_jax.store.input_digests(files.values())},
    }


def load_array(flag: str, path: str) -> Any:
    """The array of a .npy file.

    Raises:
      DeparaError: no such file, or one that is no plain numeric array.
    """
    loaded = load_arrays(path, name=f"{flag} {path}")
    if not isinstance(loaded, np.ndarray):
        raise DeparaError(f"{flag} {path}: expected one array (.npy), got an archive (.npz)")
    return loaded


def _show(results: Any, console: Console) -> None:
    table = Table("estimator", "value", "better", "seconds", "remark", box=None)
    for name, one in results.items():
        value = "-" if one.value is None else f"{one.value:.6g}"
        if one.standard_error is not None:
            value += f" +- {one.standard_error:.2g}"
        better = "higher" if depara_jax.estimators.ESTIMATORS[name].higher_is_better else "lower"
        table.add_row(name, value, better, f"{one.seconds:.3f}", one.why)
    console.print(table)
