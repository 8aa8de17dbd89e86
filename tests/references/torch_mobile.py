"""MobileNetV1, MobileNetV2 and EfficientNet-Lite in PyTorch, slow and obvious.

MobileNetV2 under torchvision's module names, the others under timm's.
"""

import torch
from torch import nn
from torch.nn import functional


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding."""

    def forward(self, x):
        pads = []
        for n, k, s in zip(
            reversed(x.shape[2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(
            functional.pad(x, pads), self.weight, None, self.stride, groups=self.groups
        )


def conv(config, n_in, n_out, size=1, stride=1, groups=1):
    if config.padding == "same":
        return Same(n_in, n_out, size, stride, groups=groups, bias=False)
    return nn.Conv2d(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)


def norm(config, width):
    return nn.BatchNorm2d(width, eps=config.epsilon)


class Block(nn.Module):
    """timm's inverted residual or depthwise separable block."""

    def __init__(self, config, shape):
        super().__init__()
        wide = shape.n_in * shape.expansion
        parts = [("conv_dw", conv(config, wide, wide, shape.size, shape.stride, wide), wide)]
        if shape.expansion == 1:
            parts += [("conv_pw", conv(config, wide, shape.n_out), shape.n_out)]
        else:
            parts = [("conv_pw", conv(config, shape.n_in, wide), wide), *parts]
            parts += [("conv_pwl", conv(config, wide, shape.n_out), shape.n_out)]
        self.parts = [name for name, _, _ in parts]
        for k, (name, module, width) in enumerate(parts, start=1):
            setattr(self, name, module)
            setattr(self, f"bn{k}", norm(config, width))
        self.adds = shape.stride == 1 and shape.n_in == shape.n_out

    def forward(self, x):
        y = x
        for k, name in enumerate(self.parts, start=1):
            y = getattr(self, f"bn{k}")(getattr(self, name)(y))
            y = functional.relu6(y) if k < len(self.parts) else y
        return x + y if self.adds else y


class Timm(nn.Module):
    """EfficientNet-Lite (or MobileNetV2) as timm names it."""

    def __init__(self, config):
        super().__init__()
        self.conv_stem = conv(config, 3, config.stem_width, 3, 2)
        self.bn1 = norm(config, config.stem_width)
        self.blocks = nn.Sequential(
            *(nn.Sequential(*(Block(config, s) for s in stage)) for stage in config.blocks)
        )
        width = config.blocks[-1][-1].n_out
        self.conv_head = conv(config, width, config.head_width)
        self.bn2 = norm(config, config.head_width)
        self.classifier = nn.Linear(config.head_width, config.num_classes)

    def forward(self, x):
        x = self.blocks(functional.relu6(self.bn1(self.conv_stem(x))))
        x = functional.relu6(self.bn2(self.conv_head(x)))
        return self.classifier(x.mean((2, 3)))


class TorchvisionBlock(nn.Module):
    def __init__(self, config, shape):
        super().__init__()
        wide = shape.n_in * shape.expansion
        layers = []
        if shape.expansion != 1:
            layers += [unit(config, shape.n_in, wide)]
        layers += [unit(config, wide, wide, 3, shape.stride, wide)]
        layers += [conv(config, wide, shape.n_out), norm(config, shape.n_out)]
        self.conv = nn.Sequential(*layers)
        self.adds = shape.stride == 1 and shape.n_in == shape.n_out

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def unit(config, n_in, n_out, size=1, stride=1, groups=1):
    return nn.Sequential(
        conv(config, n_in, n_out, size, stride, groups), norm(config, n_out), nn.ReLU6()
    )


class Torchvision(nn.Module):
    """MobileNetV2 as torchvision names it."""

    def __init__(self, config):
        super().__init__()
        blocks = [TorchvisionBlock(config, s) for stage in config.blocks for s in stage]
        width = config.blocks[-1][-1].n_out
        self.features = nn.Sequential(
            unit(config, 3, config.stem_width, 3, 2),
            *blocks,
            unit(config, width, config.head_width),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(config.head_width, config.num_classes)
        )

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Separable(nn.Module):
    def __init__(self, config, n_in, n_out, stride):
        super().__init__()
        self.conv_dw = conv(config, n_in, n_in, 3, stride, n_in)
        self.bn1 = norm(config, n_in)
        self.conv_pw = conv(config, n_in, n_out)
        self.bn2 = norm(config, n_out)

    def forward(self, x):
        x = functional.relu6(self.bn1(self.conv_dw(x)))
        return functional.relu6(self.bn2(self.conv_pw(x)))


class MobileNetV1(nn.Module):
    """As timm names it."""

    def __init__(self, config, counts=(1, 2, 2, 6, 2)):
        super().__init__()
        self.conv_stem = conv(config, 3, config.stem_width, 3, 2)
        self.bn1 = norm(config, config.stem_width)
        blocks, shapes = [], iter(config.blocks)
        for count in counts:
            blocks.append(nn.Sequential(*(Separable(config, *next(shapes)) for _ in range(count))))
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(config.blocks[-1][1], config.num_classes)

    def forward(self, x):
        x = self.blocks(functional.relu6(self.bn1(self.conv_stem(x))))
        return self.classifier(torch.mean(x, (2, 3)))
