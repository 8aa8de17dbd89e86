"""Comparing a port with a PyTorch network: block by block, whole, and in input gradients.

The PyTorch network is given random weights; they go through the port's rule table, so a table that
confuses two tensors of one shape shows too.
"""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from depara_jax.models.port import PureForward, convert
from tests.references.vgg_state import Draw

# Scalars of one image's features [n, ...] -> [n].
TARGETS = {
    "sum": lambda f: f.flatten(1).sum(1),
    "mean": lambda f: f.flatten(1).mean(1),
    "l2": lambda f: f.flatten(1).norm(dim=1),
}


def randomise(network, seed=0, *, layer_scale=True):
    """Gives every parameter and statistic of a PyTorch network numbers that are not trivial."""
    draw = Draw(seed)
    for name, value in network.state_dict().items():
        shape = tuple(value.shape)
        if not value.is_floating_point():
            continue
        if name.endswith("running_var"):
            drawn = 1 + 0.5 * draw(*shape)
        elif value.ndim >= 2 and "pos" not in name and "token" not in name:
            drawn = draw(*shape) * (3 / np.prod(shape[1:])) ** 0.5
        elif name.endswith("weight"):  # of a normalisation
            drawn = 1 + 0.5 * draw(*shape)
        else:
            drawn = 0.3 * draw(*shape)
        value.copy_(torch.as_tensor(np.asarray(drawn, np.float32)))
    return network.eval().requires_grad_(False)


def state_of(network):
    """{tensor name: array}."""
    return {name: value.numpy() for name, value in network.state_dict().items()}


def to_torch(images):
    """[n, h, w, c] -> [n, c, h, w]; others stay."""
    array = np.asarray(images)
    array = np.moveaxis(array, -1, 1) if array.ndim == 4 else array
    return torch.as_tensor(np.ascontiguousarray(array))


def to_numpy(value, *, channels_last=False):
    """[n, c, h, w] -> [n, h, w, c]; vectors and what is channels last already stay."""
    array = value.detach().numpy()
    return np.moveaxis(array, 1, -1) if array.ndim == 4 and not channels_last else array


def relative(got, want):
    """Largest difference over the largest value."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (got.shape, want.shape)
    return float(np.abs(got - want).max() / np.abs(want).max())


def traced(network, x, names):
    """{module name: (input, output)} of one forward pass."""
    found = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: found.update({name: (inputs[0], output)})
        )
        for name in names
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return found


def _last(output):
    return output[-1] if isinstance(output, tuple) else output


def _at(module, path):
    """The submodule at a path such as "stages.0.1"."""
    return reduce(lambda m, k: m[int(k)] if k.isdigit() else getattr(m, k), path.split("."), module)


def block_errors(network, config, schemes, reference, images, pairs, *, channels_last=False):
    """{our path: (error of the output, error of the pullback)} of each block on its own.

    Args:
      network: the NNX class.
      config: its configuration.
      schemes: the port's rule tables.
      reference: the PyTorch network with its weights.
      images: [n, h, w, 3].
      pairs: {our path such as "stages.0.1": PyTorch's module name}.
      channels_last: whether the blocks of the PyTorch network keep channels last.
    """
    variables = convert(network, config, schemes, state_of(reference))
    ours = nnx.merge(nnx.split(nnx.eval_shape(lambda: network(config, nnx.Rngs(0))))[0], variables)
    seen = traced(reference, to_torch(images), pairs.values())
    draw, errors = Draw(7), {}
    for path, name in pairs.items():
        into = seen[name][0].detach().requires_grad_()
        module = reference.get_submodule(name)
        want = module(into)
        cotangent = torch.as_tensor(draw(*want.shape))
        (back,) = torch.autograd.grad(want, into, cotangent)
        graphdef, state = nnx.split(_at(ours, path))

        def block(x, state=state, graphdef=graphdef):
            return _last(nnx.merge(graphdef, state)(x))

        def numpy(value):
            return to_numpy(value, channels_last=channels_last)

        got, pullback = jax.vjp(block, jnp.asarray(numpy(into)))
        (got_back,) = pullback(jnp.asarray(numpy(cotangent)))
        errors[path] = relative(got, numpy(want)), relative(got_back, numpy(back))
    return errors


def whole_errors(network, config, schemes, reference, images):
    """Errors of the logits and of input gradients, in float32 and in float64.

    Returns:
      {"float32 logits": ..., "float32 gradient": ..., "float64 logits": ..., ...}; the gradient's
      is the length of the difference over the length.
    """
    errors = {}
    for dtype in (np.float32, np.float64):
        kind = np.dtype(dtype).name
        torch_network = reference.double() if dtype == np.float64 else reference
        x = to_torch(images.astype(dtype)).requires_grad_()
        want = torch_network(x)
        (back,) = torch.autograd.grad(want.square().sum(), x)
        with jax.enable_x64(dtype == np.float64):
            variables = convert(network, config, schemes, state_of(reference.float()))
            if dtype == np.float64:
                reference.double()
                variables = jax.tree.map(lambda v: v.astype(np.float64), variables)
            forward = PureForward(network, config)

            def scalar(x, forward=forward, variables=variables):
                logits = forward(variables, x)[config.logits]
                return jnp.sum(logits * logits), logits

            gradient, got = jax.jit(jax.grad(scalar, has_aux=True))(jnp.asarray(images, dtype))
        assert got.dtype == dtype
        errors[f"{kind} logits"] = relative(got, want.detach().numpy())
        difference = np.asarray(gradient) - to_numpy(back)
        errors[f"{kind} gradient"] = float(
            np.linalg.norm(difference) / np.linalg.norm(to_numpy(back))
        )
    reference.float()
    return errors


def report(record, blocks, whole):
    """Writes the largest errors into the test report (`pytest --junitxml`)."""
    for k, kind in enumerate(("features", "gradients")):
        worst = max(blocks, key=lambda name: blocks[name][k])
        record(f"block {kind}", f"{blocks[worst][k]:.2e} at {worst}")
    for name, error in whole.items():
        record(f"whole {name}", f"{error:.2e}")


def check(record, blocks, whole):
    """The tolerances that every port has to keep."""
    report(record, blocks, whole)
    # One float32 sum in another order a layer.
    assert max(max(pair) for pair in blocks.values()) < 1e-5
    assert whole["float32 logits"] < 1e-4
    # Thousands of roundings of 1e-16, and exact agreement on which side of a ReLU a value falls.
    assert whole["float64 logits"] < 1e-12
    assert whole["float64 gradient"] < 1e-11
    # In float32 a value within 1e-6 of zero may fall on either side of a ReLU.
    assert whole["float32 gradient"] < 5e-2
