"""`depara rank-models`: which network to transfer from."""

import argparse
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax.cli import common
from depara_jax.cli.estimate import load_array
from depara_jax.errors import DeparaError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--target", required=True, help="the network of the target task")
    parser.add_argument(
        "--sources", metavar="A,B,...", help="candidates; by default every other network of the zoo"
    )
    parser.add_argument(
        "--estimators", metavar="depara,A,B",
        help="rank by several estimators side by side, with a fused rank; `depara` is the method "
        "itself, the others are the rows that `depara estimate` prints",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="FILE.npy|folders",
        help="classes of the probe images for estimators that need them: an array, or the folder "
        "(for the photographs: the photograph) that each image is from",
    )  # fmt: skip
    common.add_method_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Ranks the sources."""
    if args.memory_limit is not None and args.estimators is not None:
        raise DeparaError(
            "--memory-limit serves DEPARA alone; the features that --estimators compares are held "
            "whole. Use --batch-size for the steps"
        )
    if args.labels is not None and args.estimators is None:
        raise DeparaError("--labels serves --estimators; DEPARA itself uses no labels")
    recipe = common.read_recipe(args)
    target = depara_jax.load_model(args.target, zoo=args.zoo)
    names = common.split(args.sources, "--sources", what="no network")
    if names is None:
        names = [spec.name for spec in depara_jax.list_models(args.zoo)]
        names = [name for name in names if name != target.name]
    sources = [depara_jax.load_model(name, zoo=args.zoo) for name in names]
    found = [source.spec.name for source in sources]
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise DeparaError(f"--sources names {', '.join(repeated)} more than once")
    probe = common.read_probe(args)
    title = f"Networks to transfer from to {target.name!r}"
    estimators = common.split(args.estimators, "--estimators", what="no estimator") or ["depara"]
    if args.estimators is None:
        with common.progress_bar(console, f"graphs of {len(sources) + 1} networks") as progress:
            result = depara_jax.rank_models(
                target, sources, probe, recipe, progress=progress, **common.walk_options(args)
            )
        common.show_ranking(console, result, title)
    else:
        labels = None if args.labels is None else _labels(args.labels, probe)
        with common.progress_bar(console, f"estimators on {len(sources)} networks") as progress:
            result = depara_jax.selection.rank_by_estimators(
                target, sources, probe, estimators, recipe=recipe, labels=labels,
                batch_size=args.batch_size, progress=progress,
            )  # fmt: skip
        _show_comparison(console, result, title)
    facts = {
        "target": str(result.target),
        "estimator": estimators[0],
        **depara_jax.store.method_facts(result.recipe, probe.fingerprint, [target, *sources]),
    }
    if args.labels not in (None, "folders"):
        facts["inputs"] = depara_jax.store.input_digests([args.labels])
    return {**result.to_dict(), "provenance": facts}


def _labels(text: str, probe: Any) -> np.ndarray:
    """Classes from an array file, or from the first part of each image's name."""
    if text != "folders":
        return load_array("--labels", text)
    if any("/" not in name for name in probe.ids):
        raise DeparaError("--labels folders: the probe images do not lie in a folder a class")
    return np.unique([name.split("/")[0] for name in probe.ids], return_inverse=True)[1]


def _show_comparison(
    console: Console, result: "depara_jax.selection.Comparison", title: str
) -> None:
    """Scores with ranks, the fused rank, seconds; what estimators lack below."""
    # A column takes about 16 characters with its score, 6 with its rank alone.
    with_scores = console.width >= 30 + 16 * len(result.columns)
    table = Table(title=title, title_justify="left")
    for name in ("model", "fused", *(column.name for column in result.columns)):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for i in result.order:
        table.add_row(
            result.names[i],
            f"{result.fused[i]:.3f}",
            *(_cell(column.values[i], column.ranks[i], with_scores) for column in result.columns),
        )
    console.print(table)
    seconds = ", ".join(f"{column.name} {column.seconds:.2f}" for column in result.columns)
    console.print(f"seconds: {seconds}; shared features {result.feature_seconds:.2f}")
    shown = "score (rank)" if with_scores else "rank; scores with --json or on a wider terminal"
    console.print(f"cells: {shown}; fused: mean reciprocal rank")
    for column in result.columns:
        for remark in dict.fromkeys(w for w in column.why if w):
            concerned = [n for n, w in zip(result.names, column.why, strict=True) if w == remark]
            of = "" if len(concerned) == len(result.names) else f" ({', '.join(concerned)})"
            console.print(f"{column.name}: {remark}{of}")


def _cell(value: float, rank: int | None, with_score: bool) -> str:
    if rank is None:
        return "-"
    return f"{value:.4g} ({rank})" if with_score else str(rank)
