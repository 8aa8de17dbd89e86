"""The epsilon rule of layer-wise relevance propagation, for any JAX function.

Ancona et al. (ICLR 2018) showed that epsilon-LRP is gradient x input with the derivative f'(z) of
every nonlinearity replaced by f(z)/z; DeepExplain, which the NeurIPS 2019 paper used, stabilises
this as f(z) / (z + epsilon sign(z)) with sign(0) = 1. `with_epsilon_rule` rewrites a function that
way by walking its jaxpr, so that a model needs no hooks.

Nonlinearities that the rule replaces: relu, relu6, elu, selu, celu, leaky_relu, silu, softplus,
sigmoid, tanh, hard_tanh, hard_sigmoid, hard_silu, mish and squareplus of `jax.nn` as units, the
primitives `tanh` and `logistic`, `max(z, 0)`, and any `jax.jit`-ted function with one of those
names or "gelu". `jax.nn.gelu` itself is inlined by JAX: its `erf` keeps its derivative, the `tanh`
of its approximate form gets the rule. Everything else keeps its derivative: linear maps,
normalisation with frozen statistics and additions pass relevance on as a gradient does, max-pooling
gives it all to the winner, softmax is left alone (DeepExplain's conventions).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex_core

from depara_jax.errors import DeparaError

__all__ = ["with_epsilon_rule"]

_NAMED = frozenset(
    ("relu", "relu6", "elu", "selu", "celu", "leaky_relu", "silu", "swish", "gelu", "softplus")
    + ("sigmoid", "hard_tanh", "hard_sigmoid", "hard_silu", "hard_swish", "mish", "log_sigmoid")
    + ("squareplus",)
)
_PRIMITIVES = frozenset({"tanh", "logistic"})
_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2"})
_CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})


def with_epsilon_rule(function: Callable[..., Any], epsilon: float) -> Callable[..., Any]:
    """The same function, whose derivative follows the epsilon rule.

    Args:
      function: any traceable function of pytrees of arrays.
      epsilon: the stabiliser; as it goes to 0 the derivative at a ReLU goes to the ordinary one.

    Raises:
      DeparaError: (when called) a nonlinearity stands inside a `while_loop`, where it cannot be
        rewritten.
    """

    def ruled(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        out = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), epsilon)
        return jax.tree.unflatten(jax.tree.structure(shape), out)

    return ruled


def _rule(activation: Callable[[Any], Any], z: Any, epsilon: float) -> Any:
    """activation(z), with the tangent multiplied by activation(z) / (z + epsilon sign(z)).

    A custom jvp and not a vjp, since the engine linearises before it transposes.
    """

    @jax.custom_jvp
    def apply(z: Any) -> Any:
        return activation(z)

    @apply.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (z,), (tangent,) = primals, tangents
        out = activation(z)
        stabilised = z + jnp.where(z >= 0, epsilon, -epsilon).astype(z.dtype)
        return out, (out / stabilised).astype(tangent.dtype) * tangent

    return apply(z)


def _evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], epsilon: float) -> list[Any]:
    """Evaluates a jaxpr equation by equation, with the rule where it applies."""
    values: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if _is_literal(atom) else values[atom]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        values.update(zip(eqn.outvars, _equation(eqn, inputs, epsilon), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(eqn: Any, inputs: list[Any], epsilon: float) -> list[Any]:
    name = eqn.primitive.name
    at = _nonlinear_argument(eqn)
    if at is not None:

        def activation(z: Any) -> Any:
            return _bind(eqn, [*inputs[:at], z, *inputs[at + 1 :]])[0]

        return [_rule(activation, inputs[at], epsilon)]
    inner = _inner_jaxpr(eqn)
    if inner is None or not _has_nonlinearity(inner.jaxpr):
        return _bind(eqn, inputs)
    if name in _CALLS or name in _CUSTOM:
        return _evaluate(inner.jaxpr, inner.consts, inputs, epsilon)
    if name == "scan":
        return _scan(eqn, inner, inputs, epsilon)
    if name == "cond":
        branches = [
            lambda *xs, b=branch: tuple(_evaluate(b.jaxpr, b.consts, xs, epsilon))
            for branch in eqn.params["branches"]
        ]
        return list(jax.lax.switch(inputs[0], branches, *inputs[1:]))
    raise DeparaError(
        f"epsilon_lrp cannot rewrite a nonlinearity inside {name!r}; unroll that loop in the "
        "model, or use attribution='gradient_x_input'"
    )


def _bind(eqn: Any, inputs: list[Any]) -> list[Any]:
    """Evaluates one equation as JAX itself would.

    As a jaxpr of one equation, which works in every JAX version; `Primitive.get_bind_params` has
    changed what it returns.
    """
    free = {a: x for a, x in zip(eqn.invars, inputs, strict=True) if not _is_literal(a)}
    alone = jex_core.Jaxpr([], list(free), eqn.outvars, [eqn], eqn.effects)
    return list(jex_core.jaxpr_as_fun(jex_core.ClosedJaxpr(alone, []))(*free.values()))


def _scan(eqn: Any, inner: Any, inputs: list[Any], epsilon: float) -> list[Any]:
    consts, carries = eqn.params["num_consts"], eqn.params["num_carry"]

    def body(carry: Any, x: Any) -> Any:
        out = _evaluate(inner.jaxpr, inner.consts, [*inputs[:consts], *carry, *x], epsilon)
        return tuple(out[:carries]), tuple(out[carries:])

    carry, ys = jax.lax.scan(
        body,
        tuple(inputs[consts : consts + carries]),
        tuple(inputs[consts + carries :]),
        length=eqn.params["length"],
        reverse=eqn.params["reverse"],
        unroll=eqn.params["unroll"],
    )
    return [*carry, *ys]


def _inner_jaxpr(eqn: Any) -> Any:
    """The jaxpr inside an equation, closed; None where there is none."""
    if eqn.primitive.name == "cond":
        branches = eqn.params["branches"]
        return next((b for b in branches if _has_nonlinearity(b.jaxpr)), branches[0])
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr"):
        inner = eqn.params.get(key)
        if inner is not None:
            return inner if hasattr(inner, "consts") else jex_core.ClosedJaxpr(inner, [])
    return None


def _has_nonlinearity(jaxpr: Any) -> bool:
    for eqn in jaxpr.eqns:
        if _nonlinear_argument(eqn) is not None:
            return True
        inner = _inner_jaxpr(eqn)
        if inner is not None and _has_nonlinearity(inner.jaxpr):
            return True
    return False


def _nonlinear_argument(eqn: Any) -> int | None:
    """Which input of an equation is the z of a nonlinearity f(z); None if it is none."""
    name = eqn.primitive.name
    if name in _PRIMITIVES:
        return 0
    if name == "max":
        zero = [i for i, atom in enumerate(eqn.invars) if _is_zero(atom)]
        return 1 - zero[0] if len(zero) == 1 else None
    if name in _CALLS and eqn.params.get("name") in _NAMED:
        return _same_shape_argument(eqn)
    if name in _CUSTOM:
        inner = _inner_jaxpr(eqn)
        calls = [e for e in inner.jaxpr.eqns if e.primitive.name in _CALLS]
        if len(inner.jaxpr.eqns) == 1 and calls and calls[0].params.get("name") in _NAMED:
            return _same_shape_argument(eqn)
    return None


def _same_shape_argument(eqn: Any) -> int | None:
    """The one floating input with the shape of the output (others are slopes and the like)."""
    out = eqn.outvars[0].aval
    fits = [
        i
        for i, atom in enumerate(eqn.invars)
        if atom.aval.shape == out.shape and not _is_literal(atom)
    ]
    return fits[0] if len(eqn.outvars) == 1 and len(fits) == 1 else None


def _is_literal(atom: Any) -> bool:
    return isinstance(atom, jex_core.Literal)


def _is_zero(atom: Any) -> bool:
    return _is_literal(atom) and bool(np.all(np.asarray(atom.val) == 0))
