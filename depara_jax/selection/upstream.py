"""Bugs of the authors' layer-selection code, reproduced where a recipe asks for them.

Their loop takes gradients of one layer after the other with regard to one batch of images and never
sets the batch's gradient back to zero, neither between layers nor between networks; and an in-place
ReLU overwrites the stored features of fully connected layers. `docs/fidelity.md` has the effects.
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.recipe import Recipe
from depara_jax.spec import ModelSpec
from depara_jax.types import Array, Maps

__all__ = [
    "accumulated",
    "aliased_layers",
    "check_aliases",
    "check_walk",
    "refuse_between_models",
    "walked_layers",
]


def accumulated(
    maps: Mapping[str, Maps], layers: Sequence[str], carried: Float[Array, "n h w c"] | None
) -> tuple[dict[str, Maps], Maps]:
    """Maps as they are when the gradients of earlier layers and networks are still there.

    A map that multiplies by the input is linear in the gradient, so that sums of gradients are sums
    of maps; this comes before magnitudes are taken.

    Args:
      maps: {layer: map} of one network.
      layers: the order of the walk.
      carried: the total of the networks before, of the same images; `None` for the first.

    Returns:
      ({layer: carried + the maps up to and with that layer}, the total).
    """
    total, result = carried, {}
    for layer in layers:
        total = maps[layer] if total is None else total + maps[layer]
        result[layer] = total
    return result, result[layers[-1]]


def walked_layers(spec: ModelSpec, layers: Sequence[str], recipe: Recipe) -> tuple[str, ...]:
    """The layers whose maps add up in one network: the authors' loop goes through all of them.

    Args:
      spec: `ModelSpec` of the network.
      layers: those that become graphs, or the one that does.
      recipe: `accumulate` and `feature_point` act here.

    Returns:
      All layers at the recipe's feature point and those of `layers` that are not among them, from
      shallow to deep; `layers` alone if the recipe does not accumulate.

    Raises:
      UnknownNameError: the network does not declare the feature point.
    """
    if recipe.accumulate == "off":
        return tuple(layers)
    chosen = {*layers, *spec.layers_at(recipe.feature_point)}
    return tuple(layer for layer in spec.layers if layer in chosen)


def aliased_layers(
    spec: ModelSpec, shapes: Mapping[str, Sequence[int]], recipe: Recipe
) -> frozenset[str]:
    """The layers that are fully connected and followed by a ReLU; none without the bug.

    Args:
      spec: `ModelSpec` of the network; its points "conv" and "activation" go stage by stage, and
        the last stages of "conv" may have no activation (logits).
      shapes: {layer: shape of its features with the image axis}.
      recipe: `relu_alias` acts here.
    """
    if not recipe.relu_alias:
        return frozenset()
    points = dict(spec.points)
    stages = zip(points.get("conv", ()), points.get("activation", ()), strict=False)
    followed = {before for before, after in stages if before != after}
    return frozenset(la for la, shape in shapes.items() if la in followed and len(shape) == 2)


def check_walk(specs: Sequence[ModelSpec], counts: Sequence[int], recipe: Recipe) -> None:
    """Refuses an accumulation that is impossible or would change nothing.

    Args:
      specs: `ModelSpec`s of the networks, in the order of the walk.
      counts: how many layers of each.
      recipe: `accumulate` acts here.

    Raises:
      DeparaError: no second layer to add to; or networks that do not take the same array.
    """
    if recipe.accumulate == "off":
        return
    several = max(counts) if recipe.accumulate == "layers" else sum(counts)
    if several < 2:
        raise DeparaError(
            f"recipe {recipe.name!r}: accumulate={recipe.accumulate!r} has no effect on a single "
            "layer; give all the layers that the authors' loop goes through"
        )
    if recipe.accumulate == "models" and len({spec.input for spec in specs}) > 1:
        first = specs[0]
        other = next(spec for spec in specs if spec.input != first.input)
        raise DeparaError(
            f"recipe {recipe.name!r}: accumulate='models' adds up gradients with regard to one "
            f"array of images, but {first.name!r} takes {first.input} and "
            f"{other.name!r} {other.input}; give both the same input, or use accumulate='layers'"
        )


def check_aliases(aliased: Sequence[frozenset[str]], recipe: Recipe) -> None:
    """Refuses `relu_alias` where no layer of the walk is affected.

    Raises:
      DeparaError: no fully connected layer with a ReLU after it.
    """
    if recipe.relu_alias and not any(aliased):
        raise DeparaError(
            f"recipe {recipe.name!r}: relu_alias=True has no effect here; none of the layers is "
            "fully connected with a ReLU after it, as the spec's points 'conv' and 'activation' "
            "tell; use relu_alias=False"
        )


def refuse_between_models(recipe: Recipe) -> None:
    """Refuses recipes of layer selection in model selection.

    `feature_point` is not looked at: there every network is represented by its encoder's output.

    Raises:
      DeparaError: accumulated gradients, with which a ranking would depend on the order in which
        networks are given, or overwritten features; the authors' code between tasks has none of
        it. Or `target_side="logits"`, which would have no effect.
    """
    if recipe.accumulate != "off" or recipe.relu_alias:
        raise DeparaError(
            f"recipe {recipe.name!r} reproduces bugs of the authors' layer selection, which their "
            "code between models does not have; use 'depara-task' or 'depara-task-upstream', or "
            "rank layers"
        )
    if recipe.target_side == "logits":
        raise DeparaError(
            f"recipe {recipe.name!r} is for layer selection: it represents the target by its "
            "logits, but between models all networks are represented by their encoder's output; "
            "use 'depara-task', or replace(target_side='encoder')"
        )
