"""What is compared: node and edge terms, and the methods that are made of them.

A recipe's score is node_weight * node + lam * edge, so that terms are computed once and every
recipe, lambda and ablation is a sum of two of them.

The row `depara-task-upstream` weighs the nodes as the authors' code does, by a thousandth; the
authors' walk itself, with what goes wrong in it, is experiments/fidelity's.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from depara_jax.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Term:
    """A node or edge term: the recipe that makes it, and of which layer.

    Attributes:
      recipe: with the other term's weight 0.
      layer: "encoder"; "pre", its value before the last ReLU where there is one; or a block.
    """

    recipe: Recipe
    layer: str = "encoder"


def _node(layer: str = "encoder", **fields) -> Term:
    return Term(Recipe(name="node", lam=0.0, **fields), layer)


def _edge(layer: str = "encoder", **fields) -> Term:
    return Term(Recipe(name="edge", node_weight=0.0, **fields), layer)


_MEAN = {"channel_reduction": "mean"}
# `steps` of integrated gradients is replaced by the study's `path_steps`.
NODES: Mapping[str, Term] = MappingProxyType(
    {
        "gxi-l2sq": _node(),
        "gxi-sum": _node(target="sum"),
        "gxi-max": _node(target="max"),
        "gxi-l2sq-abs": _node(absolute=True),
        "gxi-l2sq-mean": _node(**_MEAN),
        "gxi-l2sq-abs-mean": _node(absolute=True, **_MEAN),
        "gxi-sum-mean": _node(target="sum", **_MEAN),
        "gxi-sum-abs-mean": _node(target="mean", absolute=True, **_MEAN),
        "gxi-l2sq-grid8": _node(grid=8),
        "saliency-l2sq": _node(attribution="saliency"),
        "saliency-sum-mean": _node(attribution="saliency", target="sum", **_MEAN),
        "elrp-l2sq": _node(attribution="epsilon_lrp"),
        "elrp-sum-mean": _node(attribution="epsilon_lrp", target="sum", **_MEAN),
        "ig-l2sq": _node(attribution="integrated_gradients"),
        "ig-max": _node(attribution="integrated_gradients", target="max"),
        "ig-max-mean": _node(attribution="integrated_gradients", target="max", **_MEAN),
        "gxi-l2sq@pre": _node("pre"),
        "gxi-l2sq@block1": _node("block1"),
        "gxi-l2sq@block2": _node("block2"),
    }
)
EDGES: Mapping[str, Term] = MappingProxyType(
    {
        "raw": _edge(),
        "centre": _edge(edge_normalization="center"),
        "zscore": _edge(edge_normalization="zscore"),
        "raw-ordinal": _edge(ties="ordinal"),
        "centre-ordinal": _edge(edge_normalization="center", ties="ordinal"),
        "zscore@pre": _edge("pre", edge_normalization="zscore"),
        "zscore@block1": _edge("block1", edge_normalization="zscore"),
        "zscore@block2": _edge("block2", edge_normalization="zscore"),
    }
)
# Of all pairs by `depara_jax.estimators.estimate_pairs`; ModelGiF needs the networks themselves.
ESTIMATED = ("rsa", "cka_linear", "dds_cosine", "dds_laplacian", "svcca")
# Probe images that are not patches of the photographs that the networks learnt from.
DOMAINS = ("photographs", "other", "texture", "pink noise", "white noise")


# A way to score sources: (matrix's key, weight) of each that is added up. Keys are "node/NAME",
# "edge/NAME", "pair/NAME".
Method = tuple[tuple[str, float], ...]


def _sum(node: str | None, edge: str | None, lam: float = 1.0, weight: float = 1.0) -> Method:
    parts = [(f"node/{node}", weight)] if node else []
    return (*parts, (f"edge/{edge}", lam)) if edge else tuple(parts)


# By title, as tables call them.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "DEPARA `paper`": _sum("gxi-l2sq", "raw"),
        "DEPARA `default` (V + z-scored E)": _sum("gxi-l2sq", "zscore"),
        "DEPARA `depara-task`": _sum("gxi-sum-mean", "centre-ordinal", 0.25),
        "DEPARA `depara-task-upstream`": _sum("gxi-sum-mean", "centre-ordinal", 0.25, 0.001),
        "DEPARA `depara-layer` (encoder output)": _sum("gxi-sum-abs-mean", "raw-ordinal"),
        "V alone (`paper`)": _sum("gxi-l2sq", None),
        "E alone, raw (`paper`)": _sum(None, "raw"),
        "E alone, centred": _sum(None, "centre"),
        "E alone, z-scored": _sum(None, "zscore"),
        "TAM gradient x input (`tam`)": _sum("gxi-sum-mean", None),
        "TAM saliency": _sum("saliency-sum-mean", None),
        "TAM epsilon-LRP": _sum("elrp-sum-mean", None),
        "RSA": (("pair/rsa", 1.0),),
        "linear CKA": (("pair/cka_linear", 1.0),),
        "DDS, cosine": (("pair/dds_cosine", 1.0),),
        "DDS, Laplacian": (("pair/dds_laplacian", 1.0),),
        "SVCCA": (("pair/svcca", 1.0),),
        "ModelGiF": (("pair/modelgif", 1.0),),
    }
)
MATRICES = frozenset(key for method in METHODS.values() for key, _ in method)
