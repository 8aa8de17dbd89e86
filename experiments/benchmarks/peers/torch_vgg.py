"""VGG in PyTorch, slow and obvious, under torchvision's module names.

A second formulation of the text: the modules are listed by their index, and every one's output is
kept by name.
"""

import torch
from torch import nn


def build(config, state):
    """The network [features, avgpool, classifier] in inference mode, weights from `state`."""
    network = _network(config)
    network.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    return network.eval().requires_grad_(False)


def random_network(config, seed):
    """The network with weights as He et al. (2015) draw them."""
    torch.manual_seed(seed)
    network = _network(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_uniform_(parameter, nonlinearity="relu")
    return network.eval().requires_grad_(False)


def _network(config):
    hidden = config.hidden
    classifier = (
        nn.Linear(config.stage_widths[-1] * 49, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, config.num_classes),
    )  # fmt: skip
    return nn.ModuleDict(
        {
            "features": nn.Sequential(*_feature_modules(config)),
            "avgpool": nn.AdaptiveAvgPool2d((7, 7)),
            "classifier": nn.Sequential(*classifier),
        }
    )


def _feature_modules(config):
    n_in = 3
    for kind, width in config.feature_modules:
        if kind == "conv":
            yield nn.Conv2d(n_in, width, 3, padding=1)
            n_in = width
        elif kind == "norm":
            yield nn.BatchNorm2d(width)
        else:
            yield nn.ReLU() if kind == "activation" else nn.MaxPool2d(2, 2)


def named_modules(network):
    """(torchvision's name, module) in the order of the forward pass, without dropout."""
    for stage in ("features", "classifier"):
        for i, module in enumerate(network[stage]):
            if not isinstance(module, nn.Dropout):
                yield f"{stage}.{i}", module
        if stage == "features":
            yield "avgpool", network["avgpool"]


def outputs(network, x):
    """{name: output} of every module for x [n, c, h, w]."""
    out = {}
    for name, module in named_modules(network):
        x = out[name] = module(x.flatten(1) if name == "classifier.0" else x)
    return out
