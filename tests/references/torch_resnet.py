"""ResNet in PyTorch, slow and obvious, under torchvision's module names (CIFAR's: akamaster's)."""

import torch
from torch import nn
from torch.nn import functional


class Unit(nn.Module):
    def __init__(self, n_in, width, stride, config):
        super().__init__()
        self.out = 4 * width if config.bottleneck else width
        shapes = (
            [(n_in, width, 1, 1), (width, width, 3, stride), (width, self.out, 1, 1)]
            if config.bottleneck
            else [(n_in, width, 3, stride), (width, width, 3, 1)]
        )
        for k, (a, b, size, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{k}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(b))
        self.count, self.stride = len(shapes), stride
        if config.family == "imagenet" and (stride != 1 or n_in != self.out):
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, self.out, 1, stride, bias=False), nn.BatchNorm2d(self.out)
            )

    def forward(self, x):
        y = x
        for k in range(1, self.count + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = functional.relu(y) if k < self.count else y
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        elif self.stride != 1:
            missing = self.out - x.shape[1]
            x = functional.pad(
                x[:, :, ::2, ::2], (0, 0, 0, 0, missing // 2, missing - missing // 2)
            )
        return functional.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        n_in, imagenet = config.widths[0], config.family == "imagenet"
        self.conv1 = nn.Conv2d(
            3, n_in, 7 if imagenet else 3, 2 if imagenet else 1, 3 if imagenet else 1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(n_in)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        for b, (width, count) in enumerate(zip(config.widths, config.units, strict=True), start=1):
            units = []
            for u in range(count):
                units.append(Unit(n_in, width, 2 if b > 1 and u == 0 else 1, config))
                n_in = units[-1].out
            setattr(self, f"layer{b}", nn.Sequential(*units))
        self.stages = len(config.widths)
        self.fc = nn.Linear(n_in, config.num_classes)

    def forward(self, x):
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        for b in range(1, self.stages + 1):
            x = getattr(self, f"layer{b}")(x)
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
