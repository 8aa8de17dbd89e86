"""`depara plot`: the figures of the papers, from files of numbers."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from rich.console import Console

import depara_jax
from depara_jax import reporting
from depara_jax.cli.common import add_action, split
from depara_jax.cli.evaluate import (
    SIMILARITY_HELP,
    add_truth_arguments,
    numbered,
    read_similarity,
    read_truth,
)
from depara_jax.errors import DeparaError
from depara_jax.evaluation.readers import read_json, split_key

# Options that name files of numbers.
INPUTS = ("similarity", "truth", "families", "ranking", "accuracy", "graph", "thumbnails")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-verb a figure."""
    figures = parser.add_subparsers(dest="figure", metavar="FIGURE", required=True)
    for name, (add, _, text) in FIGURES.items():
        child = add_action(figures, name, text)
        add(child)
        child.add_argument("--title", default="", help="above the picture")
        child.add_argument(
            "--output", required=True, metavar="FILE.png|FILE.svg", help="where to save the picture"
        )


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Draws and saves one figure."""
    reporting.check_plot_path(args.output)
    _, draw, _ = FIGURES[args.figure]
    path = reporting.save_figure(draw(args), args.output)
    console.print(f"{args.figure}: {path}")
    facts = {"inputs": depara_jax.store.input_digests(files_of(args))}
    return {"figure": args.figure, "output": str(path), "provenance": facts}


def files_of(args: argparse.Namespace) -> list[Path]:
    """The files that a figure was drawn from."""
    given = [getattr(args, name, None) for name in INPUTS]
    several = [labelled(text)[1] for text in given[0]] if isinstance(given[0], list) else given[:1]
    return [split_key(location)[0] for location in [*several, *given[1:]] if location is not None]


def add_pr(parser: argparse.ArgumentParser) -> None:
    """Options of `plot pr`."""
    parser.add_argument(
        "--similarity", required=True, action="append", metavar="[LABEL=]FILE[:key]",
        help=f"may be repeated; {SIMILARITY_HELP}",
    )  # fmt: skip
    add_truth_arguments(parser)


def draw_pr(args: argparse.Namespace) -> Any:
    """P@K, R@K and PR curves with random and oracle; a 95% band if there is one method."""
    curves, result, first = {}, None, None
    for text in args.similarity:
        label, location = labelled(text)
        matrix, names, origin = read_similarity(location, args.names)
        if origin and first is None:
            first = (origin, location)
        elif origin and first is not None:
            # Methods are what the figure compares; images, weights and code must be the same.
            both = (first[1], location)
            depara_jax.store.check_comparable(
                first[0], origin, names=both, allow=("recipe", "estimator")
            )
        truth = read_truth(args, matrix, names)
        scored = depara_jax.evaluation.evaluate(matrix, truth, names=names, relevant=args.relevant)
        if label in curves:
            raise DeparaError(f"--similarity: two methods named {label!r}; use LABEL=FILE")
        if result is not None and len(scored.ks) != len(result.ks):
            raise DeparaError("--similarity: the matrices have different numbers of candidates")
        curves[label], result = (scored.curves.precision, scored.curves.recall), scored
    assert result is not None  # argparse requires at least one
    interval = result.intervals.get("precision") if len(curves) == 1 else None
    bands = None if interval is None else {next(iter(curves)): (interval.low, interval.high)}
    return reporting.precision_recall(
        curves, ks=result.ks, bands=bands, title=args.title,
        random=(result.random.precision, result.random.recall),
        oracle=(result.oracle.precision, result.oracle.recall),
    )  # fmt: skip


def add_matrix(parser: argparse.ArgumentParser) -> None:
    """Options of the figures of one matrix."""
    parser.add_argument("--similarity", required=True, metavar="FILE[:key]", help=SIMILARITY_HELP)
    parser.add_argument("--names", metavar="A,B,...", help="names of the rows")


def draw_heatmap(args: argparse.Namespace) -> Any:
    """The matrix with its values."""
    matrix, names, _ = read_similarity(args.similarity, args.names)
    return reporting.similarity_heatmap(matrix, names or numbered(matrix), title=args.title)


def add_tree(parser: argparse.ArgumentParser) -> None:
    """Options of `plot tree`."""
    add_matrix(parser)
    parser.add_argument(
        "--construction", default="distance", choices=("distance", "authors"),
        help="average linkage of 1 - similarity, or the authors' single linkage of rows, for which "
        "the columns may be other networks than the rows",
    )  # fmt: skip
    parser.add_argument(
        "--families", metavar="FILE.json", help="{name: family}, to colour the names"
    )


def draw_tree(args: argparse.Namespace) -> Any:
    """The task-similarity tree."""
    matrix, names, _ = read_similarity(
        args.similarity, args.names, other_columns=args.construction == "authors"
    )
    families = None if args.families is None else read_object(args.families)
    if families and not all(isinstance(family, str) for family in families.values()):
        raise DeparaError(f"{args.families}: expected {{name: family}}, both of them text")
    return reporting.similarity_tree(
        matrix, names or numbered(matrix), construction=args.construction, families=families,
        title=args.title,
    )  # fmt: skip


def add_layers(parser: argparse.ArgumentParser) -> None:
    """Options of `plot layers`."""
    parser.add_argument(
        "--ranking", required=True, metavar="FILE.json", help="what `rank-layers --json` wrote"
    )
    parser.add_argument(
        "--order", metavar="A,B,...",
        help="layers from shallow to deep; by default the 'names' of the ranking's file",
    )  # fmt: skip
    parser.add_argument(
        "--accuracy", metavar="FILE.json",
        help="{label: {layer: percent}}, accuracy after transfer, drawn on a second axis",
    )  # fmt: skip


def draw_layers(args: argparse.Namespace) -> Any:
    """V, E and SIM by layer, against accuracy if it is given."""
    content = read_object(args.ranking)
    rows = content.get("ranking")
    layers = split(args.order, "--order") or content.get("names")
    if not (is_list_of(rows, dict) and is_list_of(layers, str)):
        raise DeparaError(
            f"{args.ranking}: expected 'ranking' as rank-layers writes it, and the order of the "
            "layers in 'names' or --order"
        )
    rows = {row["layer"]: row for row in rows if isinstance(row.get("layer"), str)}
    missing = [layer for layer in layers if layer not in rows]
    if missing:
        raise DeparaError(f"{args.ranking}: no layer {missing[0]!r} in the ranking")

    def column(key: str) -> list[Any] | None:
        values = [rows[layer].get(key) for layer in layers]
        return None if any(value is None for value in values) else values

    score = column("score")
    if score is None:
        raise DeparaError(f"{args.ranking}: a layer has no score")
    accuracy = None
    if args.accuracy is not None:
        accuracy = {
            label: [np.nan if table.get(layer) is None else table[layer] for layer in layers]
            for label, table in nested(args.accuracy, read_object(args.accuracy)).items()
        }
    return reporting.layer_curve(
        layers, score, column("node"), column("edge"), accuracy=accuracy, title=args.title
    )


def add_edges(parser: argparse.ArgumentParser) -> None:
    """Options of `plot edges`."""
    parser.add_argument(
        "--graph", required=True, metavar="FILE[:key]",
        help="what `graph --output` wrote (its 'edges'), or a vector of n(n-1)/2 cosines",
    )  # fmt: skip
    parser.add_argument(
        "--thumbnails", metavar="FILE[:key]",
        help="pictures [n, h, w, c] of the probe images; without them the nodes are numbered",
    )  # fmt: skip
    parser.add_argument("--strongest", type=int, help="how many; by default 2n")


def draw_edges(args: argparse.Namespace) -> Any:
    """The strongest edges between the probe images."""
    location, load_array = args.graph, depara_jax.evaluation.load_array
    if location.endswith(".npz") and Path(location).is_file():
        location += ":edges"
    images = None if args.thumbnails is None else load_array(args.thumbnails)
    return reporting.strongest_edges(
        load_array(location), images=images, strongest=args.strongest, title=args.title
    )


FIGURES: Mapping[str, tuple[Callable[..., None], Callable[..., Any], str]] = {
    "pr": (add_pr, draw_pr, "precision, recall and PR curves with random and oracle"),
    "heatmap": (add_matrix, draw_heatmap, "a similarity matrix as a heat map"),
    "tree": (add_tree, draw_tree, "the task-similarity tree"),
    "layers": (add_layers, draw_layers, "similarity, and accuracy, of a network's layers"),
    "edges": (add_edges, draw_edges, "the strongest edges of a graph, probe images as nodes"),
}


def labelled(text: str) -> tuple[str, str]:
    """Splits LABEL=FILE; without a label the file's own name is one."""
    label, sign, location = text.partition("=")
    return (label, location) if sign else (Path(text).name, text)


def is_list_of(values: Any, kind: type) -> TypeGuard[list[Any]]:
    """Whether it is a list, not empty, of that type."""
    return isinstance(values, list) and bool(values) and all(isinstance(v, kind) for v in values)


def read_object(path: str) -> dict[str, Any]:
    """A JSON object from a file."""
    content = read_json(split_key(path)[0])
    if not isinstance(content, dict):
        raise DeparaError(f"{path}: expected a JSON object, got a {type(content).__name__}")
    return content


def nested(path: str, content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{label: {layer: percent}}, or {layer: percent} under the label "measured"."""
    tables = content
    if not any(isinstance(value, dict) for value in content.values()):
        tables = {"measured": content}
    for table in tables.values():
        whole = isinstance(table, dict) and bool(table)
        if not whole or not all(isinstance(cell, int | float | None) for cell in table.values()):
            raise DeparaError(f"{path}: expected {{label: {{layer: percent}}}}")
    return tables
