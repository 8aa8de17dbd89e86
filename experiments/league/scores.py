"""Stage 3: similarity of all pairs of trained encoders, by every term and estimator.

Each matrix is a file of its own, [m, m] in the order of the names that it carries; a matrix whose
file has the right digest is not computed again.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from depara_jax.data.probes import Probe
from depara_jax.errors import DeparaError
from depara_jax.files import load_arrays, write_atomically
from depara_jax.graph.structure import edges_of
from depara_jax.models.model import Model
from depara_jax.recipe import Recipe
from depara_jax.selection.model_selection import compare_models
from depara_jax.stats import ranks, standardize
from depara_jax.walk import layer_features
from experiments.league.config import RANDOM, StudyConfig
from experiments.league.encoders import load_encoder
from experiments.league.kernels import PAIRWISE, modelgif_matrix, svcca_matrix, vector_matrix
from experiments.league.methods import DOMAINS, EDGES, METHODS, NODES, Term
from experiments.league.probes import domain_probe

__all__ = ["Matrix", "PROBE_COUNTS", "compute_matrices", "probe_sweep"]

PROBE_COUNTS = (10, 20, 50, 100, 200, 500, 1000)
PROBE_DRAWS = 3


class Matrix(NamedTuple):
    """Similarities of all pairs, and the seconds a network that they took (after compiling)."""

    values: np.ndarray
    seconds: float


def compute_matrices(
    config: StudyConfig,
    probe: Probe,
    output: Path,
    progress: Callable[[str], None],
    *,
    domains: bool = True,
) -> tuple[tuple[str, ...], dict[str, Matrix]]:
    """Computes what is not there yet.

    Args:
      config: the study, whose encoders are trained.
      probe: its first `config.probe_images` are used.
      output: the run's folder.
      progress: called with a line for each matrix.
      domains: also the base terms on other kinds of probe images.

    Returns:
      The trained encoders' names, and {key: matrix} in their order: "node/NAME", "edge/NAME",
      "pair/NAME", and "DOMAIN:node/NAME".
    """
    (output / "scores").mkdir(parents=True, exist_ok=True)
    trained = [encoder for encoder in config.encoders if encoder.task != RANDOM]
    models = [load_encoder(config, output, encoder) for encoder in trained]
    names = tuple(model.name for model in models)
    base = probe.subset(range(config.probe_images))
    settings = _settings(config)
    needed = {key for method in METHODS for key, _ in method.parts} | {"node/ig-l2sq"}
    todo: dict[str, tuple[Callable[[Sequence[Model]], np.ndarray], str]] = {}
    for key, make in _jobs(config, base).items():
        if config.ablations or key in needed:
            todo[key] = (make, base.fingerprint)
    others = DOMAINS[1:] if config.ablations else DOMAINS[-1:]
    for domain in others if domains else ():
        other = domain_probe(domain, config.probe_images)
        jobs = _jobs(config, other)
        for key in ("node/gxi-l2sq", "edge/zscore"):
            todo[f"{domain}:{key}"] = (jobs[key], other.fingerprint)
    matrices = {}
    # The league's own first, for a run that is stopped.
    for key in sorted(todo, key=lambda key: key not in needed):
        make, fingerprint = todo[key]
        digest = config.digest(key, settings, fingerprint)
        path = output / "scores" / f"{key.replace('/', '-').replace(':', '--')}.npz"
        matrix = _read(path, digest, names)
        if matrix is None:
            matrix = _timed(make, models)
            _write(path, digest, names, matrix)
            progress(f"{key}: {matrix.seconds:.3f} s a network")
        matrices[key] = matrix
    return names, matrices


def _settings(config: StudyConfig) -> list:
    """What the matrices depend on beside the images."""
    training = [config.training(name).to_json() for name, _ in config.architectures]
    return [config.tasks, config.seeds, training, config.probe_images, config.path_steps]


def _jobs(config: StudyConfig, probe: Probe) -> dict[str, Callable[[Sequence[Model]], np.ndarray]]:
    """Everything that is computed on one probe set."""
    jobs: dict[str, Callable[[Sequence[Model]], np.ndarray]] = {}
    for prefix, terms in (("node", NODES), ("edge", EDGES)):
        for name, term in terms.items():
            jobs[f"{prefix}/{name}"] = _term_job(term, probe, config.path_steps)
    for name, vector in PAIRWISE.items():
        jobs[f"pair/{name}"] = lambda models, v=vector: vector_matrix(_features(models, probe), v)
    jobs["pair/svcca"] = lambda models: svcca_matrix(_features(models, probe))
    jobs["pair/modelgif"] = lambda models: modelgif_matrix(
        models, probe.array(models[0].spec.input), steps=config.path_steps
    )
    return jobs


def _term_job(term: Term, probe: Probe, steps: int) -> Callable[[Sequence[Model]], np.ndarray]:
    recipe = term.recipe
    if recipe.attribution == "integrated_gradients":
        recipe = recipe.replace(steps=steps)

    def job(models: Sequence[Model]) -> np.ndarray:
        similarity = compare_models([_at(m, term.layer) for m in models], probe, recipe).similarity
        part = similarity.node if recipe.uses_nodes else similarity.edge
        assert part is not None
        return np.asarray(part, np.float64)

    return job


def _at(model: Model, layer: str) -> Model:
    """The network represented by another of its layers."""
    if layer == "pre":
        layer = "encoder.pre" if "encoder.pre" in model.spec.layers else "encoder"
    elif layer not in model.spec.layers:  # the quick study's networks have one block
        layer = model.spec.layers[-3]
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, encoder=layer))


def _features(models: Sequence[Model], probe: Probe) -> list[np.ndarray]:
    return [layer_features(m, probe, [m.spec.encoder])[m.spec.encoder] for m in models]


def _timed(make: Callable[[Sequence[Model]], np.ndarray], models: Sequence[Model]) -> Matrix:
    """The matrix, timed after one network of each architecture has compiled the programs."""
    first = {model.spec.architecture: model for model in models}
    make(list(first.values()))
    started = time.perf_counter()
    values = make(models)
    return Matrix(values, (time.perf_counter() - started) / len(models))


def probe_sweep(
    config: StudyConfig, probe: Probe, output: Path, progress: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Node and z-scored edge terms on random draws of 10 to 1,000 probe images.

    Returns:
      {"COUNT/DRAW:node" or ":edge": [m, m]} in the order of `compute_matrices`'s names. All draws
      come from the first `config.most_probe_images` images; a count that takes all has one draw.
    """
    path = output / "scores" / "probe-sweep.npz"
    trained = [encoder for encoder in config.encoders if encoder.task != RANDOM]
    names = tuple(encoder.name for encoder in trained)
    digest = config.digest("probe sweep", _settings(config), probe.fingerprint)
    known = _arrays(path)
    if known and str(known["digest"]) == digest:
        _check_names(known["names"], names, path)
        return {key: value for key, value in known.items() if ":" in key}
    models = [load_encoder(config, output, encoder) for encoder in trained]
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
        progress(f"{count} probe images")

    def write(file):
        np.savez(file, digest=np.array(digest), names=np.array(names), **found)

    write_atomically(path, write)
    return found


def _edge_matrix(features: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Spearman's correlation of z-scored edges over some of the images."""
    vectors = [
        standardize(ranks(edges_of(jnp.asarray(one[rows]), edge_normalization="zscore")))
        for one in features
    ]
    stacked = np.stack([np.asarray(vector) for vector in vectors])
    return stacked @ stacked.T


def _read(path: Path, digest: str, names: tuple[str, ...]) -> Matrix | None:
    arrays = _arrays(path)
    if not arrays or str(arrays["digest"]) != digest:
        return None
    _check_names(arrays["names"], names, path)
    return Matrix(arrays["values"], float(arrays["seconds"]))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    arrays = load_arrays(path)
    assert isinstance(arrays, dict)
    return arrays


def _check_names(stored: np.ndarray, names: tuple[str, ...], path: Path) -> None:
    """Rows belong to names, never to places."""
    if tuple(map(str, stored)) != names:
        raise DeparaError(f"{path}: its rows are of other networks; delete it to compute it anew")


def _write(path: Path, digest: str, names: tuple[str, ...], matrix: Matrix) -> None:
    def write(file):
        np.savez(
            file, digest=np.array(digest), names=np.array(names), values=matrix.values,
            seconds=matrix.seconds,
        )  # fmt: skip

    write_atomically(path, write)
