"""ConvNeXt in PyTorch, slow and obvious, under timm's or torchvision's names."""

import torch
from torch import nn
from torch.nn import functional


class Norm2d(nn.LayerNorm):
    """Over the channels of [n, c, h, w]."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """timm's."""

    def __init__(self, width):
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential()
        self.mlp.fc1 = nn.Linear(width, 4 * width)
        self.mlp.fc2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        y = self.norm(self.conv_dw(x).movedim(1, -1))
        y = self.gamma * self.mlp.fc2(functional.gelu(self.mlp.fc1(y)))
        return x + y.movedim(-1, 1)


class Stage(nn.Module):
    def __init__(self, n_in, width, depth):
        super().__init__()
        if n_in != width:
            self.downsample = nn.Sequential(Norm2d(n_in, eps=1e-6), nn.Conv2d(n_in, width, 2, 2))
        else:
            self.downsample = nn.Identity()
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))

    def forward(self, x):
        return self.blocks(self.downsample(x))


class Timm(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = config.widths
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), Norm2d(widths[0], eps=1e-6))
        pairs = zip((widths[0], *widths), widths, config.depths, strict=False)
        self.stages = nn.Sequential(*(Stage(a, b, depth) for a, b, depth in pairs))
        self.head = nn.Sequential()
        self.head.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.head.fc = nn.Linear(widths[-1], config.num_classes)

    def forward(self, x):
        return self.head.fc(self.head.norm(self.stages(self.stem(x)).mean((2, 3))))


class Swap(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Back(nn.Module):
    def forward(self, x):
        return x.permute(0, 3, 1, 2)


class TorchvisionBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            Swap(),
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            Back(),
        )
        self.layer_scale = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class Torchvision(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = config.widths
        parts = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), Norm2d(widths[0], eps=1e-6))]
        for s, (width, depth) in enumerate(zip(widths, config.depths, strict=True)):
            if s:
                parts.append(
                    nn.Sequential(
                        Norm2d(widths[s - 1], eps=1e-6), nn.Conv2d(widths[s - 1], width, 2, 2)
                    )
                )
            parts.append(nn.Sequential(*(TorchvisionBlock(width) for _ in range(depth))))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            Norm2d(widths[-1], eps=1e-6), nn.Flatten(1), nn.Linear(widths[-1], config.num_classes)
        )

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3), keepdim=True))
