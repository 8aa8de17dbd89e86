"""The layer half: every pair of the packaged zoo's networks, six layers of each source.

The zoo's networks have no logits, so the target is its encoder's output here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.attribution import attribute
from depara_jax.data import Probe
from depara_jax.graph import edges_of, node_vectors
from depara_jax.graph.similarity import edge_vectors, products
from depara_jax.models import Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.upstream import accumulated, walked_layers
from depara_jax.stats import normalize_rows
from experiments.fidelity.agreement import agreement

__all__ = ["BASE", "layer_cosines", "measure"]

BASE = RECIPES["depara-layer"].replace(target_side="encoder")
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("accumulated over layers", {"accumulate": "layers"}),
    ("accumulated over layers and the target", {"accumulate": "models"}),
    ("no magnitudes", {"absolute": False}),
    ("channels kept", {"channel_reduction": "none"}),
    ("target l2sq for mean", {"target": "l2sq"}),
    ("activations for convolutions", {"feature_point": "activation"}),
    ("centred edges for raw", {"edge_normalization": "center"}),
    ("z-scored edges for raw", {"edge_normalization": "zscore"}),
    ("averaged ties for ordinal", {"ties": "average"}),
    ("lambda 10 for 1", {"lam": 10.0}),
)
# In the authors' run the source comes first and the ImageNet network after it, on one batch.
ANOTHER = "accumulated over layers and another network"
ALL = slice(None)
Maps = dict[str, jax.Array]


def measure(
    models: Sequence[Model], probe: Probe, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Agreement with `depara-layer` of each change, over all (target, source) pairs.

    Args:
      models: of one architecture without logits; every one is a target and a source.
      probe: images, all in one step.
      progress: told what comes next.
    """
    evidence = Evidence(models, probe, progress)
    base = evidence.rankings(BASE)
    rows = {}
    for label, changes in CHANGES:
        progress(f"layers: {label}")
        rows[label] = _row(base, evidence.rankings(BASE.replace(**changes)))
    progress(f"layers: {ANOTHER}")
    another = evidence.rankings(BASE.replace(accumulate="models"), after_another=True)
    rows[ANOTHER] = _row(base, another)
    progress("layers: halves of the probe set")
    middle = len(probe) // 2
    halves = [evidence.rankings(BASE, images=part) for part in (slice(middle), slice(middle, None))]
    return {
        "pairs": len(models) * (len(models) - 1),
        "images": len(probe),
        "layers": list(models[0].spec.layers_at("conv")),
        "against depara-layer": rows,
        "other half of the images": _row(*halves),
        "cosine of accumulated and clean maps": evidence.cosines(),
    }


def _row(base: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, Any]:
    changed = [k for k in ("score", "node", "edge") if not np.array_equal(base[k], other[k])]
    return {part: agreement(base[part], other[part]) for part in changed}


class Evidence:
    """Features and signed maps of every network and layer, in memory: 17 x 13 x 3,072 an image."""

    def __init__(self, models: Sequence[Model], probe: Probe, progress: Callable[[str], None]):
        self.spec = spec = models[0].spec
        self.encoder = spec.encoder
        self.points = {point: spec.layers_at(point) for point in ("conv", "activation")}
        layers = tuple(dict.fromkeys((*self.points["conv"], *self.points["activation"])))
        images = jnp.asarray(probe.array(spec.input))
        self.features: list[Maps] = []
        self.maps: dict[str, list[Maps]] = {"mean": [], "l2sq": []}
        for target, kept in self.maps.items():
            progress(f"layers: maps of {target}")
            recipe = Recipe(target=target)
            for model in models:
                features, maps = attribute(model.forward, model.variables, images, layers, recipe)
                kept.append({layer: jnp.asarray(values) for layer, values in maps.items()})
                if target == "mean":
                    self.features.append({k: jnp.asarray(v) for k, v in features.items()})

    def rankings(
        self, recipe: Recipe, *, after_another: bool = False, images: slice = ALL
    ) -> dict[str, np.ndarray]:
        """Node, edge and score [pairs, layers] of every (target, source).

        Args:
          recipe: how.
          after_another: what accumulates over models is the total of a third network's layers, not
            of the target's.
          images: which of the images.
        """
        count, layers = len(self.features), self.points[str(recipe.feature_point)]
        maps = [
            {layer: values[images] for layer, values in of_model.items()}
            for of_model in self.maps[str(recipe.target)]
        ]
        ranked = [self._ranks(index, layers, recipe, images) for index in range(count)]
        on_target = walked_layers(self.spec, (self.encoder,), recipe)
        # Every network is walked over all its layers, as the target on an array without gradients.
        own = [_walked(m, on_target, recipe, None) for m in maps]
        targets = [_unit(m[self.encoder], recipe) for m in own]
        nodes, edges = [], []
        for t in range(count):
            for s in range(count):
                if s == t:
                    continue
                before = own[t][on_target[-1]]
                if after_another:
                    third = next(i % count for i in (s + 1, s + 2) if i % count != t)
                    before = sum(maps[third][layer] for layer in layers)
                walked = _walked(maps[s], layers, recipe, before)
                nodes.append([_mean_cosine(targets[t], _unit(walked[la], recipe)) for la in layers])
                edges.append(products(ranked[t][-1:], ranked[s][:-1])[0])
        node, edge = (np.asarray(values, np.float64) for values in (nodes, edges))
        return {"node": node, "edge": edge, "score": node + recipe.lam * edge}

    def _ranks(self, index: int, layers: Sequence[str], recipe: Recipe, images: slice) -> jax.Array:
        """Standardised ranks of the edges of each layer, and last of the encoder's output."""
        edges = [
            edges_of(
                self.features[index][layer][images],
                edge_normalization=str(recipe.edge_normalization),
            )
            for layer in (*layers, self.encoder)
        ]
        return jnp.asarray(edge_vectors(jnp.stack(edges), ties=str(recipe.ties)))

    def cosines(self) -> dict[str, Any]:
        """How much of the clean maps is left, by layer, means over networks and images."""
        layers, result = self.points["conv"], {}
        for label, accumulate in (("over layers", "layers"), ("and another network", "models")):
            rows = []
            for s, maps in enumerate(self.maps["mean"]):
                other = self.maps["mean"][(s + 1) % len(self.features)]
                before = sum(other[layer] for layer in layers)
                recipe = BASE.replace(accumulate=accumulate)
                rows.append(layer_cosines(maps, _walked(maps, layers, recipe, before), layers))
            result[label] = {
                kind: np.mean([row[kind] for row in rows], axis=0).round(3).tolist()
                for kind in rows[0]
            }
        return result


def _walked(maps: Maps, layers: Sequence[str], recipe: Recipe, before: Any) -> Mapping[str, Any]:
    """One network's maps as the recipe's walk leaves them."""
    if recipe.accumulate == "off":
        return maps
    return accumulated(maps, layers, before if recipe.accumulate == "models" else None)[0]


def layer_cosines(
    clean: Mapping[str, Any], other: Mapping[str, Any], layers: Sequence[str]
) -> dict[str, list[float]]:
    """Mean cosine over images of two sets of maps [n, h, w, c], layer by layer.

    "signed" compares the maps themselves, "vectors" what the authors compare: magnitudes averaged
    over channels.
    """
    kinds = {"signed": Recipe(), "vectors": BASE}
    return {
        kind: [_mean_cosine(_unit(clean[la], recipe), _unit(other[la], recipe)) for la in layers]
        for kind, recipe in kinds.items()
    }


def _unit(maps: Any, recipe: Recipe) -> jax.Array:
    return jnp.asarray(_unit_vectors(maps, recipe.map_part()))


def _unit_vectors(maps: Any, recipe: Recipe) -> Any:
    return normalize_rows(node_vectors(maps, recipe))


def _mean_cosine(a: Float[jax.Array, "n p"], b: Float[jax.Array, "n p"]) -> float:
    return float((a * b).sum(axis=-1).mean())
