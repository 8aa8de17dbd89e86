"""Taskonomy's encoder in PyTorch, slow and obvious, under the names of the public ports.

A second formulation of the text, not a copy: every step a functional call on a dictionary of
tensors, each stage's three values (convolution, normalisation, activation) kept by name.
"""

import torch
from torch.nn import functional


def random_state(config, seed):
    """A port's state dictionary with random weights and random running statistics."""
    draw = torch.Generator().manual_seed(seed)
    state = {}

    def pair(conv, norm, n_in, n_out, size):
        kernel = torch.randn((n_out, n_in, size, size), generator=draw)
        state[f"{conv}.weight"] = kernel * (2 / (n_in * size * size)) ** 0.5
        state[f"{norm}.weight"] = 0.5 + torch.rand(n_out, generator=draw)
        state[f"{norm}.bias"] = 0.3 * torch.randn(n_out, generator=draw)
        state[f"{norm}.running_mean"] = 0.3 * torch.randn(n_out, generator=draw)
        state[f"{norm}.running_var"] = 0.5 + torch.rand(n_out, generator=draw)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(9)

    pair("conv1", "bn1", config.channels_in, config.stem_width, 7)
    n_in = config.stem_width
    for b, (width, units) in enumerate(zip(config.widths, config.units, strict=True), start=1):
        for u in range(units):
            unit = f"layer{b}.{u}"
            pair(f"{unit}.conv1", f"{unit}.bn1", n_in, width, 1)
            pair(f"{unit}.conv2", f"{unit}.bn2", width, width, 3)
            pair(f"{unit}.conv3", f"{unit}.bn3", width, 4 * width, 1)
            if n_in != 4 * width:
                pair(f"{unit}.downsample.0", f"{unit}.downsample.1", n_in, 4 * width, 1)
            n_in = 4 * width
    pair("compress1", "compress_bn", n_in, config.features, 3)
    return state


def conv_norm(state, conv, norm, x, stride=1):
    """A convolution padded by half its size on all sides, and batch normalisation."""
    weight = state[f"{conv}.weight"]
    conv_out = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    mean, var, scale, bias = (
        state[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
    )
    return conv_out, functional.batch_norm(conv_out, mean, var, scale, bias, eps=1e-5)


def bottleneck(state, unit, x, stride):
    """One unit: its last convolution, the normalisation of that, its output."""
    y = conv_norm(state, f"{unit}.conv1", f"{unit}.bn1", x)[1].relu()
    y = conv_norm(state, f"{unit}.conv2", f"{unit}.bn2", y, stride)[1].relu()
    conv, norm = conv_norm(state, f"{unit}.conv3", f"{unit}.bn3", y)
    if f"{unit}.downsample.0.weight" in state:
        x = conv_norm(state, f"{unit}.downsample.0", f"{unit}.downsample.1", x, stride)[1]
    else:
        x = x[:, :, ::stride, ::stride]
    return conv, norm, (norm + x).relu()


def encoder(state, config, images):
    """{address: [n, c, h, w]} of images [n, channels_in, h, w]."""
    conv, norm = conv_norm(state, "conv1", "bn1", images, stride=2)
    out = {"stem.conv": conv, "stem.norm": norm, "stem": norm.relu()}
    # The ports' pooling: windows of 3 at every second place, the last one overhanging.
    x = out["pool"] = functional.max_pool2d(out["stem"], 3, stride=2, ceil_mode=True)
    for b, (units, last) in enumerate(zip(config.units, config.strides, strict=True), start=1):
        for u in range(units):
            stride = last if u == units - 1 else 1
            conv, norm, x = bottleneck(state, f"layer{b}.{u}", x, stride)
            name = f"block{b}.unit{u + 1}"
            out |= {f"{name}.conv": conv, f"{name}.norm": norm, name: x}
    conv, norm = conv_norm(state, "compress1", "compress_bn", x)
    return out | {"compress.conv": conv, "compress.norm": norm, "compress": norm.relu()}
