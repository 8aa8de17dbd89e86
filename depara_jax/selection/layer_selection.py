"""Which layer of a network to transfer from (DEPARA section 3.4.2)."""

from collections.abc import Sequence
from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.model_selection import rank_views
from depara_jax.selection.ranking import Ranking
from depara_jax.selection.upstream import walked_layers
from depara_jax.selection.views import View
from depara_jax.types import ModelLike, ProbeLike

__all__ = ["rank_layers"]


def rank_layers(
    target: ModelLike,
    source: ModelLike,
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    layers: Sequence[str] | None = None,
    target_layer: str | None = None,
    **options: Any,
) -> Ranking:
    """Ranks the layers of `source` by how similar their graphs are to the target's (DEPARA eq. 6).

    With `recipe.accumulate` both networks are walked over all their layers at the recipe's feature
    point, as the authors' code does, whichever of them are ranked.

    Args:
      target: a network trained for the target task.
      source: the network to transfer from.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      layers: addresses in `source`; by default all at the recipe's feature point.
      target_layer: address in `target`; by default its encoder layer, or its logits if the recipe's
        `target_side` says so.
      **options: `batch_size`, `memory_limit` and others, see `depara_jax.selection.extract`.

    Returns:
      A ranking whose names are the layers, given from shallow to deep. It keeps cosines and edges,
      from which `evaluation.choice_certainty` says how certain the choice is.

    Raises:
      UnknownNameError: a layer that does not exist; the message offers the near ones.
      DegenerateError: NaN, nothing but zero maps, or features that do not tell images apart.
    """
    recipe = RECIPES["default"] if recipe is None else recipe
    chosen = source.spec.layers_at(recipe.feature_point) if layers is None else tuple(layers)
    if not chosen:
        raise DeparaError(f"rank_layers: no layers of {source.spec.name!r} to rank")
    for layer in chosen:
        source.spec.check_layer(layer)
    if target_layer is None:
        target_layer = target.spec.encoder
        if recipe.target_side == "logits":
            if target.spec.logits is None:
                raise DeparaError(
                    f"rank_layers: recipe {recipe.name!r} compares with the target's logits, but "
                    f"{target.spec.name!r} has none; name a target layer"
                )
            target_layer = target.spec.logits
    # Which layers add up, and become the total that is carried on, if the recipe accumulates.
    views = [
        View(model, layers, walked_layers(model.spec, layers, recipe))
        for model, layers in ((target, (target.spec.check_layer(target_layer),)), (source, chosen))
    ]
    return rank_views("layer", views, chosen, probe, recipe, keep_edges=True, **options)
