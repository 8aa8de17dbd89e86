"""Strict JAX for every test, and the fixtures that many share."""

import os
from pathlib import Path

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
    """Files share what they compiled, until a worker holds gigabytes of it."""
    yield
    if _memory_gb() > 2:
        jax.clear_caches()


def _memory_gb() -> float:
    """What this process holds; where that cannot be read, more than any limit."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
