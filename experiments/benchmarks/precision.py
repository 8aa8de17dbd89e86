"""What less precision than float32 changes on the packaged zoo: one JSON line.

    python -m experiments.benchmarks.precision [--images 200]

Every network's graph in float32, then with
  tf32      operands of every convolution and matrix product, forward and backward, rounded to 10
            bits of mantissa, sums in float32: what a GPU's TF32 does
  bfloat16  the same with 7 bits: what a TPU does with float32 by default, a GPU with bfloat16
  storage   weights, images, features and gradients held in bfloat16 altogether
The first two are emulated by rounding inside the traced program, so they say nothing of time here;
the third really runs. Errors are of the parts V and E over all pairs of networks, and of the order
of sources over all targets.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks.common import machine, script

MANTISSA = {"tf32": 10, "bfloat16": 7}
QUICK = {"images": 6, "models": 3}


def measure(
    images: int = 200, models: int | None = None, recipes: str = "default,paper"
) -> dict[str, Any]:
    """The line's content, for the first so many models of the zoo."""
    found = {name: compare(name, images, models) for name in recipes.split(",")}
    line = {"benchmark": "precision", "images": images, "recipes": found, **machine()}
    return line | {"load_after": round(os.getloadavg()[0], 2)}


def compare(recipe_name: str, images: int, models: int | None) -> dict[str, Any]:
    """Errors of each precision against float32, with the seconds of a network's pass."""
    import jax.numpy as jnp

    from depara_jax.recipe import RECIPES

    recipe = RECIPES[recipe_name]
    settings: dict[str, tuple[Callable, Any]] = {
        "float32": (lambda program: program, jnp.float32),
        **{name: (partial(_rounding, bits=bits), jnp.float32) for name, bits in MANTISSA.items()},
        "storage": (lambda program: program, jnp.bfloat16),
    }
    found: dict[str, Any] = {}
    for name, (change, dtype) in settings.items():
        similarity, seconds = _similarities(recipe, images, models, change, dtype)
        if name == "float32":
            exact, float_seconds = similarity, seconds
            continue
        found[name] = errors(similarity, exact)
        if name == "storage":
            found[name]["seconds_ratio"] = round(seconds / float_seconds, 2)
    return found


def errors(got: Any, exact: Any) -> dict[str, float]:
    """Largest and mean error of V and E, and what becomes of each target's order of sources."""
    from depara_jax.stats import spearman

    others = ~np.eye(len(exact.score), dtype=bool)
    parts = {}
    for part in ("node", "edge"):
        difference = np.abs(np.asarray(getattr(got, part)) - np.asarray(getattr(exact, part)))
        parts[f"{part}_largest"] = round(float(difference[others].max()), 5)
        parts[f"{part}_mean"] = round(float(difference[others].mean()), 6)
    orders, same = [], 0
    for target, row in enumerate(others):
        a, b = (np.asarray(s.score)[target][row] for s in (got, exact))
        orders.append(float(spearman(a, b)))
        same += int(a.argmax() == b.argmax())
    return parts | {
        "spearman_lowest": round(min(orders), 4),
        "spearman_mean": round(float(np.mean(orders)), 5),
        "same_first_pick": same,
        "targets": len(orders),
    }


def _similarities(
    recipe: Any, images: int, models: int | None, change: Callable, dtype: Any
) -> tuple[Any, float]:
    """All pairs of the zoo in one precision; seconds a network, compilation not counted."""
    import jax
    import jax.numpy as jnp

    from depara_jax import build_graph, list_models, load_model, load_probe, similarity_matrix
    from depara_jax.attribution import attribute

    probe = load_probe(f"photographs:probe[:{images}]")
    networks = [load_model(spec.name, zoo="mini") for spec in list_models("mini")[:models]]
    graphs, seconds = [], []
    for network in networks:
        layer = network.spec.encoder
        x = jnp.asarray(next(iter(probe.batches(network.spec.input, images))), dtype)
        variables = jax.tree.map(lambda v: jnp.asarray(v, dtype), network.variables)

        def program(variables: Any, x: Any, network: Any = network, layer: str = layer) -> Any:
            features, maps = attribute(network.forward, variables, x, (layer,), recipe)
            return features[layer], maps[layer]

        run = jax.jit(change(program)).lower(variables, x).compile()
        started = time.process_time()
        features, maps = jax.block_until_ready(run(variables, x))
        seconds.append(time.process_time() - started)
        features, maps = (jnp.asarray(values, jnp.float32) for values in (features, maps))
        graphs.append(build_graph(features, maps, recipe))
    return similarity_matrix(graphs, recipe), float(np.median(seconds))


def _rounding(program: Callable, bits: int) -> Callable:
    """Rounds the operands of every product of a program, those of its gradients among them."""

    def rounded(*args: Any) -> Any:
        import jax

        closed, shape = jax.make_jaxpr(program, return_shape=True)(*args)
        out = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), bits)
        return jax.tree.unflatten(jax.tree.structure(shape), out)

    return rounded


def _evaluate(jaxpr: Any, consts: Any, args: Any, bits: int) -> list[Any]:
    import jax
    from jax.extend import core

    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        # Calls are walked into; rules of derivatives are of no use once they have been followed.
        inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
        if eqn.primitive.name in ("conv_general_dilated", "dot_general"):
            inputs = [jax.lax.reduce_precision(x, 8, bits) for x in inputs]
        if inner is not None and eqn.primitive.name in ("jit", "pjit", "custom_jvp_call"):
            out = _evaluate(inner.jaxpr, inner.consts, inputs, bits)
        else:
            out = eqn.primitive.bind(*inputs, **eqn.params)
            out = out if eqn.primitive.multiple_results else [out]
        values.update(zip(eqn.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


main = script(measure, QUICK, about=__doc__)

if __name__ == "__main__":
    sys.exit(main())
