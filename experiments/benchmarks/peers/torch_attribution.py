"""Attribution in PyTorch: as published, and as well as it can be written there.

Both give gradient x input of ||F||^2 for each layer. Written from the description of the procedure
(shared/facts/papers.md); networks are the small definitions that the parity tests use.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch


def _square(features: Any) -> Any:
    return features.flatten(1).square().sum()


def published(
    outputs: Callable[[Any], dict[str, Any]],
    parameters: Sequence[Any],
    images: np.ndarray,
    layers: Sequence[str],
) -> dict[str, np.ndarray]:
    """A forward pass for every layer, and gradients of all weights, which nobody reads."""
    maps = {}
    for parameter in parameters:
        parameter.requires_grad_(True)
    for layer in layers:
        x = torch.as_tensor(images).requires_grad_()
        for parameter in parameters:
            parameter.grad = None
        _square(outputs(x)[layer]).backward()
        assert x.grad is not None
        maps[layer] = (x.grad * x).detach().numpy()
    return maps


def one_graph(
    outputs: Callable[[Any], dict[str, Any]],
    parameters: Sequence[Any],
    images: np.ndarray,
    layers: Sequence[str],
) -> dict[str, np.ndarray]:
    """One forward pass, weights frozen, one backward pass a layer through the same graph."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    x = torch.as_tensor(images).requires_grad_()
    features = outputs(x)
    maps = {}
    for layer in layers:
        again = layer != layers[-1]
        (gradient,) = torch.autograd.grad(_square(features[layer]), x, retain_graph=again)
        maps[layer] = (gradient * x).detach().numpy()
    return maps
