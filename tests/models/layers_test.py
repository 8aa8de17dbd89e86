"""Adaptive pooling against its definition, bin by bin."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.models.layers import adaptive_avg_pool

SIZES = [(1, 1), (2, 5), (7, 7), (8, 6), (9, 13), (14, 15), (20, 7)]


@pytest.mark.parametrize("size", SIZES)
def test_every_bin_is_the_mean_of_its_entries(rng, size):
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    got = np.asarray(adaptive_avg_pool(jnp.asarray(x), 7, 7))
    assert got.shape == (2, 7, 7, 3)
    for i in range(7):
        for j in range(7):
            rows = slice(math.floor(i * size[0] / 7), math.ceil((i + 1) * size[0] / 7))
            columns = slice(math.floor(j * size[1] / 7), math.ceil((j + 1) * size[1] / 7))
            # A mean of a few float32 numbers of size 1.
            want = x[:, rows, columns].mean(axis=(1, 2))
            np.testing.assert_allclose(got[:, i, j], want, atol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("size", SIZES)
def test_it_pools_as_pytorch_does(rng, size):
    torch = pytest.importorskip("torch", reason="parity needs the [torch] extra")
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    want = torch.nn.AdaptiveAvgPool2d((7, 7))(torch.as_tensor(x).permute(0, 3, 1, 2))
    got = adaptive_avg_pool(jnp.asarray(x), 7, 7)
    # A mean of a few float32 numbers of size 1.
    np.testing.assert_allclose(got, want.permute(0, 2, 3, 1).numpy(), atol=1e-6)
