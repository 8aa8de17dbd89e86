"""`depara models`: what can be named."""

import argparse
from typing import Any

from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("name", nargs="?", help="show this network's layers with their shapes")
    parser.add_argument(
        "--layers", action="store_true", help="list layers; a single network's always are"
    )
    parser.add_argument(
        "--zoo", help="only this zoo: a packaged one, a .toml manifest, or a folder"
    )


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Lists the networks, or one network's layers."""
    from depara_jax.models import list_models

    if args.name is not None:
        return _layers(args, console)
    specs = list_models(args.zoo)
    from rich.table import Table

    table = Table(caption="an architecture needs weights: NAME=FILE, or NAME=random:SEED")
    for column in ("name", "zoo", "architecture", "task"):
        table.add_column(column, overflow="fold")
    table.add_column("layers", justify="left" if args.layers else "right", overflow="fold")
    for spec in specs:
        layers = ", ".join(spec.layers) if args.layers else str(len(spec.layers))
        table.add_row(spec.name, spec.zoo or "-", spec.architecture, spec.task or "-", layers)
    console.print(table)
    return {
        "models": [
            {
                "name": spec.name,
                "zoo": spec.zoo,
                "architecture": spec.architecture,
                "task": spec.task,
                "layers": list(spec.layers),
            }
            for spec in specs
        ]
    }


def _layers(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from rich.table import Table

    from depara_jax.models import ARCHITECTURES, load_model

    # Shapes do not depend on the weights' values.
    name = f"{args.name}=random:0" if args.name in ARCHITECTURES else args.name
    model = load_model(name, zoo=args.zoo or "mini")
    spec, shapes = model.spec, model.feature_shapes()
    points = {layer: point for point, layers in spec.points for layer in layers}
    table = Table(title=f"{spec.name} ({spec.architecture}), input {spec.input.shape}")
    for column in ("layer", "features", "point"):
        table.add_column(column)
    for layer in spec.layers:
        notes = [points.get(layer, "")]
        notes += ["encoder"] * (layer == spec.encoder) + ["logits"] * (layer == spec.logits)
        shape = " x ".join(str(size) for size in shapes[layer])
        table.add_row(layer, shape, ", ".join(n for n in notes if n))
    console.print(table)
    return {
        "name": spec.name,
        "zoo": spec.zoo,
        "architecture": spec.architecture,
        "task": spec.task,
        "input": list(spec.input.shape),
        "encoder": spec.encoder,
        "logits": spec.logits,
        "layers": {layer: list(shapes[layer]) for layer in spec.layers},
    }
