"""The authors' layer selection as their code walks it, bugs included.

`tools/vgg_extract.py` of zju-vipa/DEPARA @6cf9f6e takes gradients with regard to one batch of
images, layer after layer and network after network, and never sets the batch's gradient back to
zero; on a CPU an in-place ReLU overwrites the stored features of fully connected layers. It runs
twice, for the target's logits and for all layers of the sources, and walks two networks each time.
"""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from depara_jax.data import Probe
from depara_jax.graph import edge_similarity, edges_of, node_vectors
from depara_jax.models import Model
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection import attribution_graphs
from depara_jax.stats import normalize_rows
from depara_jax.types import Array, Maps
from depara_jax.walk import View, Walk, layer_features

RECIPE = RECIPES["depara-layer"]
# Whole maps with their signs add up as gradients do; magnitudes and channel means come afterwards.
SIGNED = RECIPE.replace(absolute=False, channel_reduction="none")
# VGG's fully connected layers whose stored features become those after the ReLU.
OVERWRITTEN = {"classifier.0": "classifier.1", "classifier.3": "classifier.4"}


def layer_rows(
    target_run: Sequence[Model], source_run: Sequence[Model], probe: Probe
) -> tuple[Float64[np.ndarray, " l"], Float64[np.ndarray, " l"]]:
    """V and E as `tools/layer_select.py` prints them, of the last network of each run.

    The source rows are `layer_rows([target], [source], probe)`. The ImageNet rows are
    `layer_rows([target, imagenet], [source, imagenet], probe)`: there the ImageNet network's own
    logits stand for the target.

    Args:
      target_run: VGGs in the order of the target run, one backward pass each.
      source_run: VGGs in the order of the source run, one backward pass a layer.
      probe: the images.

    Returns:
      (V, E) of each layer with weights, from shallow to deep.
    """
    *_, source = source_run
    layers = source.spec.layers_at("conv")
    views = [View(model, (str(model.spec.logits),)) for model in target_run]
    views += [View(model, model.spec.layers_at("conv")) for model in source_run]
    walk, cosines = Walk(views, probe, SIGNED), []
    for chunk in walk:
        maps = [v.reshape(len(v), *source.spec.input.shape) for v in chunk.vectors]
        *_, target = accumulated(maps[: len(target_run)])
        rows = accumulated(maps[len(target_run) :])[-len(layers) :]
        cosines.append([map_cosines(target, row, RECIPE) for row in rows])
    edges = walk.edges()
    after = layer_features(source, probe, tuple(OVERWRITTEN.values()))
    stored = dict(zip(layers, edges[-len(layers) :], strict=True))
    stored |= {layer: edges_of(jnp.asarray(after[relu])) for layer, relu in OVERWRITTEN.items()}
    own = edges[len(target_run) - 1]
    edge = [float(edge_similarity(own, stored[layer], ties=RECIPE.ties)) for layer in layers]
    return np.concatenate(cosines, axis=1).mean(axis=1, dtype=np.float64), np.array(edge)


def signed_maps(
    model: Model, probe: Probe, layers: Sequence[str], target: str = "mean"
) -> dict[str, Maps]:
    """{layer: maps [n, h, w, c] with their signs} of the scalar that `target` names."""
    recipe = SIGNED.replace(target=target, lam=0.0)
    graphs = attribution_graphs(model, probe, recipe, layers=layers)
    shape = (len(probe), *model.spec.input.shape)
    return {layer: graph.nodes.reshape(shape) for layer, graph in graphs.items()}


def accumulated(maps: Sequence[Maps], before: Maps | None = None) -> list[Maps]:
    """Maps as they are if no gradient before them is set back to zero.

    Args:
      maps: [n, h, w, c] each, in the order of the walk.
      before: the total of the networks before on the same images.
    """
    total = itertools.accumulate(maps, initial=before)
    return list(total)[0 if before is None else 1 :]


@functools.partial(jax.jit, static_argnames="recipe")
def map_cosines(a: Maps, b: Maps, recipe: Recipe) -> Float[Array, " n"]:
    """Image by image, cosines of two sets of signed maps as vectors of the recipe."""
    first, second = (normalize_rows(node_vectors(maps, recipe)) for maps in (a, b))
    return (first * second).sum(axis=-1)
