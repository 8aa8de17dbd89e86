"""The layer half: every pair of the packaged zoo's networks, six layers of each source.

The zoo's networks have no logits, so the target is its encoder's output here.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.data import Probe
from depara_jax.graph import edges_of
from depara_jax.graph.similarity import edge_vectors, products
from depara_jax.models import Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.types import Maps
from depara_jax.walk import layer_features
from experiments.fidelity.agreement import changed
from experiments.fidelity.authors import SIGNED, accumulated, map_cosines, signed_maps

BASE = RECIPES["depara-layer"].replace(target_side="encoder")
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("no magnitudes", {"absolute": False}),
    ("channels kept", {"channel_reduction": "none"}),
    ("target l2sq for mean", {"target": "l2sq"}),
    ("activations for convolutions", {"feature_point": "activation"}),
    ("centred edges for raw", {"edge_normalization": "center"}),
    ("z-scored edges for raw", {"edge_normalization": "zscore"}),
    ("averaged ties for ordinal", {"ties": "average"}),
    ("lambda 10 for 1", {"lam": 10.0}),
)
# The authors' walks: by kind of rows, see `experiments.fidelity.authors`.
WALKS = {"source": "walked as their source rows", "imagenet": "walked as their ImageNet rows"}
ALL = slice(None)


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
        rows[label] = changed(base, evidence.rankings(BASE.replace(**changes)))
    for walk, label in WALKS.items():
        progress(f"layers: {label}")
        rows[label] = changed(base, evidence.rankings(BASE, walk=walk))
    progress("layers: halves of the probe set")
    middle = len(probe) // 2
    first, second = (
        evidence.rankings(BASE, images=part) for part in (slice(middle), slice(middle, None))
    )
    return {
        "pairs": len(models) * (len(models) - 1),
        "images": len(probe),
        "layers": list(models[0].spec.layers_at("conv")),
        "against depara-layer": rows,
        "other half of the images": changed(first, second),
        "cosine of accumulated and clean maps": evidence.cosines(),
    }


class Evidence:
    """Features and signed maps of every network and layer, in memory: 17 x 13 x 3,072 an image."""

    def __init__(self, models: Sequence[Model], probe: Probe, progress: Callable[[str], None]):
        spec = models[0].spec
        self.encoder, self.count = spec.encoder, len(models)
        self.points = {point: spec.layers_at(point) for point in ("conv", "activation")}
        layers = tuple(dict.fromkeys((*self.points["conv"], *self.points["activation"])))
        self.features = [layer_features(model, probe, layers) for model in models]
        self.maps: dict[str, list[dict[str, Maps]]] = {}
        for target in ("mean", "l2sq"):
            progress(f"layers: maps of {target}")
            self.maps[target] = [signed_maps(model, probe, layers, target) for model in models]

    def rankings(
        self, recipe: Recipe, *, walk: str = "clean", images: slice = ALL
    ) -> dict[str, np.ndarray]:
        """Node, edge and score [pairs, layers] of every (target, source).

        Args:
          recipe: how.
          walk: "clean", or a key of `WALKS`; the source is their ImageNet network then, and a third
            network is walked before it.
          images: which of the images.
        """
        layers = self.points[str(recipe.feature_point)]
        maps = [
            {layer: values[images] for layer, values in of_model.items()}
            for of_model in self.maps[str(recipe.target)]
        ]
        ranked = [self._ranks(index, layers, recipe, images) for index in range(self.count)]
        totals = [accumulated([m[layer] for layer in layers])[-1] for m in maps]
        nodes, edges = [], []
        for t, s in itertools.permutations(range(self.count), 2):
            target, rows = maps[t][self.encoder], [maps[s][layer] for layer in layers]
            if walk == "imagenet":
                third = next(i % self.count for i in (s + 1, s + 2) if i % self.count != t)
                target = target + maps[s][self.encoder]
                rows = accumulated(rows, totals[third])
            elif walk == "source":
                rows = accumulated(rows)
            nodes.append(_mean_cosines([target] * len(rows), rows, recipe))
            side = s if walk == "imagenet" else t
            edges.append(products(ranked[side][-1:], ranked[s][:-1])[0])
        node, edge = (np.asarray(values, np.float64) for values in (nodes, edges))
        return {"node": node, "edge": edge, "score": node + recipe.lam * edge}

    def _ranks(self, index: int, layers: Sequence[str], recipe: Recipe, images: slice) -> jax.Array:
        """Standardised ranks of the edges of each layer, and last of the encoder's output."""
        kind = str(recipe.edge_normalization)
        features = [self.features[index][layer][images] for layer in (*layers, self.encoder)]
        edges = [edges_of(jnp.asarray(values), edge_normalization=kind) for values in features]
        return jnp.asarray(edge_vectors(edges, ties=str(recipe.ties)))

    def cosines(self) -> dict[str, Any]:
        """How much of the clean maps is left, by layer, means over networks and images."""
        clean = [[of_one[layer] for layer in self.points["conv"]] for of_one in self.maps["mean"]]
        result = {}
        for label in ("over layers", "and another network"):
            rows = []
            for s, maps in enumerate(clean):
                other = accumulated(clean[(s + 1) % self.count])[-1]
                walked = accumulated(maps, None if label == "over layers" else other)
                rows.append(layer_cosines(maps, walked))
            result[label] = {
                kind: np.mean([row[kind] for row in rows], axis=0).round(3).tolist()
                for kind in rows[0]
            }
        return result


def layer_cosines(clean: Sequence[Maps], other: Sequence[Maps]) -> dict[str, list[float]]:
    """Mean cosine over images of two sets of maps [n, h, w, c], layer by layer.

    "signed" compares the maps themselves, "vectors" what the authors compare: magnitudes averaged
    over channels.
    """
    return {
        kind: _mean_cosines(clean, other, recipe)
        for kind, recipe in (("signed", SIGNED), ("vectors", BASE))
    }


def _mean_cosines(first: Sequence[Maps], second: Sequence[Maps], recipe: Recipe) -> list[float]:
    recipe = recipe.map_part()  # so that the edges' choices compile nothing
    return [float(map_cosines(a, b, recipe).mean()) for a, b in zip(first, second, strict=True)]
