"""`depara index`: which of many stored networks are most similar to one."""

import argparse
import json
import time
from typing import Any

from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax import index as indexes
from depara_jax.cli.common import add_action, progress_bar
from depara_jax.errors import DeparaError
from depara_jax.files import check_writable, load_arrays
from depara_jax.recipe import Recipe, recipe_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-verbs and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = add_action(actions, "build", "make an index of the graphs of a store")
    build.add_argument("store", metavar="STORE")
    build.add_argument("--output", required=True, metavar="FILE")
    build.add_argument("--dim", type=int, default=4096, help="entries of the random projection")
    build.add_argument("--exact", action="store_true", help="keep whole vectors, no projection")
    build.add_argument("--seed", type=int, default=0, help="of the projection")
    build.add_argument("--recipe", help="where the store has graphs of several")
    build.add_argument("--lam", type=float, help="weight of the edges; needs --recipe")
    build.add_argument(
        "--probe-set", metavar="DIGITS", help="where the store has several: the "
        "beginning of its fingerprint"
    )  # fmt: skip
    add = add_action(actions, "add", "add graphs that an index does not have yet")
    add.add_argument("file", metavar="FILE")
    add.add_argument("store", metavar="STORE")
    query = add_action(actions, "query", "the models most similar to one")
    query.add_argument("file", metavar="FILE")
    query.add_argument(
        "model", metavar="MODEL", help="MODEL or MODEL:LAYER of the index, or a graph.npz that "
        "`depara graph --output` wrote"
    )  # fmt: skip
    query.add_argument("--top", type=int, default=10)
    query.add_argument("--store", help="rank the shortlist by exact similarity, from this store")
    query.add_argument("--shortlist", type=int, help="how many, with --store "
                       "(by default 100, or 10 times --top)")  # fmt: skip
    export = add_action(actions, "export", "hand an index over to a library of approximate search")
    export.add_argument("file", metavar="FILE")
    export.add_argument("--to", choices=("npy", "faiss", "usearch"), required=True)
    export.add_argument("--output", required=True, metavar="FILE")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Builds, extends, asks or exports."""
    actions = {"build": _build, "add": _add, "query": _query, "export": _export}
    return actions[args.action](args, console)


def _build(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    if args.lam is not None and args.recipe is None:
        raise DeparaError("--lam changes a recipe; name it with --recipe")
    check_writable(args.output, "--output")
    recipe = None if args.recipe is None else recipe_named(args.recipe, lam=args.lam)
    store = depara_jax.store.Store(args.store)
    with progress_bar(console, "index") as progress:
        index = indexes.build_index(
            store, args.output, dim=None if args.exact else args.dim, seed=args.seed,
            recipe=recipe, probe=args.probe_set, progress=progress,
        )  # fmt: skip
    return _described(index, console, len(index))


def _add(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    index, store = indexes.Index(args.file), depara_jax.store.Store(args.store)
    with progress_bar(console, "index") as progress:
        index, added = indexes.add_to_index(index, store, progress=progress)
    return _described(index, console, added)


def _described(index: Any, console: Console, added: int) -> dict[str, Any]:
    header, recipe = index.header, Recipe.from_dict(index.header.recipe)
    norm = (recipe.node_weight + recipe.lam) ** 0.5
    # Of a similarity of 0; at the similarity of a graph with itself it is sqrt(2) times as much.
    error = 0.0 if header.exact else indexes.standard_error(header.dim, norm, norm)
    kind = "exact" if header.exact else f"projected to {header.dim}, standard error {error:.4f}"
    console.print(f"{index.path}: {len(index)} graphs ({added} added), {kind}")
    return {
        "index": index.path,
        "graphs": len(index),
        "added": added,
        **{name: getattr(header, name) for name in ("dim", "exact", "seed")},
        "standard_error": error,
        "recipe": recipe.to_dict(),
        "probe": {"source": None, "images": header.images, "fingerprint": header.probe},
        "provenance": _facts(header),
    }


def _query(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    if args.shortlist is not None and args.store is None:
        raise DeparaError("--shortlist serves --store, which ranks it exactly")
    index = indexes.Index(args.file)
    model = _graph(args.model, index) if args.model.endswith(".npz") else args.model
    store = None if args.store is None else depara_jax.store.Store(args.store)
    shortlist = args.shortlist or max(100, 10 * args.top)
    started = time.monotonic()
    matches = indexes.query_index(index, model, top=args.top, store=store, shortlist=shortlist)
    seconds = time.monotonic() - started
    table = Table(title=f"Most similar to {args.model}", title_justify="left")
    for column in ("rank", "model", "layer", "estimate", "score"):
        table.add_column(column, justify="left" if column in ("model", "layer") else "right")
    for rank, match in enumerate(matches, 1):
        score = f"{match.score:+.4f}" if matches.exact else "-"
        table.add_row(str(rank), match.model, match.layer, f"{match.estimate:+.4f}", score)
    console.print(table)
    more = {"index": index.path, "seconds": round(seconds, 4)}
    return {**matches.to_dict(), **more, "provenance": _facts(index.header)}


def _facts(header: Any) -> dict[str, Any]:
    """What the graphs of an index are of; their code, not the one that is running."""
    known = {name: getattr(header, name) for name in ("recipe", "probe", "code")}
    return known | {"dtype": "float32"}


def _graph(path: str, index: Any) -> Any:
    """A graph that `depara graph --output` wrote, by the code that made those of the index."""
    import jax.numpy as jnp

    arrays = load_arrays(path)
    needed = {"nodes", "edges", "model", "layer", "probe", "recipe"}
    if not isinstance(arrays, dict) or not needed <= set(arrays):
        raise DeparaError(f"{path}: not a graph; `depara graph --output` writes one")
    try:
        recipe = Recipe.from_dict(json.loads(str(arrays["recipe"])))
        origin = json.loads(str(arrays.get("provenance", "{}")))
    except DeparaError as error:
        raise DeparaError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise DeparaError(f"{path}: its recipe is not readable") from error
    # Probe set and recipe are looked at by the query, which knows what of a recipe counts.
    ours, theirs = {"code": origin.get("code")}, {"code": index.header.code}
    depara_jax.store.check_comparable(ours, theirs, names=(path, f"index {index.path}"))
    model, layer, probe = (str(arrays[name]) for name in ("model", "layer", "probe"))
    info = depara_jax.graph.GraphInfo(model, layer, probe, recipe)
    nodes, edges = jnp.asarray(arrays["nodes"]), jnp.asarray(arrays["edges"])
    return depara_jax.AttributionGraph(nodes, edges, info)


def _export(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from depara_jax.index.handover import export_index

    check_writable(args.output, "--output")
    count = export_index(indexes.Index(args.file), args.output, args.to)
    names = f"{args.output}.names.json"
    console.print(f"{args.output}: {count} rows; their names in {names}")
    return {"output": args.output, "names": names, "rows": count}
