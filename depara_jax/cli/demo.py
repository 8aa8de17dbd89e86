"""`depara demo`: the main job on what comes with the package."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import depara_jax
from depara_jax.cli.common import add_zoo_argument, progress_bar, show_ranking
from depara_jax.cli.main import with_provenance, write_json
from depara_jax.errors import DeparaError
from depara_jax.files import check_writable
from depara_jax.recipe import RECIPES, Recipe, recipe_named

SHOWN_IMAGES = 6
SHOWN_MODELS = 5
PICTURES = ("similarity.png", "layers.png", "attributions.png")
RESULTS = "results.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--target", default="edges", help="the network of the target task")
    parser.add_argument("--images", type=int, default=200, help="probe images")
    parser.add_argument("--recipe", default="default", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--output", default="depara-out", help="folder for pictures and numbers")
    add_zoo_argument(parser)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Ranks the zoo's networks for the target, then the layers of the best one, and draws both."""
    started = time.monotonic()
    recipe = recipe_named(args.recipe)
    if recipe.target_side == "logits":
        raise DeparaError(
            f"--recipe {args.recipe}: it represents the target by its logits, and the demo ranks "
            "networks by their encoders first; choose another --recipe"
        )
    target = depara_jax.load_model(args.target, zoo=args.zoo)
    names = [spec.name for spec in depara_jax.list_models(args.zoo)]
    models = [depara_jax.load_model(name, zoo=args.zoo) for name in names]
    sources = [model for model in models if model.name != target.name]
    probe = depara_jax.load_probe("photographs:probe", count=args.images)
    output = _folder(args.output)
    console.print(
        f"{len(models)} trained networks of zoo {args.zoo!r}, {len(probe)} unlabelled photographs"
    )
    with progress_bar(console, "graphs of all networks") as progress:
        ranking = depara_jax.rank_models(target, sources, probe, recipe, progress=progress)
    show_ranking(console, ranking, f"Networks to transfer from to {target.name!r}")
    ordered = [sources[i] for i in ranking.order]
    best = ordered[0]
    with progress_bar(console, f"graphs of {best.name}'s layers") as progress:
        layers = depara_jax.rank_layers(target, best, probe, recipe, progress=progress)
    show_ranking(console, layers, f"Layers of {best.name!r} to transfer from")
    with progress_bar(console, "all pairs of networks") as progress:
        matrix = depara_jax.compare_models(models, probe, recipe, progress=progress)
    shown = [target, *ordered[:SHOWN_MODELS]]
    pictures = _draw(output, matrix, ranking, layers, shown, probe)
    console.print(
        f"Transfer to {target.name!r} from network {ranking.best!r}, layer {layers.best!r}."
    )
    for kind, path in pictures.items():
        console.print(f"{kind}: {path}")
    result = {
        "models": ranking.to_dict(),
        "layers": layers.to_dict(),
        "pictures": {kind: str(path) for kind, path in pictures.items()},
        "seconds": round(time.monotonic() - started, 1),
        "provenance": {
            "target": str(ranking.target),
            **depara_jax.store.method_facts(matrix.recipe, probe.fingerprint, models),
        },
    }
    saved = with_provenance(matrix.to_dict() | result, args.command, started)
    write_json(saved, str(output / RESULTS))
    console.print(f"numbers, with where they come from: {output / RESULTS}")
    return result | {"results": str(output / RESULTS)}


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeparaError(f"--output {path}: cannot make this folder ({error.strerror})") from error
    for name in (*PICTURES, RESULTS):
        check_writable(folder / name, "--output")
    return folder


def _draw(
    output: Path,
    matrix: "depara_jax.selection.ModelSimilarity",
    ranking: "depara_jax.Ranking",
    layers: "depara_jax.Ranking",
    shown: "list[depara_jax.Model]",
    probe: "depara_jax.Probe",
) -> dict[str, Path]:
    """The heat map, the layer curve and the grid of attribution maps."""
    reporting, target = depara_jax.reporting, shown[0].name
    heatmap = reporting.similarity_heatmap(
        matrix.score, matrix.names, label="similarity s(G, G')",
        title=f"Similarity of deep attribution graphs, {len(probe)} photographs",
    )  # fmt: skip
    curve = reporting.layer_curve(
        layers.names, layers.score, layers.node, layers.edge,
        title=f"Layers of {ranking.best!r} for {target!r}",
    )  # fmt: skip
    few = probe.subset(np.linspace(0, len(probe) - 1, SHOWN_IMAGES).round().astype(int))
    grid = reporting.attribution_grid(
        np.stack([few.thumbnail(i) for i in range(len(few))]),
        [_maps(model, few, matrix.recipe) for model in shown],
        [model.name for model in shown],
        rows=[name.split("/")[0] for name in few.ids],
        title=f"Attribution maps: {target!r}, then the networks ranked for it, best first",
    )
    figures = {"similarity heat map": heatmap, "layer curve": curve, "attribution maps": grid}
    return {
        kind: reporting.save_figure(figure, output / picture)
        for (kind, figure), picture in zip(figures.items(), PICTURES, strict=True)
    }


def _maps(model: "depara_jax.Model", probe: "depara_jax.Probe", recipe: Recipe) -> np.ndarray:
    import jax.numpy as jnp

    layer, images = model.spec.encoder, jnp.asarray(probe.array(model.spec.input))
    _, maps = depara_jax.attribute(
        model.forward, model.variables, images, (layer,), recipe.map_part()
    )
    return np.asarray(maps[layer])
