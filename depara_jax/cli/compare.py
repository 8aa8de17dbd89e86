"""`depara compare`: two rankings of the same candidates side by side."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

import depara_jax
from depara_jax.cli.common import split
from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation.readers import read_json
from depara_jax.graph.rows import competition_ranks

CUTS = (1, 3, 5, 10)


class Saved(NamedTuple):
    """A ranking from a result file.

    Attributes:
      path: the file.
      kind: "model" or "layer".
      places: rank by candidate, 1 the best; of some estimators lower scores are better.
      origin: its provenance.
    """

    path: str
    kind: str
    places: dict[str, int]
    origin: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    text = "what `rank-models --json` or `rank-layers --json` wrote"
    parser.add_argument("first", metavar="A.json", help=text)
    parser.add_argument("second", metavar="B.json", help="the same by another run")
    parser.add_argument(
        "--allow-different", metavar="recipe,code,...",
        help="compare although these differ: target, source, estimator, recipe, probe, dtype, "
        "preprocessing, weights, code",
    )  # fmt: skip
    parser.add_argument("--moves", type=int, default=5, help="how many of the largest to show")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Compares the two rankings, or says why that would mean nothing."""
    store = depara_jax.store
    if args.moves < 0:
        raise DeparaError(f"--moves must be at least 0, got {args.moves}")
    allowed = split(args.allow_different, "--allow-different") or []
    first, second = read_ranking(args.first), read_ranking(args.second)
    if first.kind != second.kind:
        raise DeparaError(
            f"{first.path} ranks {first.kind}s, {second.path} {second.kind}s; give two of a kind"
        )
    names = (first.path, second.path)
    try:
        different = store.check_comparable(first.origin, second.origin, names=names, allow=allowed)
    except store.NotComparableError as error:
        raise DeparaError(f"{error}; --allow-different names what may differ") from error
    result = compare_rankings(first, second, args.moves) | {"different": different}
    show(console, result)
    return result | {"provenance": {"inputs": store.input_digests(names)}}


def read_ranking(path: str) -> Saved:
    """The ranking of a result file.

    Raises:
      DeparaError: it is no such file, or does not say where it comes from.
    """
    content = read_json(Path(path))
    content = content if isinstance(content, dict) else {}
    if isinstance(content.get("target"), str):
        raise DeparaError(
            f"{path}: written by an earlier version of depara (its target is a text, not model and "
            "layer); rank again"
        )
    rows = content.get("ranking")
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise DeparaError(f"{path}: no ranking; give what `rank-models --json` wrote")
    kind = content.get("kind", "layer" if "layer" in rows[0] else "model")
    if kind not in ("model", "layer"):
        raise DeparaError(f"{path}: a ranking of {kind}s; give one of models or of layers")
    try:
        places = {str(row[kind]): int(row["rank"]) for row in rows}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DeparaError(f"{path}: a row of its ranking has no {kind} or no rank") from error
    origin = content.get("provenance")
    if not isinstance(origin, dict):
        raise DeparaError(
            f"{path}: it does not say where it comes from (no 'provenance'), so nothing tells "
            "whether the two can be compared; rank again"
        )
    return Saved(path, kind, places, origin)


def compare_rankings(first: Saved, second: Saved, moves: int) -> dict[str, Any]:
    """How well two rankings agree on the candidates that both have; with the largest `moves`.

    Raises:
      DegenerateError: fewer than two candidates in common.
    """
    from depara_jax.evaluation.correlation import CORRELATIONS

    common = [name for name in first.places if name in second.places]
    if len(common) < 2:
        raise DegenerateError(
            f"{first.path} and {second.path} have {len(common)} {first.kind}s in common; at least "
            "2 are needed"
        )
    a, b = (np.array([one.places[name] for name in common]) for one in (first, second))
    # Anew among those that both have.
    ranks = [competition_ranks(places, higher_is_better=False) for places in (a, b)]
    agreement = {}
    for name in ("spearman", "kendall"):
        try:
            agreement[name] = CORRELATIONS[name](a, b)
        except DegenerateError:  # all of one side are tied
            agreement[name] = None
    tops = [[common[i] for i in np.argsort(places, kind="stable")] for places in (a, b)]
    changes = sorted(zip(common, *ranks, strict=True), key=lambda c: -abs(c[1] - c[2]))
    return {
        "first": first.path,
        "second": second.path,
        "kind": first.kind,
        "candidates": len(common),
        **agreement,
        "best": [top[0] for top in tops],
        "top": [
            {"k": k, "overlap": len(set(tops[0][:k]) & set(tops[1][:k])) / k}
            for k in CUTS if k < len(common)
        ],
        "moves": [
            {first.kind: name, "ranks": [before, after]}
            for name, before, after in changes[:moves] if before != after
        ],
        "only_in_first": [name for name in first.places if name not in second.places],
        "only_in_second": [name for name in second.places if name not in first.places],
    }  # fmt: skip


def show(console: Console, result: dict[str, Any]) -> None:
    """A few lines: agreement, the best, the moves, what was allowed to differ."""
    for name, reason in result["different"].items():
        console.print(f"different {name}: {reason}")
    numbers = [f"{name} {_number(result[name])}" for name in ("spearman", "kendall")]
    console.print(f"{result['candidates']} {result['kind']}s in both: {', '.join(numbers)}")
    if result["top"]:
        cuts = ", ".join(f"{cut['overlap']:.0%} of {cut['k']}" for cut in result["top"])
        console.print(f"the best in common: {cuts}")
    best = result["best"]
    console.print(f"best: {best[0]}" + ("" if best[0] == best[1] else f", then {best[1]}"))
    for move in result["moves"]:
        console.print(f"  {move[result['kind']]}: {move['ranks'][0]} to {move['ranks'][1]}")
    for side in ("first", "second"):
        if result[f"only_in_{side}"]:
            listed = ", ".join(result[f"only_in_{side}"])
            console.print(f"only in {result[side]}: {listed}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.3f}"
