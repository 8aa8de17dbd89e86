"""Query time, recall and projection error of the index: `python -m experiments.benchmarks.index`.

Rows are perturbed copies of real graphs: those of every layer of the packaged zoo on photographs.
A copy drifts towards another real graph (by 0 to 30%, as a network that is trained on does) and
gets noise (a twentieth of its length to its whole length). Queries are copies that are not in the
index. What is right is the similarity of the whole vectors, computed beside.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from depara_jax import load_model, load_probe
from depara_jax.graph import embed
from depara_jax.index import Index, IndexHeader, Projection, query_index, standard_error
from depara_jax.index.build import build_index
from depara_jax.index.query import nearest_rows
from depara_jax.models import list_models
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.store import Store, artefact_key, code_version, save_graph
from experiments.benchmarks.common import script, timed

RECIPE = RECIPES["default"].replace(name="default-mean", channel_reduction="mean")
SHORTLISTS = (10, 50, 100, 200, 500)
TOP, BATCH = 10, 500


def real_graphs(store: Store, images: int) -> np.ndarray:
    """Vectors of every layer of every packaged network; their graphs go to the store."""
    probe, vectors = load_probe(f"photographs:probe[:{images}]"), []
    for spec in list_models("mini"):
        model = load_model(spec.name)
        graphs = attribution_graphs(model, probe, RECIPE, layers=spec.layers)
        for layer, graph in graphs.items():
            key = artefact_key("graph", model, layer, RECIPE, probe.fingerprint)
            save_graph(store, key, graph, provenance={})
            vectors.append(np.asarray(embed(graph)))
    return np.stack(vectors)


class Copies:
    """Perturbed copies of vectors, any number of them, always the same."""

    def __init__(self, vectors: np.ndarray, images: int):
        self.vectors, self.images = vectors, images
        self.edges = images * (images - 1) // 2

    def make(self, count: int, seed: int) -> np.ndarray:
        """Some copies [count, z], both parts normalised as those of a graph are."""
        rng = np.random.default_rng(seed)
        first, second = rng.integers(0, len(self.vectors), (2, count))
        drift = rng.uniform(0, 0.3, (count, 1)).astype(np.float32)
        level = np.exp(rng.uniform(np.log(0.05), 0, (count, 1))).astype(np.float32)
        z = (1 - drift) * self.vectors[first] + drift * self.vectors[second]
        noise = rng.standard_normal(z.shape, np.float32)
        nodes, edges = z[:, : -self.edges], z[:, -self.edges :]
        for part, into in ((noise[:, : -self.edges], nodes), (noise[:, -self.edges :], edges)):
            length = np.linalg.norm(into, axis=1, keepdims=True)
            into += part * (level * length / np.sqrt(np.float32(into.shape[1])))
        maps = nodes.reshape(count, self.images, -1)
        maps /= np.linalg.norm(maps, axis=2, keepdims=True) * np.sqrt(np.float32(self.images))
        edges -= edges.mean(axis=1, keepdims=True)
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        return np.concatenate([maps.reshape(count, -1), edges], axis=1)


def _metas(start: int, count: int) -> list[dict[str, str]]:
    """What an index says of its rows."""
    return [
        {"name": f"copy{i}:l", "model": f"copy{i}", "layer": "l", "address": f"{i:064x}"}
        for i in range(start, start + count)
    ]


def _header(dim: int, length: int, images: int) -> IndexHeader:
    return IndexHeader(
        dim=dim, length=length, exact=dim == length, seed=0, recipe=RECIPE.to_dict(),
        probe="copies", images=images, code=code_version(),
    )  # fmt: skip


def milliseconds(seconds: list[Any], *, worst: float) -> dict[str, float]:
    """Of (processor, wall) seconds of calls: wall's median, best and a high quantile."""
    cpu, wall = 1e3 * np.array(seconds).T
    name = "ms_worst" if worst == 1 else f"ms_{worst:.0%}"
    values = {"ms_median": np.median(wall), "ms_best": wall.min()}
    values |= {name: np.quantile(wall, worst), "cpu_ms_median": np.median(cpu)}
    return {key: round(float(value), 1) for key, value in values.items()}


def fill(path: Path, copies: Copies, rows: int, dim: int, queries: np.ndarray) -> tuple[Any, Any]:
    """Makes the index, and the exact products of all rows with the queries."""
    length = copies.vectors.shape[1]
    header = _header(dim, length, copies.images)
    index, projection = Index.create(path, header), Projection(length, dim, 0)
    exact = np.empty((rows, len(queries)), np.float32)
    for start in range(0, rows, BATCH):
        batch = copies.make(min(BATCH, rows - start), seed=start + 1)
        exact[start : start + len(batch)] = batch @ queries.T
        metas = _metas(start, len(batch))
        index = index.append(metas, np.stack([projection(z) for z in batch]))
    return index, exact


def recall(index: Index, projected: np.ndarray, exact: np.ndarray, by_signs: int) -> dict[str, Any]:
    """Recall at 10 by shortlist, and seconds of a query, wall and processor."""
    found: dict[int, list[float]] = {size: [] for size in SHORTLISTS}
    seconds = []
    for number, vector in enumerate(projected):
        query = partial(nearest_rows, index, vector, max(SHORTLISTS), by_signs=by_signs)
        (rows, _), *spent = timed(query)
        seconds.append(spent)
        truth = set(np.argsort(-exact[:, number], kind="stable")[:TOP].tolist())
        for size in SHORTLISTS:
            short = rows[:size]
            best = short[np.argsort(-exact[short, number], kind="stable")[:TOP]]
            found[size].append(len(truth & set(best.tolist())) / TOP)
    wide = np.linspace(0, len(index) - 1, 2000).astype(int)
    unbiased = index.vectors(wide) @ projected.T - exact[wide]
    norm = (RECIPE.node_weight + RECIPE.lam) ** 0.5
    return {
        "queries": len(projected),
        "by_signs": by_signs,
        "recall_at_10_without_reranking": round(float(np.mean(found[TOP])), 4),
        "recall_at_10_reranked": {str(s): round(float(np.mean(found[s])), 4) for s in SHORTLISTS},
        **milliseconds(seconds, worst=1.0),
        "error_rms": round(float(np.sqrt(np.mean(unbiased**2))), 5),
        "error_bound": round(
            standard_error(index.header.dim, norm, norm, float(np.sqrt(np.mean(exact**2)))), 5
        ),
    }


def projection_errors(vectors: np.ndarray, kind: str, seeds: int = 20) -> list[dict[str, Any]]:
    """Root mean square error over all pairs, beside the bound."""
    gram, rows = vectors @ vectors.T, []
    pairs = np.triu_indices(len(vectors), 1)
    norm, product = float(np.sqrt(np.diag(gram).mean())), float(np.sqrt((gram[pairs] ** 2).mean()))
    for dim in (256, 1024, 4096):
        errors = []
        for seed in range(seeds):
            projection = Projection(vectors.shape[1], dim, seed)
            projected = np.stack([projection(z) for z in vectors])
            errors.append((projected @ projected.T - gram)[pairs])
        rows.append(
            {"graphs": kind, "pairs": len(pairs[0]), "dim": dim,
             "error_rms": round(float(np.sqrt(np.mean(np.square(errors)))), 5),
             "error_largest": round(float(np.abs(errors).max()), 5),
             "error_bound": round(standard_error(dim, norm, norm, product), 5)}
        )  # fmt: skip
    return rows


def random_graphs(like: Copies, count: int) -> np.ndarray:
    """Vectors of graphs of nothing but noise."""
    noise = np.random.default_rng(6).standard_normal((count, like.vectors.shape[1]), np.float32)
    return Copies(noise, like.images).make(count, seed=7)


def fill_with_noise(path: Path, rows: int, dim: int) -> None:
    """An index whose rows are noise about 64 centres: all that the time of a query depends on."""
    header = _header(dim, dim, 30)
    index, rng = Index.create(path, header), np.random.default_rng(0)
    centres = rng.standard_normal((64, dim), np.float32)
    for start in range(0, rows, BATCH):
        metas = _metas(start, min(BATCH, rows - start))
        noise = rng.standard_normal((len(metas), dim), np.float32)
        index = index.append(metas, noise / 2 + centres[rng.integers(0, 64, len(metas))])


def whole_query(path: Path, rows: int) -> dict[str, Any]:
    """Milliseconds of opening the file, finding a name and the ten nearest rows."""
    query_index(Index(path), "copy0")  # the file into the page cache
    queries = [f"copy{number}" for number in range(0, rows, max(1, rows // 80))]
    seconds = [timed(lambda q=query: query_index(Index(path), q))[1:] for query in queries]
    found = milliseconds(seconds, worst=0.9)
    return {f"query_by_name_{name}": value for name, value in found.items()}


def reranking(store: Store, folder: Path) -> dict[str, Any]:
    """Seconds of whole queries with a shortlist of 100 graphs read from a store."""
    index = build_index(store, folder / "real.index")
    query = lambda name: query_index(index, name, store=store)  # noqa: E731
    times = [timed(lambda n=name: query(n))[2] for name in index.names()[:8]]
    return {"graphs": len(index), "shortlist": 100, "s_median": round(float(np.median(times)), 3)}


def measure(
    rows: int = 100_000,
    dim: int = 4096,
    queries: int = 50,
    images: int = 30,
    folder: Path = Path("runs/index"),
    time_only: bool = False,
) -> Iterator[dict[str, Any]]:
    """A line a measurement; with `time_only` that of the time of queries, on rows of noise."""
    load = lambda **line: line | {"load": os.getloadavg()[0]}  # noqa: E731
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "copies.index"
    if time_only:
        fill_with_noise(path, rows, dim)
        yield load(rows=rows, dim=dim, **whole_query(path, rows))
        path.unlink()
        return
    shutil.rmtree(folder / "store", ignore_errors=True)  # graphs of other code do not mix
    store = Store(folder / "store", create=True)
    copies = Copies(real_graphs(store, images), images)
    for kind, vectors in (("zoo", copies.vectors), ("random", random_graphs(copies, 100))):
        for line in projection_errors(vectors, kind):
            yield load(**line)
    asked = copies.make(queries, seed=0)
    (index, exact), _, seconds = timed(lambda: fill(path, copies, rows, dim, asked))
    length = copies.vectors.shape[1]
    yield load(rows=rows, dim=dim, length=length, build_s=round(seconds, 1),
               bytes=os.path.getsize(path))  # fmt: skip
    projection = Projection(length, dim, 0)
    projected = np.stack([projection(q) for q in asked])
    nearest_rows(index, projected[0], TOP)  # the file into the page cache
    for by_signs in (500, 1000, 2000):
        yield load(**recall(index, projected, exact, by_signs))
    yield load(**whole_query(path, rows))
    yield load(**reranking(store, folder))
    path.unlink()


main = script(measure, {"rows": 3000}, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
