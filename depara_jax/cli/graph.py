"""`depara graph`: one model's deep attribution graph, saved as arrays."""

import argparse
import json
import time
from typing import Any

import numpy as np
from rich.console import Console

import depara_jax
from depara_jax.cli import common
from depara_jax.files import check_writable, write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("model", help="a name, ARCHITECTURE=WEIGHTS or ARCHITECTURE=random:SEED")
    parser.add_argument("--layer", help="by default the encoder layer")
    parser.add_argument(
        "--output", metavar="FILE.npz",
        help="save nodes and edges, with model, layer, recipe and the probe's fingerprint",
    )  # fmt: skip
    common.add_method_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Builds the graph and describes it."""
    if args.output is not None:
        check_writable(args.output, "--output", (".npz",))
    started = time.monotonic()
    recipe = common.read_recipe(args)
    model = depara_jax.load_model(args.model, zoo=args.zoo)
    layer = model.spec.check_layer(args.layer or model.spec.encoder)
    probe = common.read_probe(args)
    with common.progress_bar(console, f"graph of {model.name}") as progress:
        graph = depara_jax.attribution_graphs(
            model, probe, recipe, layers=[layer], progress=progress, **common.walk_options(args)
        )[layer]
    recipe = graph.info.recipe if graph.info else recipe  # with the grid that was found
    nodes, edges = np.asarray(graph.nodes), np.asarray(graph.edges)
    result = {
        "model": model.name,
        "layer": layer,
        "recipe": recipe.to_dict(),
        "probe": probe.to_dict(),
        "nodes": {"shape": list(nodes.shape), "zero_maps": graph.zero_nodes},
        "edges": {"shape": list(edges.shape), **_summary(edges)},
        "strongest": _strongest(edges, probe.ids),
        "provenance": depara_jax.store.method_facts(recipe, probe.fingerprint, [model]),
    }
    console.print(f"{graph!r} on {len(probe)} images of {probe.spec}")
    if edges.size:
        summary = [f"{key} {value:+.3f}" for key, value in _summary(edges).items()]
        console.print(f"edges: {', '.join(summary)}")
        for pair in result["strongest"]:
            console.print(f"  {pair['edge']:+.4f}  {pair['images'][0]}  {pair['images'][1]}")
    if args.output is not None:
        # What is needed to tell whether two saved graphs may be compared goes with the arrays.
        seconds = round(time.monotonic() - started, 3)
        known = {"command": args.command, "seconds": seconds, **result["provenance"]}
        content = {
            "nodes": nodes,
            "edges": edges,
            "ids": probe.ids,
            "model": model.name,
            "layer": layer,
            "probe": probe.fingerprint,
            "recipe": json.dumps(result["recipe"]),
            "provenance": json.dumps(depara_jax.store.provenance(known)),
        }
        arrays = {key: np.asarray(value) for key, value in content.items()}
        write_atomically(
            args.output, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays)
        )
        console.print(f"saved: {args.output}")
        result["output"] = args.output
    return result


def _summary(edges: np.ndarray) -> dict[str, float]:
    if not edges.size:
        return {}
    quantiles = np.quantile(edges.astype(np.float64), [0, 0.5, 1])
    return dict(zip(("min", "median", "max"), map(float, quantiles), strict=True))


def _strongest(edges: np.ndarray, ids: tuple[str, ...], count: int = 5) -> list[dict[str, Any]]:
    if not edges.size:
        return []
    rows, columns = np.triu_indices(len(ids), k=1)
    best = np.argsort(-edges, kind="stable")[:count]
    return [
        {"images": [ids[rows[i]], ids[columns[i]]], "edge": float(edges[i])} for i in best.tolist()
    ]
