"""Similarity of all pairs of models against the authors' loops: ratios measured in one run.

    python -m experiments.benchmarks.similarity [--quick]

Prints one JSON line. 20 models x 1,000 images x 65,536 map entries and 499,500 edges, then 100
models. Maps are made chunk by chunk from a seed; the time for that counts on neither side. Ours is
what `compare_models` calls with each chunk (`add_node_products`) and at the end (`edge_vectors`,
`products`). The peers are measured on a sample of pairs of models and scaled to all pairs, which
is exact for loops; at 100 models ours is measured on some of the images and scaled to all.

Seconds are processor seconds of all threads, since the machine may be shared: they favour the
peers, which use one core where ours uses all. Wall seconds stand beside them. The peers run with
one BLAS thread, as waiting threads would count.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.benchmarks.common import clocks, fresh_process, own_peak_mb, script, summary, timed
from experiments.benchmarks.machine import rates
from experiments.benchmarks.peers import similarity_loops as peers

MODULE = "experiments.benchmarks.similarity"
CHUNK = 8  # images a step at 256 x 256 pixels, as `default_batch_size` has it
BANK = 64


class Maps:
    """Seeded maps of any model and image: one shared by the models and one of its own, weighted."""

    def __init__(self, models: int, entries: int):
        rng = np.random.default_rng(8)
        self.bank = rng.standard_normal((BANK, entries), np.float32)
        self.weights = rng.uniform(0.2, 1.5, models).astype(np.float32)

    def chunk(self, start: int, count: int) -> list[np.ndarray]:
        """Maps [count, p] of every model, images from `start` on."""
        chunks, images = [], np.arange(start, start + count)
        for model, weight in enumerate(self.weights):
            own = (images * 7 + model * 13 + 1 + images // BANK * (model + 1)) % BANK
            chunks.append(self.bank[images % BANK] + weight * self.bank[own])
        return chunks


def edges_of(models: int, count: int) -> Iterator[np.ndarray]:
    """Seeded edges [e] of each model, with something in common."""
    rng = np.random.default_rng(9)
    shared = rng.standard_normal(count, np.float32)
    noise = rng.uniform(0.3, 2, models).astype(np.float32)
    return (shared + w * rng.standard_normal(count, np.float32) for w in noise)


def ours(args: SimpleNamespace) -> dict[str, Any]:
    """Seconds of each part, what the first calls took more, peak memory, the numbers themselves."""
    import jax
    import jax.numpy as jnp

    from depara_jax.graph.similarity import add_node_products, edge_vectors, products

    maps, gram = Maps(args.models, args.entries), jnp.zeros((args.models, args.models))
    node_seconds, edge_seconds, first_chunk, edge = [], [], gram, gram
    for start in range(0, args.images, CHUNK):
        # JAX copies in the background: not while the clock runs.
        nodes = jax.block_until_ready([jnp.asarray(one) for one in maps.chunk(start, CHUNK)])
        step = lambda g=gram, n=nodes: jax.block_until_ready(add_node_products(g, n))  # noqa: E731
        gram, *seconds = timed(step)
        node_seconds.append(seconds)
        first_chunk = gram if start == 0 else first_chunk
    del nodes, step
    parts = jax.block_until_ready([jnp.asarray(row) for row in edges_of(args.models, args.edges)])

    def edge_term() -> jax.Array:
        vectors = edge_vectors(parts)
        return jax.block_until_ready(products(vectors, vectors))

    for _ in range(args.repeats + 1):
        edge, *seconds = timed(edge_term)
        edge_seconds.append(seconds)
    compiling = sum(
        rows[0][1] - min(wall for _, wall in rows) for rows in (node_seconds, edge_seconds)
    )
    return {
        "nodes": clocks(node_seconds[1:], args.total / CHUNK),
        "edges": clocks(edge_seconds[1:]),
        "compile_s": round(max(0.0, compiling), 3),
        "peak_mb": own_peak_mb(),
        "node_numbers": (np.asarray(first_chunk, float) / CHUNK).tolist(),
        "edge_numbers": np.asarray(edge, float).tolist(),
    }


def published(args: SimpleNamespace) -> dict[str, Any]:
    """Seconds of the loops for all pairs, from a sample of them, and what they found there."""
    nodes = [one.astype(np.float64) for one in Maps(args.models, args.entries).chunk(0, CHUNK)]
    edges = np.stack(list(edges_of(args.models, args.edges)), dtype=np.float64)
    pairs = list(itertools.combinations(range(args.models), 2))
    chosen = pairs[:: max(1, len(pairs) // 40)]
    found, times = [], {"nodes": [], "edges": []}
    for i, j in chosen:
        value, *seconds = timed(lambda i=i, j=j: peers.node_term(nodes[i], nodes[j]))
        found.append({"pair": (i, j), "node": value})
        times["nodes"].append(seconds)
    for row in found[:: max(1, len(found) // args.repeats)]:
        i, j = row["pair"]
        row["edge"], *seconds = timed(lambda i=i, j=j: peers.edge_term(edges[i], edges[j]))
        times["edges"].append(seconds)
    scale = {"nodes": len(pairs) * args.total / CHUNK, "edges": len(pairs)}
    return {part: clocks(rows, scale[part]) for part, rows in times.items()} | {
        "pairs": len(pairs),
        "pairs_measured": {part: len(rows) for part, rows in times.items()},
        "found": found,
        "rates": rates(),
    }


def numpy_version(args: SimpleNamespace) -> dict[str, Any]:
    """Seconds of the procedure written well in numpy and scipy."""
    maps, steps = Maps(args.models, args.entries), args.total / CHUNK
    edges = np.stack(list(edges_of(args.models, args.edges)))
    chunks = (maps.chunk(start, CHUNK) for start in range(0, min(args.images, 10 * CHUNK), CHUNK))
    cpu = [timed(lambda c=chunk: peers.numpy_node_products(c))[1] for chunk in chunks]
    edge_cpu = [timed(lambda: peers.numpy_edge_matrix(edges))[1] for _ in range(args.repeats)]
    return {"nodes": {"cpu": summary(cpu, steps)}, "edges": {"cpu": summary(edge_cpu)}}


PARTS = {"ours": ours, "published": published, "numpy": numpy_version}


def case(options: dict[str, int]) -> dict[str, Any]:
    """One number of models: every side in a process of its own, one after the other."""
    run = lambda part, alone: fresh_process(  # noqa: E731
        MODULE, {"part": part} | options, one_thread=alone
    )
    mine, loops, well = run("ours", False), run("published", True), run("numpy", True)
    machine, found = loops.pop("rates"), loops.pop("found")
    node, edge = mine.pop("node_numbers"), mine.pop("edge_numbers")
    differences = {
        part: max(abs(row[part] - table[row["pair"][0]][row["pair"][1]])
                  for row in found if part in row)
        for part, table in (("node", node), ("edge", edge))
    }  # fmt: skip

    def ratio(other: dict[str, Any], clock: str = "cpu", which: str = "median") -> float:
        theirs, own = (
            sum(side[part][clock][which] for part in ("nodes", "edges")) for side in (other, mine)
        )
        return theirs / own

    return {
        "ratio": round(ratio(loops), 1),
        "ratio_of_best": round(ratio(loops, which="best"), 1),
        "ratio_wall": round(ratio(loops, "wall"), 1),
        "ratio_vs_numpy": round(ratio(well), 2),
        "ours": mine,
        "published": loops,
        "numpy": well,
        "largest_difference": differences,
        "floor": floor(options, machine, mine),
    }


def floor(
    options: dict[str, int], machine: dict[str, float], mine: dict[str, Any]
) -> dict[str, Any]:
    """What the work needs: every map read once, half of a symmetric product, every edge sorted."""
    pairs = options["models"] * (options["models"] + 1) / 2
    node_numbers = options["total"] * options["entries"]
    gflop = {"nodes": 2e-9 * pairs * node_numbers, "edges": 2e-9 * pairs * options["edges"]}
    gbytes = {"nodes": 4e-9 * options["models"] * node_numbers,
              "edges": 4e-9 * options["models"] * options["edges"]}  # fmt: skip
    seconds = {
        part: max(gflop[part] / machine["matmul_gflops"], gbytes[part] / machine["copy_gb_s"])
        for part in gflop
    }
    seconds["edges"] += 1e-6 * options["models"] * options["edges"] / machine["sort_million_s"]
    share = {part: round(seconds[part] / mine[part]["cpu"]["median"], 3) for part in seconds}
    rounded = {part: round(value, 3) for part, value in seconds.items()}
    return {"gflop": gflop, "gbytes": gbytes, "seconds": rounded, "share": share} | machine


def measure(
    part: str | None = None,
    models: int = 20,
    total: int = 1000,
    images: int = 1000,
    entries: int = 65536,
    edges: int = 499_500,
    repeats: int = 5,
    quick: bool = False,
) -> dict[str, Any]:
    """The line's content; with `part` that of one side alone, which is for a fresh process."""
    size = {"total": total, "images": images, "entries": entries, "edges": edges,
            "repeats": repeats}  # fmt: skip
    if part:
        return PARTS[part](SimpleNamespace(models=models, **size))
    load = os.getloadavg()[0]
    few, many, some = models, 12 if quick else 100, min(images, 96)
    small = case({"models": few} | size)
    large = case({"models": many} | size | {"images": some})
    return {
        "benchmark": "similarity",
        "ratio_20": small["ratio"],
        "ratio_100": large["ratio"],
        "compile_s": small["ours"]["compile_s"],
        "peak_mb": small["ours"]["peak_mb"],
        "floor_share": small["floor"]["share"]["nodes"],
        "models": {str(few): small, str(many): large},
        "images_measured": {"ours": {str(few): images, str(many): some}, "published": CHUNK},
        "scaled_to_images": total,
        "load_before_after": [load, os.getloadavg()[0]],
    }


QUICK = {"models": 5, "total": 32, "images": 32, "entries": 2000, "edges": 20_000, "repeats": 2}
main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
