"""Networks saved as an operation list: an .npz archive with an entry `graph`.

`graph` is UTF-8 JSON: `input`, `outputs` and `ops` in execution order, each with its operation, the
numbers of its weight arrays, stride, padding, dilation and activation. Weights may be integers with
a scale and a zero point: value = (integer - zero point) scale, for each channel along `axis` where
there is more than one scale. Such archives hold TensorFlow Lite networks, batch normalisation
folded in.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from depara_jax.errors import DeparaError

__all__ = ["graph_tensors"]

_KINDS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "linear"}


def graph_tensors(arrays: Mapping[str, np.ndarray], *, source: str) -> dict[str, np.ndarray]:
    """The weights, dequantised, under names that say what the network does with them.

    The k-th operation with weights gives "k.KIND.sSTRIDE.dDILATION.ACTIVATION.kernel" and
    ".bias", such as "03.depthwise.s2.d1.relu6.kernel"; after an explicit padding by one row and
    column below and on the right, "padded." stands before "kernel". Rules that match whole names
    thus check the network's structure too. Layouts are the file's: [out, h, w, in], [1, h, w, c]
    and [out, in].

    Args:
      arrays: the archive's entries.
      source: what to call it in an error.

    Raises:
      DeparaError: the graph is damaged, or an operation's parameters have no name here.
    """
    try:
        ops = json.loads(bytes(arrays["graph"]).decode())["ops"]
        padded = {
            op["output"]["id"] for op in ops if op["op"] == "PAD" and _below_right(op, arrays)
        }
        weighted = [op for op in ops if op["op"] in _KINDS]
        tensors = {}
        for k, op in enumerate(weighted):
            name = f"{k:02d}.{_name(op, padded)}"
            for part, const in zip(("kernel", "bias"), op["consts"], strict=True):
                tensors[f"{name}.{part}"] = _dequantised(arrays, const)
    except DeparaError:
        raise
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DeparaError(
            f"{source} has a damaged graph ({type(error).__name__}: {error}); fetch it again"
        ) from error
    return tensors


def _name(op: Mapping[str, Any], padded: set[int]) -> str:
    strides, dilations = op.get("stride", [1, 1]), op.get("dil", [1, 1])
    if len({*strides}) > 1 or len({*dilations}) > 1 or op.get("pad", "SAME") != "SAME":
        raise DeparaError(
            f"operation {op['output']['name'][:60]!r}: only square strides and dilations and "
            f"padding SAME are known, got {strides}, {dilations}, {op.get('pad')}"
        )
    name = f"{_KINDS[op['op']]}.s{strides[0]}.d{dilations[0]}.{op.get('act') or 'linear'}"
    return f"{name}.padded" if op["inputs"][0] in padded else name


def _below_right(op: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bool:
    widths = arrays[f"t{op['consts'][0]['t']}"].tolist()
    if widths != [[0, 0], [0, 1], [0, 1], [0, 0]]:
        raise DeparaError(f"a padding by {widths} is not known; expected one row and column below")
    return True


def _dequantised(arrays: Mapping[str, np.ndarray], const: Mapping[str, Any]) -> np.ndarray:
    name = f"t{const['t']}"
    value = arrays[name]
    if f"{name}_scale" not in arrays:
        return value.astype(np.float32)
    scale, zero = arrays[f"{name}_scale"], arrays[f"{name}_zp"]
    shape = [1] * value.ndim
    if scale.size > 1:
        shape[const["axis"]] = scale.size
    # In float64: a bias of 32 bits less its zero point does not fit float32.
    steps = value.astype(np.float64) - zero.astype(np.float64).reshape(shape)
    return (steps * scale.astype(np.float64).reshape(shape)).astype(np.float32)
