"""`depara models`: what can be named."""

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

import depara_jax

FIELDS = ("name", "zoo", "architecture", "task")


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
    if args.name is not None:
        return _layers(args, console)
    specs = depara_jax.list_models(args.zoo)
    table = Table(caption="an architecture needs weights: NAME=FILE, or NAME=random:SEED")
    for column in FIELDS:
        table.add_column(column, overflow="fold")
    table.add_column("layers", justify="left" if args.layers else "right", overflow="fold")
    for spec in specs:
        layers = ", ".join(spec.layers) if args.layers else str(len(spec.layers))
        table.add_row(*(value or "-" for value in _described(spec).values()), layers)
    console.print(table)
    return {"models": [_described(spec) | {"layers": list(spec.layers)} for spec in specs]}


def _described(spec: "depara_jax.ModelSpec") -> dict[str, Any]:
    return {name: getattr(spec, name) for name in FIELDS}


def _layers(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    # Shapes do not depend on the weights' values.
    name = f"{args.name}=random:0" if args.name in depara_jax.models.ARCHITECTURES else args.name
    model = depara_jax.load_model(name, zoo=args.zoo or "mini")
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
        **_described(spec),
        "input": list(spec.input.shape),
        "encoder": spec.encoder,
        "logits": spec.logits,
        "layers": {layer: list(shapes[layer]) for layer in spec.layers},
    }
