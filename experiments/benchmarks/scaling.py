"""What grows with models, images and layers, and how: `python -m experiments.benchmarks.scaling`.

Prints one JSON line: seconds at several sizes, and the slope of log seconds over log size. Images,
layers and networks are those of the packaged zoo, compiled before the clock starts; vectors are
synthetic, at 1,000 models more than the zoo has. Adding one model to a zoo of 1,000 is its graph
(one pass), its vector and one product of that with the others.

Seconds are processor seconds of all threads, the best of `--repeats`; `--figure` draws them.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax import load_model, load_probe
from depara_jax.graph import embed
from depara_jax.graph.similarity import add_node_products, products
from depara_jax.models import list_models
from depara_jax.recipe import RECIPES
from depara_jax.reporting.style import new_figure, save_figure, tidy
from depara_jax.selection import attribution_graphs
from experiments.benchmarks.common import own_peak_mb, script
from experiments.benchmarks.machine import best

RECIPE = RECIPES["default"].replace(name="default-mean", channel_reduction="mean")
Curve = dict[str, Any]
SIZES = {
    "images": (25, 50, 100, 200), "layers": (1, 2, 4, 8, 12), "models": (1, 10, 100, 1000),
    "maps": (2, 5, 10, 20, 50, 100), "chunk": 8, "entries": 16_384, "length": 40_000,
}  # fmt: skip
QUICK = {
    "images": (6, 12), "layers": (1, 3), "models": (1, 10), "maps": (2, 4), "chunk": 2,
    "entries": 1000, "length": 500
}  # fmt: skip


def curve(sizes: Iterable[int], prepare: Callable[[int], Callable[[], Any]], repeats: int) -> Curve:
    """Seconds at each size and their exponent; `prepare` makes the work, unmeasured."""
    sizes = list(sizes)
    seconds = [max(best(prepare(size), repeats), 1e-9) for size in sizes]
    half = len(sizes) // 2 - 1
    return {
        "sizes": sizes,
        "seconds": [float(f"{s:.4g}") for s in seconds],
        "exponent": exponent(sizes, seconds),
        "exponent_without_smallest": exponent(sizes[half:], seconds[half:]),
    }


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the line through (log size, log seconds)."""
    return round(float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]), 2)


def vectors(count: int, length: int) -> jax.Array:
    """Seeded vectors of graphs."""
    return jnp.asarray(np.random.default_rng(3).standard_normal((count, length), np.float32))


def curves(args: SimpleNamespace) -> dict[str, Curve]:
    """Every curve by its name."""
    specs = list_models("mini")
    network = load_model(specs[0].name)
    probe = lambda count: load_probe(f"photographs:probe[:{count}]")  # noqa: E731
    graphs = lambda images, layers: attribution_graphs(network, images, RECIPE, layers=layers)  # noqa: E731
    fixed, layers = probe(args.images[-2]), network.spec.layers

    def of_images(count: int) -> Callable[[], Any]:
        images = probe(count)
        return lambda: graphs(images, (network.spec.encoder,))

    def of_layers(count: int) -> Callable[[], Any]:
        return lambda: graphs(fixed, layers[-count:])

    def of_maps(count: int) -> Callable[[], Any]:
        every = vectors(count, args.chunk * args.entries).reshape(count, args.chunk, -1)
        nodes = jax.block_until_ready(list(every))
        return lambda: add_node_products(jnp.zeros((count, count)), nodes)

    def of_pairs(count: int) -> Callable[[], Any]:
        rows = vectors(count, args.length)
        return lambda: products(rows, rows)

    def of_zoo(count: int) -> Callable[[], Any]:
        rows, new = vectors(count, args.length), vectors(1, args.length)
        return lambda: products(new, rows)

    return {
        "images_one_pass": curve(args.images, of_images, args.repeats),
        "layers_one_pass": curve(args.layers, of_layers, args.repeats),
        "models_node_products": curve(args.maps, of_maps, args.repeats),
        "models_all_pairs": curve(args.models, of_pairs, args.repeats),
        "models_one_against_all": curve(args.models, of_zoo, args.repeats),
    }


def adding(args: SimpleNamespace) -> dict[str, Any]:
    """Seconds of the parts of adding one model to a zoo of the largest size."""
    network = load_model(list_models("mini")[0].name)
    probe = load_probe(f"photographs:probe[:{args.images[-2]}]")
    one_pass = lambda: attribution_graphs(network, probe, RECIPE)[network.spec.encoder]  # noqa: E731
    graph = one_pass()
    vector = embed(graph)
    rows = vectors(args.models[-1] - 1, len(vector))
    parts = {
        "pass": one_pass,
        "vector": lambda: embed(graph),
        "product": lambda: products(vector[None], rows),
        "all_pairs_again": lambda: products(rows, rows),
    }
    seconds = {
        f"{name}_s": float(f"{best(work, args.repeats):.4g}") for name, work in parts.items()
    }
    total = sum(seconds[f"{name}_s"] for name in ("pass", "vector", "product"))
    return {
        "zoo": len(rows), "images": len(probe), "vector_length": len(vector), **seconds,
        "in_passes": round(total / seconds["pass_s"], 3),
    }  # fmt: skip


def draw(results: dict[str, Curve], path: Path) -> None:
    """All curves in one log-log picture, with their exponents."""
    picture, axes = new_figure(7.0, 5.0)
    for name, curve in results.items():
        label = f"{name.replace('_', ' ')}: {curve['exponent']}"
        axes.loglog(curve["sizes"], curve["seconds"], marker="o", label=label)
    tidy(axes, title="cost, and its exponent", xlabel="images, layers or models",
         ylabel="processor seconds")  # fmt: skip
    axes.legend(fontsize=8)
    save_figure(picture, path)


def measure(repeats: int = 5, figure: Path | None = None, quick: bool = False) -> dict[str, Any]:
    """The line's content; the curves are drawn to `figure`."""
    args = SimpleNamespace(repeats=repeats, **(QUICK if quick else SIZES))
    load = os.getloadavg()[0]
    results, added = curves(args), adding(args)
    if figure:
        draw(results, figure)
    return {
        "benchmark": "scaling",
        "curves": results,
        "adding_one_model": added,
        "peak_mb": own_peak_mb(),
        "load_before_after": [load, os.getloadavg()[0]],
    }


main = script(measure, {"repeats": 2}, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
