"""The three steps that Taskonomy's networks need: lightness, clipping, the hole."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from depara_jax.data.preprocess import lightness, preprocess
from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_lightness_is_that_of_scikit_image(image):
    image[0, :3] = [[0, 0, 0], [255, 255, 255], [3, 1, 2]]  # the linear part near black as well
    # float32 of values up to 100.
    np.testing.assert_allclose(lightness(image)[:, :, 0], rgb2lab(image)[:, :, 0], atol=1e-5)


def test_lightness_fills_the_scale(image):
    spec = InputSpec(size=(16, 16), channels="lab_l", scale=(-1.0, 1.0), mean=(0.0,), std=(1.0,))
    got = preprocess(image, spec)
    assert got.shape == spec.shape == (16, 16, 1)
    # TAM's `to_light`: L from [0, 100] to [-1, 1]. float32.
    np.testing.assert_allclose(got[:, :, 0], rgb2lab(image)[:, :, 0] / 50 - 1, atol=1e-6)


def test_clip_limits_pixels_before_they_are_scaled(image):
    spec = InputSpec(size=(16, 16), scale=(-1.0, 1.0), clip=(0.1, 0.9))
    got = preprocess(image, spec)
    # TAM's `resize_rescale_image_low_sat`: clip x/255 to [.1, .9], then [0, 1] to [-1, 1]. float32.
    np.testing.assert_allclose(got, np.clip(image / 255, 0.1, 0.9) * 2 - 1, atol=1e-6)
    assert got.min() == pytest.approx(-0.8)
    assert got.max() == pytest.approx(0.8)


@pytest.mark.parametrize("size", [16, 14])
def test_hole_is_the_middle_quarter_and_leaves_the_rest(image, size):
    image = image[:size, :size]
    plain = InputSpec(size=(size, size), scale=(-1.0, 1.0), mean=(0.1, 0.2, 0.3))
    want = preprocess(image, plain).copy()
    side = size // 2
    start = int(round((size - side) / 2))
    want[start : start + side, start : start + side] = 0
    spec = InputSpec(size=(size, size), scale=(-1.0, 1.0), mean=(0.1, 0.2, 0.3), hole=(side, side))
    np.testing.assert_array_equal(preprocess(image, spec), want)


@pytest.mark.parametrize("wrong", [{"clip": (0.9, 0.1)}, {"clip": (-0.1, 0.9)}, {"hole": (17, 4)}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(DeparaError, match=next(iter(wrong))):
        InputSpec(size=(16, 16), **wrong)
