"""`depara rank-layers`: which layer of a network to transfer from."""

import argparse
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from depara_jax.cli.common import (
    add_method_arguments,
    add_zoo_argument,
    heading,
    progress_bar,
    read_probe,
    read_recipe,
    show_notes,
    split,
    walk_options,
)
from depara_jax.errors import DegenerateError, DeparaError

if TYPE_CHECKING:
    from depara_jax.evaluation import Certainty
    from depara_jax.selection import Ranking

RESAMPLES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--target", required=True, help="the network of the target task")
    parser.add_argument("--source", required=True, help="the network whose layers are ranked")
    parser.add_argument(
        "--layers", default=None, metavar="A,B,...",
        help="layers of the source; by default all at the recipe's feature point",
    )  # fmt: skip
    parser.add_argument(
        "--target-layer", default=None, help="layer of the target; by default the recipe's side"
    )
    parser.add_argument(
        "--target-side", choices=("encoder", "logits"), default=None,
        help="what stands for the target: its most compact features, as the paper says, or its "
        "logits, as the authors' code does; by default the recipe's",
    )  # fmt: skip
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, metavar="N",
        help="resamples of the probe images that say how certain the choice is (default: "
        "%(default)s; 0: none)",
    )  # fmt: skip
    parser.add_argument("--plot", default=None, metavar="FILE", help="save the curve (.png, .svg)")
    add_zoo_argument(parser)
    add_method_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Ranks the layers."""
    from depara_jax.models import load_model
    from depara_jax.selection import rank_layers
    from depara_jax.store import method_facts

    if args.plot is not None:
        from depara_jax.reporting import check_plot_path

        check_plot_path(args.plot)
    if args.resamples < 0:
        raise DeparaError(f"--resamples must be at least 0, got {args.resamples}")
    recipe = read_recipe(args)
    if args.target_side is not None:
        if args.target_layer is not None:
            raise DeparaError("give --target-side or --target-layer, not both")
        recipe = recipe.replace(target_side=args.target_side)
    target = load_model(args.target, zoo=args.zoo)
    source = load_model(args.source, zoo=args.zoo)
    layers = split(args.layers, "--layers")
    probe = read_probe(args)
    with progress_bar(console, f"graphs of {source.name}") as progress:
        ranking = rank_layers(
            target, source, probe, recipe, layers=layers, target_layer=args.target_layer,
            progress=progress, **walk_options(args),
        )  # fmt: skip
    title = f"Layers of {source.name!r} to transfer from to {target.name!r}"
    certainty = _certainty(ranking, args.resamples, console)
    show_layers(console, ranking, certainty, title)
    if args.plot is not None:
        from depara_jax.reporting import layer_curve, save_figure

        band = None if certainty is None else (certainty.low, certainty.high)
        figure = layer_curve(
            ranking.names, ranking.score, ranking.node, ranking.edge, band=band, title=title
        )
        console.print(f"curve: {save_figure(figure, args.plot)}")
    return {
        **ranking.to_dict(),
        "certainty": None if certainty is None else certainty.to_dict(),
        "provenance": {
            "target": str(ranking.target),
            "source": source.name,
            **method_facts(ranking.recipe, probe.fingerprint, [target, source]),
        },
    }


def _certainty(ranking: "Ranking", resamples: int, console: Console) -> "Certainty | None":
    """From resampled probe images; with very few of them there may be nothing to say."""
    from depara_jax.evaluation import choice_certainty

    if resamples == 0:
        return None
    try:
        return choice_certainty(ranking, resamples=resamples)
    except DegenerateError as error:
        console.print(f"how certain the choice is cannot be said: {error}")
        return None


def show_layers(
    console: Console, ranking: "Ranking", certainty: "Certainty | None", title: str
) -> None:
    """The table of layers from shallow to deep, what was chosen, and how certain that is."""
    table = Table(title=title, caption=heading(ranking), title_justify="left")
    for column in ("layer", "rank", "score", "node", "edge"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    if certainty is not None:
        table.add_column(f"{certainty.level:.0%} interval", justify="right")
        table.add_column("best in", justify="right")
    columns = (ranking.score, ranking.node, ranking.edge)
    for i, name in enumerate(ranking.names):
        numbers = ["-" if values is None else f"{values[i]:+.4f}" for values in columns]
        more = []
        if certainty is not None:
            more = [
                f"{certainty.low[i]:+.3f} {certainty.high[i]:+.3f}",
                f"{certainty.share[i]:.0%}",
            ]
        table.add_row(name, str(ranking.ranks[i]), *numbers, *more)
    console.print(table)
    show_notes(console, ranking)
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
