"""Schemes: the ways in which files name a network's tensors, as tables of rules."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from depara_jax.errors import DeparaError
from depara_jax.weights.mapping import OWN_RULES, Rule

__all__ = [
    "OWN_NAMES",
    "TORCH_IGNORED",
    "Scheme",
    "count_classes",
    "graph_rules",
    "scheme_of",
    "torch_conv_norm",
    "torch_layer",
    "torch_norm",
]


class Scheme(NamedTuple):
    """One way in which files name a network's tensors.

    Attributes:
      name: e.g. "torchvision".
      marker: regular expression of a tensor name that only this scheme has.
      rules: where its tensors go.
      ignore: regular expressions of names that may stay unused.
    """

    name: str
    marker: str
    rules: Sequence[Rule]
    ignore: Sequence[str] = ()


# What `flatten_variables` wrote: converted weights, whose names are the variables' own.
OWN_NAMES = Scheme("depara_jax", r".+\.(kernel|scale)", OWN_RULES)
# PyTorch counts the batches that its running statistics have seen; inference does not use it.
TORCH_IGNORED = (r"(.*\.)?num_batches_tracked",)
_TORCH_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def count_classes(
    logits: str | None, schemes: Sequence[Scheme], tensors: Mapping[str, Any]
) -> int | None:
    """Length of the bias that a file has for `logits`; None where there is none to be seen.

    Args:
      logits: the layer of the outputs.
      schemes: the namings that are known.
      tensors: {name in the source framework: array}.
    """
    target = f"{logits}.bias"
    rules = [rule for scheme in (*schemes, OWN_NAMES) for rule in scheme.rules]
    for rule in rules:
        if rule.target != target and "\\" not in rule.target:
            continue
        for name, value in tensors.items():
            match = re.fullmatch(rule.source, name)
            if match and match.expand(rule.target) == target and value.ndim == 1:
                return int(value.shape[0])
    return None


def scheme_of(
    schemes: Sequence[Scheme], tensors: Mapping[str, Any], architecture: str, source: str
) -> Scheme:
    """The first scheme whose marker is among a file's names.

    Raises:
      DeparaError: there is none.
    """
    for scheme in schemes:
        marker = re.compile(scheme.marker)
        if any(marker.fullmatch(name) for name in tensors):
            return scheme
    known = ", ".join(scheme.name for scheme in schemes)
    shown = ", ".join(sorted(tensors)[:5])
    raise DeparaError(
        f"{source}: the tensor names ({shown}, ...) are none that are known for "
        f"{architecture} ({known}); is it another architecture's file?"
    )


def torch_norm(source: str, target: str) -> list[Rule]:
    """Rules of a batch or layer normalisation under PyTorch's names; `source` is an expression."""
    return [Rule(rf"{source}\.{k}", f"{target}.{v}") for k, v in _TORCH_NORM.items()]


def torch_conv_norm(conv: str, norm: str, target: str, kind: str = "conv") -> list[Rule]:
    """Rules of a `layers.ConvNorm` under PyTorch's names; `conv` and `norm` are expressions."""
    return [
        Rule(rf"{conv}\.weight", f"{target}.conv.kernel", kind),
        *torch_norm(norm, f"{target}.norm"),
    ]


def torch_layer(source: str, target: str, kind: str = "linear") -> list[Rule]:
    """Rules of a layer with a bias under PyTorch's names; `source` is an expression."""
    return [
        Rule(rf"{source}\.weight", f"{target}.kernel", kind),
        Rule(rf"{source}\.bias", f"{target}.bias"),
    ]


def graph_rules(parts: Sequence[tuple[str, str, str]], classes: str | None) -> Scheme:
    """The scheme of the graph format (see `weights.graph_format`), which is in execution order.

    Args:
      parts: (operation such as "conv.s2.d1.relu6", target, transform) of the k-th convolution.
      classes: target of the last linear layer; None leaves out whatever comes after the parts, as
        in trunks with heads for segmentation or pose.
    """
    parts = list(parts)
    if classes is not None:
        parts.append(("(?:conv|linear).s1.d1.linear", classes, "pointwise"))
    rules = []
    for k, (operation, target, transform) in enumerate(parts):
        source = f"{k:02d}.{operation}".replace(".", r"\.")
        rules.append(Rule(rf"{source}\.kernel", f"{target}.kernel", transform))
        rules.append(Rule(rf"{source}\.bias", f"{target}.bias"))
    behind = () if classes is not None else tuple(rf"{k:02d}\..*" for k in range(len(parts), 100))
    return Scheme("the graph format", r"00\.conv\..*\.kernel", rules, behind)
