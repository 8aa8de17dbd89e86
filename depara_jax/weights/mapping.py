r"""Tables of rules that carry a framework's tensors onto a Flax network's variables.

A table says, for each tensor name (a regular expression), where it goes and how its axes turn:

    Rule(r"features\.(\d+)\.weight", r"features.\1.kernel", "conv")

Nothing is left to chance: every source tensor is used or ignored by name, every target gets exactly
one source, shapes and dtypes agree, and whatever does not is told in one message.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError, UnknownNameError

__all__ = [
    "OWN_RULES",
    "TRANSFORMS",
    "Rule",
    "Transform",
    "assign",
    "linear_after_flatten",
]

Transform = Callable[[np.ndarray], np.ndarray]

_SHOWN = 10


class Rule(NamedTuple):
    r"""Where the tensors of one kind go.

    Attributes:
      source: regular expression that the whole source name must match.
      target: name of the variable; `\1` and `\g<name>` stand for the expression's groups.
      transform: a key of `TRANSFORMS`, or a function of one array.
    """

    source: str
    target: str
    transform: str | Transform = "identity"


# Of converted weights, whose names are the variables' own; Flax alone calls a tensor a kernel.
OWN_RULES = (Rule("(.+)", r"\1"),)


def assign(
    rules: Sequence[Rule],
    tensors: Mapping[str, np.ndarray],
    targets: Mapping[str, Any],
    *,
    ignore: Iterable[str] = (),
    source: str = "weights",
) -> dict[str, np.ndarray]:
    """Maps source tensors onto named variables, strictly in both directions.

    Floating sources are cast to the target's floating dtype; any other difference of dtype is an
    error.

    Args:
      rules: the table. `ignore` is looked at first, then exactly one rule may match a name.
      tensors: {source name: array}, e.g. from `read_tensors`.
      targets: {variable name: anything with `shape` and `dtype`}, e.g. from `nnx.eval_shape`.
      ignore: regular expressions of source names (the whole name) that may stay unused.
      source: what the message calls the tensors, e.g. the file's name.

    Returns:
      {variable name: contiguous array}, in the order of `targets`.

    Raises:
      DeparaError: with every missing, unexpected, doubly matched, wrongly shaped and wrongly typed
        tensor in one message.
      UnknownNameError: a rule names a transform that does not exist.
    """
    problems: dict[str, list[str]] = {}
    chosen: dict[str, tuple[str, Transform]] = {}
    for name, target, transform in _matches(rules, tensors, ignore, problems):
        if target not in targets:
            _note(problems, "unexpected", name)
        elif target in chosen:
            _note(problems, "doubly matched", f"{target} (by {chosen[target][0]} and {name})")
        else:
            chosen[target] = (name, transform)
    out = {}
    for target, like in targets.items():
        if target not in chosen:
            _note(problems, "missing", target)
            continue
        name, transform = chosen[target]
        value = _fitted(name, tensors[name], transform, target, like, problems)
        if value is not None:
            out[target] = value
    if problems:
        raise DeparaError(_message(source, problems))
    return out


def linear_after_flatten(height: int, width: int) -> Transform:
    """Transform of the first linear layer after a flattened [channels, height, width] tensor.

    PyTorch flattens channels first, an NHWC network channels last, so the columns of the [out, in]
    weight change places before it is turned into an [in, out] kernel.
    """

    def transform(weight: np.ndarray) -> np.ndarray:
        _check_axes(weight, "OI")
        channels, rest = divmod(weight.shape[1], height * width)
        if rest:
            raise ValueError(f"{weight.shape[1]} inputs are not a multiple of {height}x{width}")
        image = weight.reshape(-1, channels, height, width)
        return image.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])

    return transform


def _conv(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "OIHW")
    return weight.transpose(2, 3, 1, 0)


def _depthwise(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "OIHW")
    if weight.shape[1] != 1:
        raise ValueError(f"shape {weight.shape} is not depthwise, whose second axis is 1")
    return weight.transpose(2, 3, 1, 0)


def _conv_ohwi(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "OHWI")
    return weight.transpose(1, 2, 3, 0)


def _depthwise_1hwc(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "1HWC")
    return weight.transpose(1, 2, 0, 3)


def _depthwise_hwc1(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "HWC1")
    return weight.transpose(0, 1, 3, 2)


def _pointwise(weight: np.ndarray) -> np.ndarray:
    """A 1x1 convolution that is a linear layer here; a linear layer stays one."""
    shape = weight.shape
    if weight.ndim == 4:
        if shape[2:] == (1, 1):  # PyTorch: [out, in, 1, 1]
            return weight[:, :, 0, 0].T
        if shape[1:3] == (1, 1):  # TensorFlow Lite: [out, 1, 1, in]
            return weight[:, 0, 0].T
        if shape[:2] == (1, 1):  # Keras: [1, 1, in, out]
            return weight[0, 0]
    return _linear(weight)


def _linear(weight: np.ndarray) -> np.ndarray:
    _check_axes(weight, "OI")
    return weight.T


TRANSFORMS: Mapping[str, Transform] = {
    "identity": lambda tensor: tensor,
    "conv": _conv,  # OIHW -> HWIO
    "depthwise": _depthwise,  # [channels x multiplier, 1, h, w] -> [h, w, 1, channels x multiplier]
    "linear": _linear,  # OI -> IO
    "conv_ohwi": _conv_ohwi,  # TensorFlow Lite's OHWI -> HWIO
    "depthwise_1hwc": _depthwise_1hwc,  # TensorFlow Lite's [1, h, w, c] -> [h, w, 1, c]
    "depthwise_hwc1": _depthwise_hwc1,  # Keras's [h, w, c, 1] -> [h, w, 1, c]
    "pointwise": _pointwise,  # a 1x1 convolution -> IO
}


def _check_axes(tensor: np.ndarray, axes: str) -> None:
    if tensor.ndim != len(axes):
        raise ValueError(f"shape {tensor.shape} does not have the {len(axes)} axes {axes}")


def _matches(
    rules: Sequence[Rule],
    tensors: Mapping[str, np.ndarray],
    ignore: Iterable[str],
    problems: dict[str, list[str]],
) -> Iterable[tuple[str, str, Transform]]:
    """Yields (source name, target, transform) of every tensor that exactly one rule matches."""
    table = [(re.compile(rule.source), rule.target, _resolved(rule)) for rule in rules]
    skip = [re.compile(pattern) for pattern in ignore]
    for name in tensors:
        if any(pattern.fullmatch(name) for pattern in skip):
            continue
        found = [
            (match.expand(target), transform)
            for pattern, target, transform in table
            if (match := pattern.fullmatch(name))
        ]
        if not found:
            _note(problems, "unexpected", name)
        elif len(found) > 1:
            _note(problems, "doubly matched", f"{name} (to {' and '.join(t for t, _ in found)})")
        else:
            yield name, *found[0]


def _resolved(rule: Rule) -> Transform:
    if callable(rule.transform):
        return rule.transform
    if rule.transform not in TRANSFORMS:
        raise UnknownNameError("weight transform", rule.transform, TRANSFORMS)
    return TRANSFORMS[rule.transform]


def _fitted(
    name: str,
    tensor: np.ndarray,
    transform: Transform,
    target: str,
    like: Any,
    problems: dict[str, list[str]],
) -> np.ndarray | None:
    """The transformed tensor in the target's dtype, or None after noting what is wrong with it."""
    both_floating = jnp.issubdtype(tensor.dtype, jnp.floating) and jnp.issubdtype(
        like.dtype, jnp.floating
    )
    if not both_floating and tensor.dtype != like.dtype:
        _note(problems, "wrong dtype", f"{name} ({tensor.dtype}, {target} is {like.dtype})")
        return None
    try:
        value = transform(tensor)
    except ValueError as error:
        _note(problems, "wrong shape", f"{name} ({error})")
        return None
    if value.shape != tuple(like.shape):
        shapes = f"{tensor.shape} gives {value.shape}, {target} is {tuple(like.shape)}"
        _note(problems, "wrong shape", f"{name} ({shapes})")
        return None
    with np.errstate(over="ignore"):
        cast = np.asarray(value, dtype=like.dtype, order="C")
    if cast.dtype.itemsize < tensor.dtype.itemsize and not np.isfinite(cast).all():
        _note(problems, "wrong dtype", f"{name} ({tensor.dtype} overflows {like.dtype})")
        return None
    return cast


def _note(problems: dict[str, list[str]], kind: str, what: str) -> None:
    problems.setdefault(kind, []).append(what)


def _message(source: str, problems: Mapping[str, list[str]]) -> str:
    parts = []
    for kind in sorted(problems):
        items = sorted(problems[kind])
        more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
        parts.append(f"{len(items)} {kind}: {', '.join(items[:_SHOWN])}{more}")
    return f"{source}: the tensors do not fit the network: " + "; ".join(parts)
