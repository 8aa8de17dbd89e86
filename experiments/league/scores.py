"""Stage 3: similarity of all pairs of trained encoders, by every term and estimator.

Each matrix is a cell of its own, [m, m] in the order of the names that it carries.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from depara_jax.data.probes import Probe
from depara_jax.errors import DeparaError
from depara_jax.estimators import estimate_pairs, modelgif_pairs
from depara_jax.graph.similarity import edge_vectors, products
from depara_jax.graph.structure import edges_of
from depara_jax.models.model import Model
from depara_jax.recipe import Recipe
from depara_jax.selection.models import compare_models
from depara_jax.walk import layer_features
from experiments.league.data import domain_probe
from experiments.league.encoders import Run, load_encoder
from experiments.league.methods import DOMAINS, EDGES, ESTIMATED, MATRICES, NODES

PROBE_COUNTS = (10, 20, 50, 100, 200, 500, 1000)
PROBE_DRAWS = 3


class Matrix(NamedTuple):
    """Similarities of all pairs, and the seconds a network that they took (after compiling)."""

    values: np.ndarray
    seconds: float


def compute_matrices(
    run: Run, *, domains: bool = True
) -> tuple[tuple[str, ...], dict[str, Matrix]]:
    """Computes what is not there yet.

    Args:
      run: its encoders are trained; the first `probe_images` of its probe set are used.
      domains: also the base terms on other kinds of probe images.

    Returns:
      The trained encoders' names, and {key: matrix} in their order: "node/NAME", "edge/NAME",
      "pair/NAME", and "DOMAIN:node/NAME".
    """
    config, models = run.config, _trained(run)
    needed = MATRICES | {"node/ig-l2sq"}
    keys = [f"node/{name}" for name in NODES] + [f"edge/{name}" for name in EDGES]
    keys += [f"pair/{name}" for name in (*ESTIMATED, "modelgif")]
    base = run.images.probe.subset(range(config.probe_images))
    todo = {key: (key, base) for key in keys if config.ablations or key in needed}
    others = DOMAINS[1:] if config.ablations else DOMAINS[-1:]
    for domain in others if domains else ():
        other = domain_probe(domain, config.probe_images)
        for key in ("node/gxi-l2sq", "edge/zscore"):
            todo[f"{domain}:{key}"] = (key, other)
    matrices = {}
    # The league's own first, for a run that is stopped.
    for name in sorted(todo, key=lambda name: name not in needed):
        key, probe = todo[name]
        file = f"scores/{name.replace('/', '-').replace(':', '--')}.npz"
        job = partial(_similarities, key, probe=probe, steps=config.path_steps)
        content = _named(run, file, lambda j=job: _timed(j, models)._asdict(), probe.fingerprint)
        matrices[name] = Matrix(content["values"], float(content["seconds"]))
        run.line(f"{name}: {matrices[name].seconds:.3f} s a network")
    return tuple(model.name for model in models), matrices


def _trained(run: Run) -> list[Model]:
    return [load_encoder(run, encoder) for encoder in run.config.trained]


def _named(
    run: Run, name: str, make: Callable[[], Mapping[str, Any]], fingerprint: str
) -> dict[str, np.ndarray]:
    """A cell whose rows belong to names, never to places."""
    config, names = run.config, [encoder.name for encoder in run.config.trained]
    training = [config.training(name) for name, _ in config.architectures]
    settings = [config.tasks, config.seeds, training, config.probe_images, config.path_steps]
    content = run.cells.get(
        name, lambda: {"names": np.array(names), **make()}, settings=settings, images=fingerprint
    )
    if content.pop("names").tolist() != names:
        raise DeparaError(
            f"{run.cells.path(name)}: its rows are of other networks; delete it to compute it anew"
        )
    return content


def _similarities(
    key: str, models: Sequence[Model], probe: Probe, steps: int
) -> Float[np.ndarray, "m m"]:
    """The matrix of a key."""
    kind, name = key.split("/")
    if name == "modelgif":
        networks = [Partial(_reader(m.forward, m.spec.encoder), m.variables) for m in models]
        return modelgif_pairs(networks, probe.array(models[0].spec.input), steps=steps)
    if kind == "pair":
        return estimate_pairs(name, _features(models, probe))
    term = (NODES if kind == "node" else EDGES)[name]
    integrated = term.recipe.attribution == "integrated_gradients"
    recipe = term.recipe.replace(steps=steps) if integrated else term.recipe
    similarity = compare_models([_at(m, term.layer) for m in models], probe, recipe)
    return np.asarray(getattr(similarity, kind), np.float64)


@functools.cache
def _reader(forward: Callable[..., Any], layer: str) -> Callable[[Any, Any], jax.Array]:
    """(variables, images) -> the layer: one function, so one program, for each architecture."""
    return lambda variables, images: forward(variables, images)[layer]


def _at(model: Model, layer: str) -> Model:
    """The network represented by another of its layers."""
    if layer == "pre":
        layer = "encoder.pre" if "encoder.pre" in model.spec.layers else "encoder"
    elif layer not in model.spec.layers:  # the quick study's networks have one block
        layer = model.spec.layers[-3]
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, encoder=layer))


def _features(models: Sequence[Model], probe: Probe) -> list[np.ndarray]:
    return [layer_features(m, probe, [m.spec.encoder])[m.spec.encoder] for m in models]


def _timed(job: Callable[[Sequence[Model]], np.ndarray], models: Sequence[Model]) -> Matrix:
    """The matrix, timed after one network of each architecture has compiled the programs."""
    first = {model.spec.architecture: model for model in models}
    job(list(first.values()))
    started = time.perf_counter()
    values = job(models)
    return Matrix(values, (time.perf_counter() - started) / len(models))


def probe_sweep(run: Run) -> dict[str, np.ndarray]:
    """Node and z-scored edge terms on random draws of 10 to 1,000 probe images.

    Returns:
      {"COUNT/DRAW:node" or ":edge": [m, m]} in the order of `compute_matrices`'s names. All draws
      come from the first `config.most_probe_images` images; a count that takes all has one draw.
    """
    probe = run.images.probe

    def make() -> dict[str, np.ndarray]:
        models = _trained(run)
        recipe = Recipe(name="node", lam=0.0)
        cosines = compare_models(models, probe, recipe, per_image=True).node_cosines
        assert cosines is not None
        features = _features(models, probe)
        found = {}
        for count in [c for c in PROBE_COUNTS if c <= len(probe)]:
            for draw in range(PROBE_DRAWS if count < len(probe) else 1):
                rows = np.random.default_rng([count, draw]).permutation(len(probe))[:count]
                found[f"{count}/{draw}:node"] = cosines[rows].mean(axis=0)
                found[f"{count}/{draw}:edge"] = _edge_matrix(features, rows)
            run.line(f"{count} probe images")
        return found

    return _named(run, "scores/probe-sweep.npz", make, probe.fingerprint)


def _edge_matrix(features: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Spearman's correlation of z-scored edges over some of the images."""
    edges = [edges_of(jnp.asarray(one[rows]), edge_normalization="zscore") for one in features]
    vectors = edge_vectors(edges)
    return np.asarray(products(vectors, vectors))
