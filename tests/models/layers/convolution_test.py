"""Convolutions of single pixels as matrix products, against XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax.models.layers.convolution import convolution

NHWC = ("NHWC", "HWIO", "NHWC")


def both(x, kernel, strides, padding, **settings):
    """Values and input gradients of the product's form and of `lax`'s own."""
    results = []
    for as_product in (True, False):

        def run(x, as_product=as_product):
            return convolution(
                x, kernel, strides, padding, as_product=as_product, dimension_numbers=NHWC,
                **settings,
            )  # fmt: skip

        y, pullback = jax.vjp(run, x)
        results.append((y, pullback(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
    return results


def primitives(function, *args):
    return {eqn.primitive.name for eqn in jax.make_jaxpr(function)(*args).jaxpr.eqns}


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((0, 0), (0, 0))])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
def test_single_pixels_give_the_convolution_s_values_and_gradients(rng, strides, padding, size):
    x = jnp.asarray(rng.normal(size=(2, *size, 11)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(1, 1, 11, 4)), jnp.float32)
    (y, (back,)), (want, (want_back,)) = both(x, kernel, strides, padding)
    # Sums of eleven and of four float32 products in another order.
    np.testing.assert_allclose(y, want, atol=1e-5)
    np.testing.assert_allclose(back, want_back, atol=1e-5)


def test_it_is_a_product_where_it_may_be_and_a_convolution_elsewhere(rng):
    x = jnp.zeros((1, 6, 6, 4))

    def run(side, padding="SAME", groups=1, dilation=(1, 1)):
        kernel = jnp.zeros((side, side, 4 // groups, 4))
        return primitives(
            lambda x: convolution(
                x, kernel, (1, 1), padding, as_product=True, dimension_numbers=NHWC,
                feature_group_count=groups, lhs_dilation=dilation,
            ),
            x,
        )  # fmt: skip

    product = run(1)
    assert "dot_general" in product
    assert "conv_general_dilated" not in product
    for other in (
        run(3),
        run(1, groups=4),
        run(1, ((1, 1), (1, 1))),
        run(1, ((0, 0), (0, 0)), dilation=(2, 2)),
    ):
        assert "conv_general_dilated" in other
