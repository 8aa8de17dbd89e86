"""What a model is but its numbers: `ModelSpec`, its inputs, and how one of its layers is named."""

import dataclasses
import math
from typing import Literal, NamedTuple, get_args

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = ["InputSpec", "LayerRef", "ModelSpec"]

Channels = Literal["rgb", "bgr", "gray", "lab_l"]


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """How a decoded 8-bit image becomes the array that a model takes.

    Resize so that the short side is `resize` (Pillow's antialiased bilinear, as torchvision does to
    PIL images), crop the centre to `size`, order the channels, clip, map 0..255 linearly onto
    `scale`, subtract `mean` and divide by `std`, then blank the hole.

    Attributes:
      size: height and width in pixels.
      resize: short side before the crop; `None` takes the larger entry of `size`.
      channels: "rgb", "bgr", "gray" (one channel, ITU-R 601 luma) or "lab_l" (one channel, the
        lightness L* of CIELAB under D65; its 0..100 take the place of 0..255).
      scale: what pixel values 0 and 255 become before `mean` and `std`.
      mean: one entry a channel, in units of `scale`.
      std: one entry a channel, in units of `scale`.
      clip: pixel values are first limited to these fractions of 0..255, so that the result does not
        span the whole of `scale`; `None` leaves them.
      hole: height and width of a rectangle in the middle that is 0 in the result; `None` has none.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | None = None
    channels: Channels | str = "rgb"
    scale: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    clip: tuple[float, float] | None = None
    hole: tuple[int, int] | None = None

    def __post_init__(self):
        for field in ("size", "scale", "mean", "std", "clip", "hole"):
            value = getattr(self, field)
            if value is not None:  # lists, as a JSON file gives them, would not be hashable
                object.__setattr__(self, field, tuple(value))
        if self.channels not in get_args(Channels):
            raise UnknownNameError("InputSpec channels", self.channels, get_args(Channels))
        count = self.n_channels
        if len(self.mean) != count or len(self.std) != count:
            raise DeparaError(
                f"InputSpec: mean and std need {count} entries for {self.channels!r} images, got "
                f"{len(self.mean)} and {len(self.std)}"
            )
        finite = all(map(math.isfinite, (*self.mean, *self.std, *self.scale)))
        if not finite or min(self.size) < 1 or min(self.std) <= 0 or self.scale[0] >= self.scale[1]:
            raise DeparaError(
                "InputSpec: size must be at least 1, std positive, scale increasing and all "
                f"finite, got size={self.size}, std={self.std}, mean={self.mean}, "
                f"scale={self.scale}"
            )
        if self.resize is not None and self.resize < max(self.size):
            raise DeparaError(
                f"InputSpec: resize={self.resize} is smaller than the crop {self.size}; "
                "the short side must cover it"
            )
        if self.clip is not None and not 0.0 <= self.clip[0] < self.clip[1] <= 1.0:
            raise DeparaError(
                f"InputSpec: clip={self.clip} must be two increasing fractions of 0..255 in [0, 1]"
            )
        if self.hole is not None and not (
            0 < self.hole[0] <= self.size[0] and 0 < self.hole[1] <= self.size[1]
        ):
            raise DeparaError(f"InputSpec: hole={self.hole} must fit into size={self.size}")

    @property
    def n_channels(self) -> int:
        """Channels of the array that the model takes."""
        return 1 if self.channels in ("gray", "lab_l") else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one input image."""
        return (*self.size, self.n_channels)

    @classmethod
    def imagenet(cls, size: int = 224, resize: int = 256) -> "InputSpec":
        """The evaluation preprocessing of torchvision's ImageNet classifiers."""
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return cls(size=(size, size), resize=resize, mean=mean, std=std)


class LayerRef(NamedTuple):
    """A layer of a network.

    Attributes:
      model: name of the network.
      layer: name of the layer in it.
    """

    model: str
    layer: str

    def __str__(self) -> str:
        return f"{self.model}:{self.layer}"


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Everything about a model but its numbers; hashable, so it serves as a cache key.

    Attributes:
      name: unique within its zoo.
      architecture: the network family and size, e.g. "vgg19_bn".
      input: preprocessing.
      layers: every layer that `forward` returns by name, shallow to deep.
      encoder: the layer with the most compact features, which stands for the model in model
        selection.
      logits: the layer of the final outputs, if there is one.
      points: for each feature point ("conv", "norm", "activation") the layers, shallow to deep,
        that layer selection compares; as pairs so that the spec stays hashable.
      task: what the network was trained for.
      zoo: where it comes from, e.g. "mini".
      sha256: digest of its weights file, if it has one.
    """

    name: str
    architecture: str
    input: InputSpec
    layers: tuple[str, ...]
    encoder: str
    logits: str | None = None
    points: tuple[tuple[str, tuple[str, ...]], ...] = ()
    task: str | None = None
    zoo: str | None = None
    sha256: str | None = None

    def __post_init__(self):
        for layer in (self.encoder, *([self.logits] if self.logits else [])):
            self.check_layer(layer)
        for _, layers in self.points:
            for layer in layers:
                self.check_layer(layer)

    def check_layer(self, layer: str) -> str:
        """Returns `layer`, or raises `UnknownNameError` with the near names."""
        if layer not in self.layers:
            raise UnknownNameError(f"layer of model {self.name!r}", layer, self.layers)
        return layer

    def layers_at(self, point: str) -> tuple[str, ...]:
        """The layers at a feature point, shallow to deep; all of them where none is declared."""
        if not self.points:
            return self.layers
        table = dict(self.points)
        if point not in table:
            # A network without normalisation has the same values before and after it.
            fallback = {"norm": "conv", "conv": "norm"}.get(point)
            if fallback in table:
                return table[fallback]
            raise UnknownNameError(f"feature point of model {self.name!r}", point, table)
        return table[point]
