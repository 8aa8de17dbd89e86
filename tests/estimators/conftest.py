"""Seeded data for the estimators: two dtypes, every field filled."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.estimators import EstimatorInputs


def golden_data(*, N: int, D: int, C: int, Cs: int, seed: int) -> tuple[np.ndarray, ...]:  # noqa: N803
    """Features, labels, probabilities of golden/estimators.json (recipe: facts/estimators.md)."""
    r = np.random.RandomState(seed)  # noqa: NPY002 - the recipe's generator
    y = r.randint(0, C, N)
    y[:C] = np.arange(C)
    mu = 0.5 * r.randn(C, D)
    f = mu[y] + r.randn(N, D)
    lg = r.randn(N, Cs)
    lg[np.arange(N), y % Cs] += 1.5
    p = np.exp(lg - lg.max(axis=1, keepdims=True))
    return f, y, p / p.sum(axis=1, keepdims=True)


def network(seed: int, width: int, outputs: int) -> Callable[[Any], Any]:
    """A small smooth network over [n, 4, 4, 3] images."""
    r = np.random.default_rng(seed)
    first, second = r.normal(size=(48, width)) / 7, r.normal(size=(width, outputs)) / 3

    def forward(images: Any) -> Any:
        rows = images.reshape(images.shape[0], -1)
        hidden = jnp.tanh(rows @ jnp.asarray(first, rows.dtype))
        return hidden @ jnp.asarray(second, rows.dtype)

    return forward


def raw_inputs(n: int = 120, d: int = 24, c: int = 4, seed: int = 1) -> dict[str, Any]:
    """Every field of `EstimatorInputs` in float64."""
    f, y, p = golden_data(N=n, D=d, C=c, Cs=c + 2, seed=seed)
    r = np.random.default_rng(seed)
    other = f @ r.normal(size=(d, 10)) / 4 + r.normal(size=(n, 10))
    slopes = r.normal(size=(n, 30))
    return {
        "features": f,
        "labels": y,
        "targets": np.eye(c)[y],
        "probabilities": p,
        "logits": np.log(p) + 3,
        "target_features": other,
        "gradients": slopes,
        "target_gradients": slopes + r.normal(size=(n, 30)),
        "images": r.normal(size=(n, 4, 4, 3)),
        "source_model": network(1, 20, 6),
        "target_model": network(2, 16, 5),
    }


def cast(fields: dict[str, Any], dtype: Any) -> EstimatorInputs:
    """Inputs with every floating point array in `dtype`."""
    floating = {
        name: value.astype(dtype) if getattr(value, "dtype", None) == np.float64 else value
        for name, value in fields.items()
    }
    return EstimatorInputs(**floating)


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the length of a test."""
    with jax.enable_x64(True):
        yield
