"""The whole method as one frozen, hashable value: every choice that the papers leave open."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = ["RECIPES", "Recipe", "check_fields", "recipe_named", "without_removed"]

Attribution = Literal["saliency", "gradient_x_input", "epsilon_lrp", "integrated_gradients"]
Target = Literal["l2", "l2sq", "sum", "mean", "max"]
ChannelReduction = Literal["none", "mean"]
EdgeNormalization = Literal["none", "center", "zscore"]
TieRule = Literal["average", "ordinal"]
FeaturePointName = Literal["conv", "norm", "activation"]
TargetSide = Literal["encoder", "logits"]

_CHOICES = {
    "attribution": get_args(Attribution),
    "target": get_args(Target),
    "channel_reduction": get_args(ChannelReduction),
    "edge_normalization": get_args(EdgeNormalization),
    "ties": get_args(TieRule),
    "feature_point": get_args(FeaturePointName),
    "target_side": get_args(TargetSide),
}
DEFAULT_EPSILON = 1e-4  # DeepExplain's, which the NeurIPS 2019 paper used
DEFAULT_STEPS = 50
# What a field enters: maps, and so graphs and their vectors; graphs, and so vectors; vectors alone;
# or nothing that is computed: the name, and what only chooses layers.
Product = Literal["map", "graph", "vector", "nothing"]
_ORDER = get_args(Product)


def _enters(product: Product, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"product": product})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice of the method.

    s(G, G') = node_weight * mean_k cos(v_k, v'_k) + lam * Spearman(e, e')   (DEPARA, section 3.3)

    Attributes:
      name: what results call this recipe.
      attribution: "saliency" |ds/dx|; "gradient_x_input" x ds/dx; "epsilon_lrp" the same with every
        nonlinearity's derivative replaced by f(z)/(z + epsilon sign z); "integrated_gradients" the
        image times the mean gradient along the straight path from the zero image.
      target: the scalar s of one image's features F: "l2" ||F||, "l2sq" ||F||^2, "sum", "mean",
        "max" the largest value of each channel (last axis), summed over channels.
        "l2" and "l2sq" give maps with the same direction, "sum" and "mean" too, so the node term
        cannot tell them apart (except under integrated gradients, which average over the path).
      absolute: take the magnitude of the map before channels are reduced. Saliency already is one.
      channel_reduction: "none" keeps height x width x channels as the vector, "mean" averages the
        channels first.
      grid: maps are resized to grid x grid (antialiased bilinear) before they become vectors; with
        `None` they keep their size where all models share it, and go to the smallest of the models'
        input sizes where they do not.
      edge_normalization: of the features over the probe set, entry by entry, before the cosine:
        "none", "center", "zscore" (entries constant over the probe set become 0).
      ties: rank rule of Spearman's correlation.
      node_weight: weight of the node term; 0 leaves the edges alone.
      lam: lambda, the weight of the edge term; 0 leaves the nodes alone.
      feature_point: layer selection only: which output of a unit it looks at: of the convolution
        (or linear map), of the normalisation after it, or of the activation.
      target_side: layer selection only: whether the target network is represented by its most
        compact features or by its logits; `rank_models` and `compare_models` refuse "logits".
      epsilon: stabiliser of epsilon-LRP; `None` for the other attributions.
      steps: midpoint steps of integrated gradients; `None` for the other attributions.

    Raises:
      DeparaError: a value that is not among the choices, or a combination that means nothing.
    """

    name: str = _enters("nothing", "custom")
    attribution: Attribution | str = _enters("map", "gradient_x_input")
    target: Target | str = _enters("map", "l2sq")
    absolute: bool = _enters("map", False)
    channel_reduction: ChannelReduction | str = _enters("map", "none")
    grid: int | None = _enters("map", None)
    edge_normalization: EdgeNormalization | str = _enters("graph", "none")
    ties: TieRule | str = _enters("vector", "average")
    node_weight: float = _enters("vector", 1.0)
    lam: float = _enters("vector", 1.0)
    feature_point: FeaturePointName | str = _enters("nothing", "activation")
    target_side: TargetSide | str = _enters("nothing", "encoder")
    epsilon: float | None = _enters("map", None)
    steps: int | None = _enters("map", None)

    def __post_init__(self):
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise UnknownNameError(f"recipe {field}", str(value), choices)
        self._fill_method_defaults()
        for field in ("node_weight", "lam"):
            value = getattr(self, field)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
                raise DeparaError(f"recipe {field} must be a finite number >= 0, got {value!r}")
            object.__setattr__(self, field, float(value))
        if self.node_weight == 0 and self.lam == 0:
            raise DeparaError(
                "recipe: node_weight and lam are both 0, which leaves nothing to compare"
            )
        if self.absolute and self.attribution == "saliency":
            raise DeparaError("recipe: saliency is a magnitude already; leave absolute=False")
        if self.grid is not None and not _positive(self.grid, whole=True):
            raise DeparaError(
                f"recipe grid must be a whole number of pixels >= 1, got {self.grid!r}"
            )

    def _fill_method_defaults(self) -> None:
        """Gives `epsilon` and `steps` their defaults where they act, else refuses them."""
        for field, method, default in (
            ("epsilon", "epsilon_lrp", DEFAULT_EPSILON),
            ("steps", "integrated_gradients", DEFAULT_STEPS),
        ):
            value = getattr(self, field)
            if self.attribution == method:
                if value is None:
                    object.__setattr__(self, field, default)
                elif not _positive(value, whole=field == "steps"):
                    kind = "a whole number" if field == "steps" else "a finite number"
                    raise DeparaError(f"recipe {field} must be {kind} > 0, got {value!r}")
            elif value is not None:
                raise DeparaError(
                    f"recipe: {field}={value!r} has no effect with "
                    f"attribution={self.attribution!r}; it belongs to {method!r}"
                )

    @property
    def uses_nodes(self) -> bool:
        """Whether attribution maps are needed at all."""
        return self.node_weight > 0

    @property
    def uses_edges(self) -> bool:
        """Whether the edge term counts."""
        return self.lam > 0

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some fields changed; its name says which, unless a name is given."""
        if "attribution" in changes:
            changes = {"epsilon": None, "steps": None, **changes}
        new = dataclasses.replace(self, **changes)
        shown = [f"{k}={v}" for k, v in changes.items() if getattr(self, k) != v and v is not None]
        if "name" not in changes and shown:
            new = dataclasses.replace(new, name=f"{self.name}+{','.join(shown)}")
        return new

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, for result files."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """The recipe of what `to_dict` gave, in an earlier version too.

        Raises:
          UnknownNameError: a field that there is not.
          DeparaError: a value or a combination that a recipe refuses.
        """
        fields = without_removed(fields)
        check_fields(fields)
        return cls(**fields)

    def map_part(self) -> "Recipe":
        """The recipe with everything at its default that attribution maps do not depend on.

        Compiled programs are cached by it, so that another lambda or name compiles nothing anew.
        """
        return Recipe(name="maps", **self.fields_of("map"))

    def graph_key(self) -> tuple:
        """What a graph depends on: two graphs are comparable if theirs are equal."""
        return (*self.fields_of("graph").values(), self.uses_nodes)

    def fields_of(self, product: Product) -> dict[str, Any]:
        """The fields that a product depends on, by name.

        Args:
          product: "map", "graph" or "vector"; each depends on what those before it depend on.
        """
        last = _ORDER.index(product)
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if _ORDER.index(field.metadata["product"]) <= last
        }


def _positive(value: Any, *, whole: bool) -> bool:
    """Whether a value is a finite (whole) number above 0; True is no number here."""
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 < value < math.inf


# facts: DEPARA eqs. 3 and 4; TAM section 3.3 and its code; the code of DEPARA's two halves.
_PAPER = Recipe(name="paper", target="l2sq", lam=1.0)
# TAM's maps, centred edges, ranks without averaged ties, lambda = .25 (the code's default for the
# Taskonomy probe set).
_DEPARA_TASK = Recipe(
    name="depara-task", target="sum", channel_reduction="mean", edge_normalization="center",
    ties="ordinal", lam=0.25,
)  # fmt: skip
# Mean of the convolution's output, magnitudes averaged over channels, raw edges, the target's
# logits; lambda = 1, the paper's for a tenth of the target's data.
_DEPARA_LAYER = Recipe(
    name="depara-layer", target="mean", absolute=True, channel_reduction="mean", ties="ordinal",
    lam=1.0, feature_point="conv", target_side="logits",
)  # fmt: skip
RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        # DEPARA as written: x * d||F||^2/dx, no channel mean, no centring; lambda is tuned there.
        "paper": _PAPER,
        # "Deep Model Transferability from Attribution Maps": nodes only, gradient of the summed
        # encoder output, maps averaged over channels.
        "tam": Recipe(name="tam", target="sum", channel_reduction="mean", lam=0.0),
        # What DEPARA's released code computes between tasks and between layers, without its bugs
        # (docs/fidelity.md).
        "depara-task": _DEPARA_TASK,
        "depara-layer": _DEPARA_LAYER,
        # The paper's nodes with z-scored edges: DDS (ECCV 2020) measured .862 for z-scored against
        # .740 for centred and .750 for raw cosines on Taskonomy's affinities. Ours (experiments,
        # league): .65 for this recipe, .51 with raw edges; every lambda from .25 up is alike.
        "default": Recipe(name="default", target="l2sq", edge_normalization="zscore", lam=1.0),
    }
)  # fmt: skip


# What reproduced bugs of the authors' code, and where it went.
_WALKS = "the authors' walks are in experiments/fidelity/authors.py, see docs/fidelity.md"
_GONE = {
    "depara-task-upstream": "it was 'depara-task' with node_weight=0.001",
    "depara-layer-upstream": _WALKS,
    "depara-layer-upstream-cpu": _WALKS,
    "accumulate": _WALKS,
    "relu_alias": _WALKS,
}
_REMOVED = {"accumulate": "off", "relu_alias": False}


def check_fields(names: Iterable[str]) -> None:
    """Refuses names of fields that recipes do not have.

    Raises:
      UnknownNameError: with the near ones, or where the field went.
    """
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in names:
        if name not in known:
            raise UnknownNameError("recipe field", name, known, hint=_GONE.get(name, ""))


def without_removed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields without those of earlier versions that changed nothing in it."""
    return {k: v for k, v in dict(fields).items() if k not in _REMOVED or v != _REMOVED[k]}


def recipe_named(name: str, *, lam: float | None = None) -> Recipe:
    """A preset by name, with another lambda if one is given.

    Raises:
      UnknownNameError: no such preset; for those that there were, the message says where they went.

    Example:
      >>> recipe_named("paper", lam=0.25).name
      'paper+lam=0.25'
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES, hint=_GONE.get(name, ""))
    recipe = RECIPES[name]
    return recipe if lam is None else recipe.replace(lam=lam)
