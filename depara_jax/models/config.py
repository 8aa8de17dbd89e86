"""What a port's configuration says of its network, and the layer names that follow from stages."""

from typing import Any

from depara_jax.models.layers.convolution import Padding
from depara_jax.spec import InputSpec

__all__ = ["PortConfig", "StagedConfig"]


class PortConfig:
    """Base of the configurations, which are frozen dataclasses and so hashable.

    Attributes:
      architecture: a name such as "resnet50".
      layers: every layer that the network returns, shallow to deep.
      points: the layers at each feature point; see `ModelSpec.points`.
      encoder: the layer that stands for the network, which has its most compact features.
      logits: the layer of the outputs, if there is one.
      input: the family's own preprocessing.
    """

    architecture: str
    layers: tuple[str, ...]
    points: tuple[tuple[str, tuple[str, ...]], ...]
    encoder: str
    logits: str | None = None
    input: InputSpec


class StagedConfig(PortConfig):
    """Of a network of stages: a convolution, its normalisation, an activation or a shortcut.

    A stage's own name is its output; STAGE.conv and STAGE.norm are its last convolution and the
    normalisation after that, before a shortcut is added.

    Attributes:
      stages: their names, shallow to deep.
      stem_pool: the layer between the first stage and the second, if there is one.
      padding: as in `layers.ConvNorm`.
      epsilon: of batch normalisation.
      folded: whether normalisation is part of the convolutions; there is no STAGE.norm then.
    """

    stages: tuple[str, ...]
    stem_pool: str | None = None
    padding: Padding = "torch"
    epsilon: float = 1e-5
    folded: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """What stages have besides their output."""
        return ("conv",) if self.folded else ("conv", "norm")

    @property
    def layers(self) -> tuple[str, ...]:
        """The stages' layers; then the encoder, where it is none of these, and the logits."""
        first, *others = ((*(f"{s}.{kind}" for kind in self.kinds), s) for s in self.stages)
        encoder = None if self.encoder in self.stages else self.encoder
        behind = (name for stage in others for name in stage)
        every = (*first, self.stem_pool, *behind, encoder, self.logits)
        return tuple(name for name in every if name is not None)

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The stages' layers at each feature point; the classes have no activation."""
        last = () if self.logits is None else (self.logits,)
        linear = ((kind, (*(f"{s}.{kind}" for s in self.stages), *last)) for kind in self.kinds)
        return (*linear, ("activation", self.stages))

    @property
    def conv_norm(self) -> dict[str, Any]:
        """How the network's `ConvNorm`s are made."""
        return {"padding": self.padding, "epsilon": self.epsilon, "folded": self.folded}

    def outputs(self, stage: str, conv: Any, norm: Any, x: Any) -> dict[str, Any]:
        """A stage's features by their layers' names."""
        named = dict(zip(self.kinds, (conv, norm), strict=False))
        return {**{f"{stage}.{kind}": value for kind, value in named.items()}, stage: x}
