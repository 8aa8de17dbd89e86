"""Max-pooling in both forms against a loop over windows; adaptive pooling bin by bin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.models.layers.pooling import adaptive_avg_pool, max_pool

CASES = [  # image, window, stride, padding, rows and columns of padding (before, after)
    ((6, 8), 2, 2, None, ((0, 0), (0, 0))),
    ((7, 5), 2, 2, None, ((0, 0), (0, 0))),
    ((8, 8), 3, 2, "torch", ((1, 1), (1, 1))),
    ((8, 7), 3, 2, "same", ((0, 1), (1, 1))),
    ((9, 6), 3, 1, "torch", ((1, 1), (1, 1))),
]
SIZES = [(1, 1), (2, 5), (7, 7), (8, 6), (9, 13), (14, 15), (20, 7)]


def looped(x, cotangent, size, stride, around):
    """Values, and the cotangent given to the first largest pixel of every window."""
    padded = np.pad(x, ((0, 0), *around, (0, 0)), constant_values=-np.inf)
    out, back = np.zeros(cotangent.shape, x.dtype), np.zeros_like(padded)
    for n, i, j, c in np.ndindex(*cotangent.shape):
        window = padded[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
        k, m = np.unravel_index(window.argmax(), window.shape)
        out[n, i, j, c] = window[k, m]
        back[n, i * stride + k, j * stride + m, c] += cotangent[n, i, j, c]
    (top, _), (left, _) = around
    return out, back[:, top : top + x.shape[1], left : left + x.shape[2]]


@pytest.mark.parametrize("shifted", [False, True, None])
@pytest.mark.parametrize("case", CASES)
def test_values_and_winners_are_those_of_the_loop(rng, case, shifted):
    image, size, stride, padding, around = case
    # Few different values, so that windows have ties, as after a ReLU.
    x = rng.integers(0, 3, (2, *image, 3)).astype(np.float32)

    def pool(x):
        return max_pool(x, size, stride=stride, padding=padding, shifted=shifted)

    got, pullback = jax.vjp(pool, jnp.asarray(x))
    cotangent = rng.integers(1, 9, got.shape).astype(np.float32)
    want, back = looped(x, cotangent, size, stride, around)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(pullback(jnp.asarray(cotangent))[0], back)  # sums of integers


@pytest.mark.parametrize("shifted", [False, True])
def test_nan_and_infinity_are_kept(shifted):
    x = np.zeros((1, 2, 8, 1), np.float32)
    x[0, 1, 1] = np.nan  # not the first pixel of its window
    x[0, 0, 2], x[0, 1, 3] = np.nan, 5
    x[0, 0, 5] = np.inf
    x[0, :, 6:] = -np.inf
    got = np.asarray(max_pool(jnp.asarray(x), 2, stride=2, shifted=shifted))
    np.testing.assert_array_equal(got.ravel(), [np.nan, np.nan, np.inf, -np.inf])


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
