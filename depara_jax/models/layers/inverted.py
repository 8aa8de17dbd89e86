"""Inverted residuals, which MobileNetV2 and EfficientNet-Lite are made of.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018: a 1x1
convolution widens, a depthwise one filters, a 1x1 one narrows without an activation, and the
shortcut joins the narrow ends.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
from flax import nnx

from depara_jax.models.layers.convolution import Padding
from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.port import check_images
from depara_jax.models.schemes import Scheme, classifier_rules, graph_rules, torch_conv_norm

__all__ = [
    "BlockShape",
    "InvertedConfig",
    "InvertedNetwork",
    "InvertedResidual",
    "layer_names",
    "block_names",
    "divisible",
    "graph_scheme",
    "points",
    "timm_scheme",
]


class BlockShape(NamedTuple):
    """One inverted residual: channels in, out, the widening, kernel side, stride, dilation."""

    n_in: int
    n_out: int
    expansion: int
    size: int
    stride: int
    dilation: int = 1


@runtime_checkable
class InvertedConfig(Protocol):
    """What the network needs to know."""

    @property
    def architecture(self) -> str:
        """Its name."""
        ...

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        ...

    @property
    def stages(self) -> tuple[tuple[BlockShape, ...], ...]:
        """The blocks, stage by stage."""
        ...

    @property
    def head_width(self) -> int | None:
        """Channels of the last convolution; None leaves it and the classes out."""
        ...

    @property
    def num_classes(self) -> int | None:
        """Outputs; None leaves the last linear layer out."""
        ...

    @property
    def padding(self) -> Padding:
        """As in `layers.ConvNorm`."""
        ...

    @property
    def epsilon(self) -> float:
        """Of batch normalisation."""
        ...

    @property
    def folded(self) -> bool:
        """Whether normalisation is part of the convolutions."""
        ...


class InvertedResidual(nnx.Module):
    """One block."""

    def __init__(self, shape: BlockShape, config: InvertedConfig, rngs: nnx.Rngs):
        wide = shape.n_in * shape.expansion
        rest: dict = {
            "padding": config.padding,
            "epsilon": config.epsilon,
            "folded": config.folded,
        }
        self.expand = ConvNorm(shape.n_in, wide, rngs, **rest) if shape.expansion != 1 else None
        self.depthwise = ConvNorm(
            wide, wide, rngs, size=shape.size, stride=shape.stride,
            dilation=shape.dilation, depthwise=True, **rest,
        )  # fmt: skip
        self.project = ConvNorm(wide, shape.n_out, rngs, **rest)
        self.adds = shape.stride == 1 and shape.n_in == shape.n_out

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The projection, its normalisation, and the block's output."""
        y = x if self.expand is None else jax.nn.relu6(self.expand(x)[1])
        conv, norm = self.project(jax.nn.relu6(self.depthwise(y)[1]))
        return conv, norm, x + norm if self.adds else norm


class InvertedNetwork(nnx.Module):
    """Stem, blocks, a 1x1 convolution, average pooling, classes; any image size works."""

    def __init__(self, config: InvertedConfig, rngs: nnx.Rngs):
        self.config = config
        rest: dict = {
            "padding": config.padding,
            "epsilon": config.epsilon,
            "folded": config.folded,
        }
        self.stem = ConvNorm(3, config.stem_width, rngs, size=3, stride=2, **rest)
        self.stages = nnx.List(
            [
                nnx.List([InvertedResidual(shape, config, rngs) for shape in stage])
                for stage in config.stages
            ]
        )
        width = config.stages[-1][-1].n_out
        head = config.head_width
        self.head = None if head is None else ConvNorm(width, head, rngs, **rest)
        classes = config.num_classes
        self.classifier = None if classes is None else nnx.Linear(head or width, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        check_images(images, self.config.architecture)
        out: dict[str, jax.Array] = {}

        def keep(name: str, conv: jax.Array, norm: jax.Array, x: jax.Array) -> jax.Array:
            out[f"{name}.conv"] = conv
            if not self.config.folded:
                out[f"{name}.norm"] = norm
            out[name] = x
            return x

        conv, norm = self.stem(images)
        x = keep("stem", conv, norm, jax.nn.relu6(norm))
        for s, stage in enumerate(self.stages):
            for b, block in enumerate(stage):
                x = keep(f"blocks.{s}.{b}", *block(x))
        if self.head is not None:
            conv, norm = self.head(x)
            x = keep("head", conv, norm, jax.nn.relu6(norm))
        out["avgpool"] = x.mean(axis=(1, 2))
        if self.classifier is not None:
            out["classifier"] = self.classifier(out["avgpool"])
        return out


def layer_names(names: tuple[str, ...], config: InvertedConfig) -> tuple[str, ...]:
    """Every layer of convolutional stages, shallow to deep, with pooling and classes after them.

    A stage's own name is its output; STAGE.conv and STAGE.norm are its last convolution and the
    normalisation after that (left out where it is folded in).
    """
    kinds = ("conv",) if config.folded else ("conv", "norm")
    last = () if config.num_classes is None else ("classifier",)
    return (*(a for n in names for a in (*(f"{n}.{k}" for k in kinds), n)), "avgpool", *last)


def points(
    names: tuple[str, ...], config: InvertedConfig
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The stages' names at each feature point; see `ModelSpec.points`."""
    last = () if config.num_classes is None else ("classifier",)
    norm = () if config.folded else (("norm", (*(f"{n}.norm" for n in names), *last)),)
    return (("conv", (*(f"{n}.conv" for n in names), *last)), *norm, ("activation", names))


def block_names(config: InvertedConfig) -> tuple[str, ...]:
    """The stages' names, shallow to deep."""
    blocks = (f"blocks.{s}.{b}" for s, stage in enumerate(config.stages) for b in range(len(stage)))
    return ("stem", *blocks, *(() if config.head_width is None else ("head",)))


def divisible(channels: float, by: int = 8) -> int:
    """Rounded to a multiple, never down by more than 10 per cent (as TF-slim and torchvision)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def timm_scheme(config: InvertedConfig) -> Scheme:
    """The names that timm gives MobileNetV2 and EfficientNets."""
    rules = torch_conv_norm("conv_stem", "bn1", "stem")
    for s, stage in enumerate(config.stages):
        for b, shape in enumerate(stage):
            here, there = rf"blocks\.{s}\.{b}\.", f"stages.{s}.{b}"
            if shape.expansion == 1:
                parts = [("conv_dw", "depthwise"), ("conv_pw", "project")]
            else:
                parts = [("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project")]
            for k, (conv, part) in enumerate(parts, start=1):
                kind = "depthwise" if part == "depthwise" else "conv"
                rules += torch_conv_norm(f"{here}{conv}", f"{here}bn{k}", f"{there}.{part}", kind)
    rules += torch_conv_norm("conv_head", "bn2", "head")
    rules += classifier_rules("classifier")
    return Scheme("timm", r"blocks\.0\.0\.conv_dw\.weight", rules)


def graph_scheme(config: InvertedConfig) -> Scheme:
    """The graph format's names (see `weights.graph_format`), whose order is the network's.

    Where the configuration ends early (segmentation, pose), the heads behind it are left out.
    """
    parts: list[tuple[str, str, str]] = [("conv.s2.d1.relu6", "stem.conv", "conv_ohwi")]
    for s, stage in enumerate(config.stages):
        for b, shape in enumerate(stage):
            there = f"stages.{s}.{b}"
            if shape.expansion != 1:
                parts.append(("conv.s1.d1.relu6", f"{there}.expand.conv", "conv_ohwi"))
            kind = f"depthwise.s{shape.stride}.d{shape.dilation}.relu6"
            parts.append((kind, f"{there}.depthwise.conv", "depthwise_1hwc"))
            parts.append(("conv.s1.d1.linear", f"{there}.project.conv", "conv_ohwi"))
    if config.head_width is not None:
        parts.append(("conv.s1.d1.relu6", "head.conv", "conv_ohwi"))
    return graph_rules(parts, None if config.num_classes is None else "classifier")
