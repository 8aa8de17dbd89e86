"""Saliency as TAM's paper has it, the mean of every unit's |gradient|, against its code's."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.data import Probe
from depara_jax.graph.similarity import node_cosines
from depara_jax.models import Model
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.stats import normalize_rows
from experiments.fidelity.agreement import agreement, off_diagonal

CODE = RECIPES["tam"].replace(attribution="saliency")


def measure(
    models: Sequence[Model], probe: Probe, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Both maps of every network: their cosine, and how the rankings by nodes alone agree.

    Args:
      models: every one is a target, the others are its candidates.
      probe: few images, a gradient for each unit of the encoder's output.
      progress: told what comes next.
    """
    progress("saliency of single units")
    code, paper = [], []
    for model in models:
        (graph,) = attribution_graphs(model, probe, CODE).values()
        code.append(normalize_rows(graph.nodes))
        # A loop in Python: XLA runs convolutions inside its own loops on one core.
        maps = [
            saliency_of_units(model.forward, model.variables, image, model.spec.encoder)
            for image in jnp.asarray(probe.array(model.spec.input))
        ]
        paper.append(normalize_rows(jnp.stack(maps).mean(axis=-1).reshape(len(probe), -1)))
    cosines = [float((a * b).sum(axis=1).mean()) for a, b in zip(code, paper, strict=True)]
    nodes = [np.asarray(node_cosines(maps).mean(axis=0), np.float64) for maps in (code, paper)]
    return {
        "images": len(probe),
        "cosine of the two maps": {
            "mean": round(float(np.mean(cosines)), 3),
            "min": round(float(np.min(cosines)), 3),
        },
        "node": agreement(nodes[0], nodes[1], off_diagonal(len(models))),
    }


@functools.partial(jax.jit, static_argnums=(0, 3))
def saliency_of_units(
    forward: Any, variables: Any, image: Float[jax.Array, "h w c"], layer: str
) -> Float[jax.Array, "h w c"]:
    """mean_k |d r_k / d x| over the units r_k of a layer (TAM, section 3.3)."""
    units = jax.jacrev(lambda image: forward(variables, image[None])[layer].reshape(-1))(image)
    return jnp.abs(units).mean(axis=0)
