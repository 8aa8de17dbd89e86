"""What is known of each layer before any transfer: graphs, and other estimators on its features."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from depara_jax.estimators import EstimatorInputs, estimate
from depara_jax.evaluation import resampled_terms
from depara_jax.models import Model
from depara_jax.recipe import RECIPES as PRESETS
from depara_jax.selection import rank_layers
from depara_jax.training import Images, cut_network, network_of, predict
from experiments.common.cells import Cells
from experiments.common.domain import Domain
from experiments.layer_study.config import LABELLED, PAIRED, RECIPES, StudyConfig


def layer_evidence(
    source_name: str,
    source: Model,
    target: Domain,
    networks: Mapping[str, Model],
    config: StudyConfig,
    cells: Cells,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Scores of every cut of a source for a target, stored once computed.

    Target networks are "full" and one a data size.

    Returns:
      "graphs": {target network: {recipe: {"node": [cuts], "edge": [cuts]}}} and "estimators":
      {"logme" and the like: {data size: [cuts]}, "cka_linear" and the like: {network: [cuts]}}; and
      both terms for resampled probe images, {"network/recipe/term": [resamples, cuts]}.
    """
    name = f"evidence/{source_name}-{target.name}"
    made = {"resamples": config.resamples}
    found, drawn = cells.read(f"{name}.json", **made), cells.read(f"{name}.npz", **made)
    if found is None or drawn is None:
        graphs, drawn = _graphs(source, target, networks, config.resamples)
        found = {"graphs": graphs, "estimators": _estimators(source, target, networks)}
        cells.write(f"{name}.npz", drawn, **made)
        cells.write(f"{name}.json", found, **made)
    return found, drawn


def _graphs(
    source: Model, target: Domain, networks: Mapping[str, Model], resamples: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Both terms of every cut, and the same for resampled probe images [resamples, cuts]."""
    cuts = network_of(source, len(target.examples.classes)).cuts
    graphs: dict[str, Any] = {size: {} for size in networks}
    drawn = {}
    for size, network in networks.items():
        node = None
        for name in RECIPES:
            # Both presets have the same maps, which are made once; the second ranks edges alone.
            recipe = PRESETS[name] if node is None else PRESETS[name].replace(node_weight=0.0)
            ranking = rank_layers(network, source, target.probe, recipe, layers=cuts)
            node = ranking if node is None else node
            terms = {"node": node.node, "edge": ranking.edge}
            graphs[size][name] = {term: _rounded(values) for term, values in terms.items()}
            again = resampled_terms(
                node.node_cosines, ranking.edges, ranking.target_edges, resamples=resamples
            )
            for term, values in zip(terms, again, strict=True):
                drawn[f"{size}/{name}/{term}"] = np.asarray(values, np.float32)
    return graphs, drawn


def _estimators(source: Model, target: Domain, networks: Mapping[str, Model]) -> dict[str, Any]:
    """Other estimators on each cut's features, flattened."""
    network = network_of(source, len(target.examples.classes))
    parts = cut_network(network, network.read(source), network.cuts[-1], seed=0)
    prepare = Images(source.spec.input, flip=False)

    def outputs(model: Model) -> Any:
        return model.forward(model.variables, jnp.asarray(target.probe.array(model.spec.input)))

    mine = outputs(source)
    paired = {size: _flat(outputs(m)[m.spec.encoder]) for size, m in networks.items()}
    out: dict[str, Any] = {name: {} for name in (*LABELLED, *PAIRED)}
    for stop, cut in enumerate(network.cuts, start=1):
        for size in [name for name in networks if name != "full"]:
            data = target.part(size)
            features = _flat(predict(network, parts.values, data, prepare, stop=stop))
            inputs = EstimatorInputs(features=features, labels=data.labels)
            _append(out, size, estimate(LABELLED, inputs))
        for size, other in paired.items():
            inputs = EstimatorInputs(features=_flat(mine[cut]), target_features=other)
            _append(out, size, estimate(PAIRED, inputs))
    return out


def _append(out: dict[str, Any], size: str, estimates: Mapping[str, Any]) -> None:
    for name, result in estimates.items():
        value = result.value
        out[name].setdefault(size, []).append(None if value is None else float(f"{value:.6g}"))


def _flat(features: Any) -> np.ndarray:
    return np.asarray(features).reshape(len(features), -1)


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 5) for v in values]
