"""`depara rank-layers`: which layer of a network to transfer from."""

import argparse
from typing import Any

from rich.console import Console

from depara_jax.cli.common import (
    add_method_arguments,
    add_zoo_argument,
    progress_bar,
    read_probe,
    read_recipe,
    show_ranking,
    split,
)


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
    parser.add_argument("--plot", default=None, metavar="FILE", help="save the curve (.png, .svg)")
    add_zoo_argument(parser)
    add_method_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Ranks the layers."""
    from depara_jax.models import load_model
    from depara_jax.selection import rank_layers

    if args.plot is not None:
        from depara_jax.reporting.plots import check_plot_path

        check_plot_path(args.plot)
    recipe = read_recipe(args)
    target = load_model(args.target, zoo=args.zoo)
    source = load_model(args.source, zoo=args.zoo)
    layers = split(args.layers, "--layers")
    probe = read_probe(args)
    with progress_bar(console, f"graphs of {source.name}") as progress:
        ranking = rank_layers(
            target, source, probe, recipe, layers=layers, target_layer=args.target_layer,
            batch_size=args.batch_size, progress=progress,
        )  # fmt: skip
    title = f"Layers of {source.name!r} to transfer from to {target.name!r}"
    show_ranking(console, ranking, probe, title)
    console.print(f"best layer: {ranking.best}")
    if args.plot is not None:
        from depara_jax.reporting import layer_curve, save_figure

        figure = layer_curve(ranking.names, ranking.score, ranking.node, ranking.edge, title=title)
        console.print(f"curve: {save_figure(figure, args.plot)}")
    return {
        **ranking.to_dict(),
        "target": target.name,
        "target_layer": ranking.target.split(":", 1)[1],
        "source": source.name,
        "layers": list(ranking.names),
        "recipe": recipe.name,
        "settings": ranking.recipe.to_dict(),
        "probe": {"source": str(probe.spec), "images": len(probe), "fingerprint": ranking.probe},
    }
