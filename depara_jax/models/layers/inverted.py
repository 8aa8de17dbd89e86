"""Inverted residuals, which MobileNetV2 and EfficientNet-Lite are made of.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018: a 1x1
convolution widens, a depthwise one filters, a 1x1 one narrows without an activation, and the
shortcut joins the narrow ends.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
from flax import nnx

from depara_jax.models.config import StagedConfig
from depara_jax.models.layers.norm import ConvNorm
from depara_jax.models.port import check_images
from depara_jax.models.schemes import Scheme, graph_rules, torch_conv_norm, torch_layer

__all__ = [
    "BlockShape",
    "InvertedConfig",
    "InvertedNetwork",
    "InvertedResidual",
    "block_shapes",
    "divisible",
    "graph_scheme",
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


class InvertedConfig(StagedConfig):
    """What the network needs to know.

    Attributes:
      stem_width: channels of the first convolution.
      blocks: the inverted residuals, group by group.
      head_width: channels of the last convolution; None leaves it out.
      num_classes: outputs; None leaves the last linear layer out.
    """

    stem_width: int
    blocks: tuple[tuple[BlockShape, ...], ...]
    head_width: int | None
    num_classes: int | None
    encoder = "avgpool"

    @property
    def stages(self) -> tuple[str, ...]:
        """Stem, blocks and head."""
        blocks = (
            f"blocks.{s}.{b}" for s, group in enumerate(self.blocks) for b in range(len(group))
        )
        return ("stem", *blocks, *(() if self.head_width is None else ("head",)))

    @property
    def logits(self) -> str | None:
        """The classes."""
        return None if self.num_classes is None else "classifier"


class InvertedResidual(nnx.Module):
    """One block."""

    def __init__(self, shape: BlockShape, config: InvertedConfig, rngs: nnx.Rngs):
        wide = shape.n_in * shape.expansion
        rest = config.conv_norm
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
        rest = config.conv_norm
        self.stem = ConvNorm(3, config.stem_width, rngs, size=3, stride=2, **rest)
        self.stages = nnx.List(
            [
                nnx.List([InvertedResidual(shape, config, rngs) for shape in stage])
                for stage in config.blocks
            ]
        )
        width = config.blocks[-1][-1].n_out
        head = config.head_width
        self.head = None if head is None else ConvNorm(width, head, rngs, **rest)
        classes = config.num_classes
        self.classifier = None if classes is None else nnx.Linear(head or width, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep.

        Raises:
          DeparaError: the images are not [n, h, w, 3].
        """
        config = self.config
        check_images(images, config.architecture)
        conv, norm = self.stem(images)
        x = jax.nn.relu6(norm)
        out = config.outputs("stem", conv, norm, x)
        for s, stage in enumerate(self.stages):
            for b, block in enumerate(stage):
                conv, norm, x = block(x)
                out |= config.outputs(f"blocks.{s}.{b}", conv, norm, x)
        if self.head is not None:
            conv, norm = self.head(x)
            x = jax.nn.relu6(norm)
            out |= config.outputs("head", conv, norm, x)
        out["avgpool"] = x.mean(axis=(1, 2))
        if self.classifier is not None:
            out["classifier"] = self.classifier(out["avgpool"])
        return out


def block_shapes(
    n_in: int, rows: Iterable[tuple[int, int, int, int, int]], output_stride: int = 32
) -> tuple[tuple[BlockShape, ...], ...]:
    """The blocks, group by group.

    Args:
      n_in: channels of the stem, whose stride is 2.
      rows: expansion, channels, number of blocks, kernel side and the first one's stride.
      output_stride: a stride that would go further becomes a dilation of all that comes after.
    """
    reached, dilation, groups = 2, 1, []
    for expansion, n_out, count, size, stride in rows:
        group = []
        for step in (stride, *[1] * (count - 1)):
            widened = step > 1 and reached * step > output_stride
            kept = 1 if widened else step
            group.append(BlockShape(n_in, n_out, expansion, size, kept, dilation))
            dilation *= step // kept
            reached *= kept
            n_in = n_out
        groups.append(tuple(group))
    return tuple(groups)


def divisible(channels: float, by: int = 8) -> int:
    """Rounded to a multiple, never down by more than 10 per cent (as TF-slim and torchvision)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def timm_scheme(config: InvertedConfig) -> Scheme:
    """The names that timm gives MobileNetV2 and EfficientNets."""
    rules = torch_conv_norm("conv_stem", "bn1", "stem")
    for s, stage in enumerate(config.blocks):
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
    rules += torch_layer("classifier", "classifier", "pointwise")
    return Scheme("timm", r"blocks\.0\.0\.conv_dw\.weight", rules)


def graph_scheme(config: InvertedConfig) -> Scheme:
    """The graph format's names (see `weights.graph_format`), whose order is the network's.

    Where the configuration ends early (segmentation, pose), the heads behind it are left out.
    """
    parts: list[tuple[str, str, str]] = [("conv.s2.d1.relu6", "stem.conv", "conv_ohwi")]
    for s, stage in enumerate(config.blocks):
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
