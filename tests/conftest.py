"""Strict JAX for every test, and the fixtures that many share."""

import os

# Before jax is imported: the tests state tolerances for the CPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

# A silent promotion (float32 -> float64, int -> float) is an error in tests, as is a matmul in less
# than float32.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of its own for every test, always the same."""
    return np.random.default_rng(20200313)


@pytest.fixture(autouse=True, scope="module")
def _let_go_of_compiled_programs():
    """What one file compiled is of no use to the next, and adds up to gigabytes."""
    yield
    jax.clear_caches()
