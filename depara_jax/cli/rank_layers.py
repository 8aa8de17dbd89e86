"""`depara rank-layers`: which layer of a network to transfer from."""

import argparse
from typing import Any

from rich.console import Console

import depara_jax
from depara_jax.cli import common
from depara_jax.errors import DegenerateError, DeparaError

RESAMPLES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--target", required=True, help="the network of the target task")
    parser.add_argument("--source", required=True, help="the network whose layers are ranked")
    parser.add_argument(
        "--layers", metavar="A,B,...",
        help="layers of the source; by default all at the recipe's feature point",
    )  # fmt: skip
    parser.add_argument("--target-layer", help="layer of the target; by default the recipe's side")
    parser.add_argument(
        "--target-side", choices=("encoder", "logits"),
        help="what stands for the target: its most compact features, as the paper says, or its "
        "logits, as the authors' code does; by default the recipe's",
    )  # fmt: skip
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, metavar="N",
        help="resamples of the probe images that say how certain the choice is (default: "
        "%(default)s; 0: none)",
    )  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help="save the curve (.png, .svg)")
    common.add_method_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Ranks the layers."""
    if args.plot is not None:
        depara_jax.reporting.check_plot_path(args.plot)
    if args.resamples < 0:
        raise DeparaError(f"--resamples must be at least 0, got {args.resamples}")
    recipe = common.read_recipe(args)
    if args.target_side is not None:
        if args.target_layer is not None:
            raise DeparaError("give --target-side or --target-layer, not both")
        recipe = recipe.replace(target_side=args.target_side)
    target, source = (depara_jax.load_model(n, zoo=args.zoo) for n in (args.target, args.source))
    layers = common.split(args.layers, "--layers")
    probe = common.read_probe(args)
    with common.progress_bar(console, f"graphs of {source.name}") as progress:
        ranking = depara_jax.rank_layers(
            target, source, probe, recipe, layers=layers, target_layer=args.target_layer,
            progress=progress, **common.walk_options(args),
        )  # fmt: skip
    title = f"Layers of {source.name!r} to transfer from to {target.name!r}"
    certainty = _certainty(ranking, args.resamples, console)
    show_layers(console, ranking, certainty, title)
    if args.plot is not None:
        band = None if certainty is None else (certainty.low, certainty.high)
        figure = depara_jax.reporting.layer_curve(
            ranking.names, ranking.score, ranking.node, ranking.edge, band=band, title=title
        )
        console.print(f"curve: {depara_jax.reporting.save_figure(figure, args.plot)}")
    return {
        **ranking.to_dict(),
        "certainty": None if certainty is None else certainty.to_dict(),
        "provenance": {
            "target": str(ranking.target),
            "source": source.name,
            **depara_jax.store.method_facts(ranking.recipe, probe.fingerprint, [target, source]),
        },
    }


def _certainty(
    ranking: "depara_jax.Ranking", resamples: int, console: Console
) -> "depara_jax.evaluation.Certainty | None":
    """From resampled probe images; with very few of them there may be nothing to say."""
    if resamples == 0:
        return None
    try:
        return depara_jax.evaluation.choice_certainty(ranking, resamples=resamples)
    except DegenerateError as error:
        console.print(f"how certain the choice is cannot be said: {error}")
        return None


def show_layers(
    console: Console,
    ranking: "depara_jax.Ranking",
    certainty: "depara_jax.evaluation.Certainty | None",
    title: str,
) -> None:
    """The table of layers from shallow to deep, what was chosen, and how certain that is."""
    columns = ["layer", "rank", *common.TERMS]
    by_name = {row["layer"]: row for row in ranking.rows()}
    rows = [[by_name[name][column] for column in columns] for name in ranking.names]
    if certainty is not None:
        columns += [f"{certainty.level:.0%} interval", "best in"]
        for i, row in enumerate(rows):
            interval = f"{certainty.low[i]:+.3f} {certainty.high[i]:+.3f}"
            row += [interval, f"{certainty.share[i]:.0%}"]
    common.show_table(console, ranking, title, columns, rows)
    if certainty is None:
        console.print(f"best layer: {ranking.best}")
        return
    share = certainty.share[ranking.order[0]]
    console.print(
        f"best layer: {ranking.best}, best in {share:.0%} of {certainty.resamples} resamples of "
        "the probe images"
    )
    if rivals := certainty.rivals():
        console.print(f"the probe images do not rule out: {', '.join(rivals)}")
