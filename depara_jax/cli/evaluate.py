"""`depara evaluate`: how well a similarity matrix ranks sources, against a ground truth."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax.cli.common import split
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.evaluation.readers import split_key

SIMILARITY_HELP = (
    "FILE[:key]: a square matrix in a .npy, an .npz (with 'names' beside it), a .json "
    "({names, similarity}, or names and score) or a .csv with a header"
)
TRUTH_HELP = (
    "FILE[:key]: rankings (.npy of ids, .csv, .json), the first column naming the target; or "
    "affinities (.npz with 'targets' and 'candidates', .csv whose header starts with 'target', "
    ".json)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--similarity", required=True, metavar="FILE[:key]", help=SIMILARITY_HELP)
    add_truth_arguments(parser)
    parser.add_argument("--ks", metavar="K,...", help="cut-offs; by default all")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap over targets")
    parser.add_argument("--level", type=float, default=0.95, help="coverage of the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")


def add_truth_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that name the ground truth; `plot pr` has them too."""
    parser.add_argument("--truth", required=True, metavar="FILE[:key]", help=TRUTH_HELP)
    parser.add_argument(
        "--names", metavar="A,B,...", help="names of the matrix's rows, where its file has none"
    )
    parser.add_argument("--targets", metavar="A,B,...", help="score these targets only")
    parser.add_argument("--drop-targets", metavar="A,B,...", help="leave these out")
    parser.add_argument("--relevant", type=int, default=5, help="size of the relevant set")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Scores the matrix."""
    matrix, names, origin = read_similarity(args.similarity, args.names)
    truth = read_truth(args, matrix, names)
    result = depara_jax.evaluation.evaluate(
        matrix, truth, names=names, relevant=args.relevant, ks=numbers(args.ks),
        resamples=args.resamples, level=args.level, seed=args.seed,
    )  # fmt: skip
    show(console, result)
    files = [split_key(location)[0] for location in (args.similarity, args.truth)]
    facts = {"similarity": dict(origin), "inputs": depara_jax.store.input_digests(files)}
    given = {"similarity": args.similarity, "truth": args.truth}
    return {**given, **result.to_dict(), "provenance": facts}


def read_similarity(
    location: str, names: str | None, *, other_columns: bool = False
) -> "tuple[np.ndarray, list[str] | None, Mapping[str, Any]]":
    """The matrix, its names (those of the option, else of the file, or None), its provenance.

    With `other_columns` the columns may be other networks than the rows, whose names count.
    """
    matrix = depara_jax.evaluation.load_matrix(location)
    given = split(names, "--names")
    if given is not None and len(given) != len(matrix.values):
        raise DeparaError(f"--names: {len(given)} names for a matrix of {len(matrix.values)} rows")
    if given is None and matrix.rows is not None:
        if not other_columns and matrix.columns not in (None, matrix.rows):
            raise DeparaError(f"{location}: rows and columns of a similarity need the same names")
        given = list(matrix.rows)
    return matrix.values, given, matrix.provenance


def read_truth(
    args: argparse.Namespace, matrix: np.ndarray, names: Sequence[str] | None
) -> "depara_jax.evaluation.GroundTruth":
    """The ground truth that the options name, its ids read as rows of the matrix."""
    known = numbered(matrix) if names is None else names
    truth = depara_jax.evaluation.load_ground_truth(args.truth, candidates=known)
    chosen = split(args.targets, "--targets") or list(truth.targets)
    dropped = split(args.drop_targets, "--drop-targets") or []
    for name in dropped:
        if name not in truth.targets:
            raise UnknownNameError("target in --drop-targets", name, truth.targets)
    kept = [name for name in chosen if name not in dropped]
    if not kept:
        raise DeparaError("--targets and --drop-targets leave no target")
    return truth.select(targets=kept)


def numbered(rows: np.ndarray) -> list[str]:
    """Names for rows without any."""
    return [str(i) for i in range(len(rows))]


def numbers(text: str | None) -> list[int] | None:
    """Whole numbers of a comma-separated option."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise DeparaError(f"--ks {text}: expected whole numbers, e.g. 1,3,5") from None


def show(console: Console, result: "depara_jax.evaluation.EvaluationResult") -> None:
    """The curves as a table, and the mean correlations."""
    counts = f"{len(result.targets)} targets, {len(result.candidates)} networks"
    table = Table(title=f"{counts}, {result.relevant} relevant", title_justify="left")
    interval = result.intervals.get("precision")
    level = f"{interval.level if interval else 0.95:.0%} interval"
    for name in ("K", "hits", "P@K", level, "R@K", "random P@K", "oracle P@K", "regret"):
        table.add_column(name, justify="right")
    for i, k in enumerate(result.ks):
        table.add_row(
            str(k), f"{result.curves.hits[i]:.0f}", f"{result.curves.precision[i]:.3f}",
            f"{interval.low[i]:.3f}-{interval.high[i]:.3f}" if interval else "-",
            f"{result.curves.recall[i]:.3f}", f"{result.random.precision[i]:.3f}",
            f"{result.oracle.precision[i]:.3f}",
            "-" if result.regret is None else f"{result.regret[i]:.3f}",
        )  # fmt: skip
    console.print(table)
    for name, values in result.correlations.items():
        known = values[~np.isnan(values)]
        text = f"{known.mean():+.3f}" if len(known) else "undefined"
        missing = len(values) - len(known)
        note = f" ({missing} targets undefined: a constant row)" if missing else ""
        console.print(f"{name.replace('_', ' ')}, mean over targets: {text}{note}")
    for name, value in result.dds.items():
        if value is not None:
            console.print(f"DDS score {name.replace('_', ' ')}: {value:+.3f}")
