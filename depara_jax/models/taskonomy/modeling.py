"""Taskonomy's encoder in Flax NNX: ResNet-50 v1 of stride 16, then eight channels.

"Taskonomy: Disentangling Task Transfer Learning" (Zamir et al., CVPR 2018) trains one encoder per
task: TF-slim's `resnet_v1_50` whose last downsampling is left out, and a 3x3 convolution to 8
channels with batch normalisation and ReLU, so that 256x256 images become 16x16x8. As in TF-slim the
stride of a block sits in its LAST unit (in the 3x3 convolution, with a subsampled shortcut), not in
the first as in torchvision; blocks 1 and 2 have one, blocks 3 and 4 do not.
"""

import dataclasses
import functools
from typing import Any

import jax
from flax import nnx

from depara_jax.errors import DeparaError
from depara_jax.models.convolution import convolution
from depara_jax.models.pooling import max_pool

__all__ = ["EXPANSION", "TaskonomyConfig", "TaskonomyEncoder", "forward"]

EXPANSION = 4  # output channels of a bottleneck over its width
_EPSILON = 1e-5  # of TF-slim's `resnet_arg_scope` and of PyTorch's BatchNorm2d


@dataclasses.dataclass(frozen=True)
class TaskonomyConfig:
    """Shape of the encoder; hashable. The defaults are the published network.

    Attributes:
      channels_in: 3, or 1 for colorization, which sees the lightness only.
      stem_width: channels of the 7x7 convolution.
      widths: inner channels of each block's bottlenecks; their outputs have four times as many.
      units: bottlenecks of each block.
      strides: stride of each block's last unit.
      features: channels of the encoder's output.
    """

    channels_in: int = 3
    stem_width: int = 64
    widths: tuple[int, ...] = (64, 128, 256, 512)
    units: tuple[int, ...] = (3, 4, 6, 3)
    strides: tuple[int, ...] = (2, 2, 1, 1)
    features: int = 8

    def __post_init__(self):
        if not len(self.widths) == len(self.units) == len(self.strides) > 0:
            raise DeparaError(
                "TaskonomyConfig: widths, units and strides must be as long as each other and not "
                f"empty, got {self.widths}, {self.units} and {self.strides}"
            )
        sizes = (*self.widths, *self.units, *self.strides, self.stem_width, self.features)
        if min(sizes) < 1 or self.channels_in not in (1, 3):
            raise DeparaError(
                f"TaskonomyConfig: all sizes must be at least 1 and channels_in 1 or 3, got {self}"
            )

    @property
    def architecture(self) -> str:
        """The name "taskonomy-resnet50", or the depth and the widths of another shape."""
        depth = 2 + 3 * sum(self.units)
        if dataclasses.replace(self, channels_in=3) == TaskonomyConfig():
            return "taskonomy-resnet50"
        return f"taskonomy-resnet{depth}-{'.'.join(map(str, self.widths))}"

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the convolution-norm-activation stages, shallow to deep."""
        units = (
            f"block{b + 1}.unit{u + 1}" for b, n in enumerate(self.units) for u in range(n)
        )  # fmt: skip
        return ("stem", *units, "compress")

    @property
    def layers(self) -> tuple[str, ...]:
        """Every address that `forward` returns, shallow to deep.

        A stage's own name is its output after the ReLU; STAGE.conv and STAGE.norm are its (last)
        convolution and the batch normalisation after that. For a bottleneck both come before the
        shortcut is added. "pool" is the stem's output after max-pooling.
        """
        addresses = [a for s in self.stages for a in (f"{s}.conv", f"{s}.norm", s)]
        return (*addresses[:3], "pool", *addresses[3:])

    @property
    def points(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The stages' addresses at each feature point; see `ModelSpec.points`."""
        return (
            ("conv", tuple(f"{stage}.conv" for stage in self.stages)),
            ("norm", tuple(f"{stage}.norm" for stage in self.stages)),
            ("activation", self.stages),
        )


class ConvNorm(nnx.Module):
    """A convolution without bias and its batch normalisation with the stored statistics."""

    def __init__(self, n_in: int, n_out: int, rngs: nnx.Rngs, *, size: int = 1, stride: int = 1):
        # Padding (size - 1)/2 on both sides whatever the stride (TF-slim's conv2d_same, and the
        # PyTorch port): "SAME" would pad a strided convolution on the right alone.
        pad = (size - 1) // 2
        self.conv = nnx.Conv(
            n_in,
            n_out,
            kernel_size=(size, size),
            strides=(stride, stride),
            padding=((pad, pad), (pad, pad)),
            use_bias=False,
            kernel_init=nnx.initializers.he_normal(),
            conv_general_dilated=convolution,
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(n_out, use_running_average=True, epsilon=_EPSILON, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Output of the convolution and of the normalisation, [n, h/stride, w/stride, n_out]."""
        conv = self.conv(x)
        return conv, self.norm(conv)


class Bottleneck(nnx.Module):
    """1x1, 3x3, 1x1 and a shortcut: [n, h, w, n_in] -> [n, h/stride, w/stride, 4 width]."""

    def __init__(self, n_in: int, width: int, stride: int, rngs: nnx.Rngs):
        n_out = EXPANSION * width
        self.conv1 = ConvNorm(n_in, width, rngs)
        self.conv2 = ConvNorm(width, width, rngs, size=3, stride=stride)
        self.conv3 = ConvNorm(width, n_out, rngs)
        changes = n_in != n_out
        self.shortcut = ConvNorm(n_in, n_out, rngs, stride=stride) if changes else None
        self.stride = stride

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The last convolution, its normalisation, and the unit's output."""
        y = jax.nn.relu(self.conv1(x)[1])
        y = jax.nn.relu(self.conv2(y)[1])
        conv, norm = self.conv3(y)
        kept = (
            x[:, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(x)[1]
        )
        return conv, norm, jax.nn.relu(norm + kept)


class TaskonomyEncoder(nnx.Module):
    """The encoder; `encoder(images[n, h, w, channels_in])` returns {address: [n, h', w', c]}.

    Any image size works; the output has a sixteenth of it, rounded up. Max-pooling pads as
    TensorFlow's "SAME" does, with which the networks were trained. At 256 pixels, and wherever
    half the size (rounded up) is even, the PyTorch port computes the same; elsewhere it pads
    differently.
    """

    def __init__(self, config: TaskonomyConfig, rngs: nnx.Rngs):
        self.config = config
        self.stem = ConvNorm(config.channels_in, config.stem_width, rngs, size=7, stride=2)
        n_in = config.stem_width
        blocks = []
        for width, units, stride in zip(config.widths, config.units, config.strides, strict=True):
            block = []
            for unit in range(units):
                last = unit == units - 1
                block.append(Bottleneck(n_in, width, stride if last else 1, rngs))
                n_in = EXPANSION * width
            blocks.append(nnx.List(block))
        self.blocks = nnx.List(blocks)
        self.compress = ConvNorm(n_in, config.features, rngs, size=3)

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Features of every layer, shallow to deep."""
        conv, norm = self.stem(images)
        x = jax.nn.relu(norm)
        out = {"stem.conv": conv, "stem.norm": norm, "stem": x}
        x = out["pool"] = max_pool(x, 3, stride=2, padding="same")
        for b, block in enumerate(self.blocks, start=1):
            for u, unit in enumerate(block, start=1):
                name = f"block{b}.unit{u}"
                out[f"{name}.conv"], out[f"{name}.norm"], x = unit(x)
                out[name] = x
        out["compress.conv"], out["compress.norm"] = self.compress(x)
        out["compress"] = jax.nn.relu(out["compress.norm"])
        return out


@functools.cache
def _graphdef(config: TaskonomyConfig) -> nnx.GraphDef:
    """The static half of the encoder; nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: TaskonomyEncoder(config, nnx.Rngs(0))))[0]


@dataclasses.dataclass(frozen=True)
class _Forward:
    """`forward` of one configuration; equal for equal configurations, so it can be cached on."""

    config: TaskonomyConfig

    def __call__(self, variables: Any, images: jax.Array) -> dict[str, jax.Array]:
        return nnx.merge(_graphdef(self.config), variables)(images)


def forward(config: TaskonomyConfig) -> _Forward:
    """The encoder as a pure function of (variables, images); see `depara_jax.types.Forward`."""
    return _Forward(config)
