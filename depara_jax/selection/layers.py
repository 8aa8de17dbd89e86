"""Which layer of a network to transfer from (DEPARA section 3.4.2)."""

from collections.abc import Sequence

from depara_jax.errors import DeparaError
from depara_jax.recipe import RECIPES, Recipe
from depara_jax.selection.models import rank_views
from depara_jax.selection.ranking import Ranking
from depara_jax.spec import LayerRef
from depara_jax.types import ModelLike, ProbeLike
from depara_jax.walk import FEATURE_LIMIT, Placement, Progress, View, Walk

__all__ = ["rank_layers"]


def rank_layers(
    target: ModelLike,
    source: ModelLike,
    probe: ProbeLike,
    recipe: Recipe | None = None,
    *,
    layers: Sequence[str] | None = None,
    target_layer: str | None = None,
    batch_size: int | None = None,
    memory_limit: int | None = None,
    feature_limit: int = FEATURE_LIMIT,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> Ranking:
    """Ranks the layers of `source` by how similar their graphs are to the target's (DEPARA eq. 6).

    Args:
      target: a network trained for the target task.
      source: the network to transfer from.
      probe: unlabelled images.
      recipe: the method; `RECIPES["default"]` if none is given.
      layers: names in `source`; by default all at the recipe's feature point.
      target_layer: name in `target`; by default its encoder layer, or its logits if the recipe's
        `target_side` says so.
      batch_size: images a step; by default from the largest input size.
      memory_limit: bytes that the walk may take beside weights and results.
      feature_limit: bytes of features to hold between steps.
      progress: called with (steps done, steps in all).
      placement: devices to spread images and parameters over. `depara_jax.walk.Walk` has more on
        all of these.

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
    views = [View(target, (target.spec.check_layer(target_layer),)), View(source, chosen)]
    walk = Walk(
        views, probe, recipe, batch_size=batch_size, memory_limit=memory_limit,
        feature_limit=feature_limit, progress=progress, placement=placement,
    )  # fmt: skip
    return rank_views(
        walk, LayerRef(target.spec.name, target_layer), chosen, probe, source=source.spec.name
    )
