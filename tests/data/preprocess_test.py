"""Preprocessing against its slow definition, and every kind of image that can come in."""

import numpy as np
import pytest
from PIL import Image

from depara_jax.data.preprocess import center_crop_box, preprocess, resized_size, to_uint8_rgb
from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec
from tests.references import images as reference


def smooth(rng, height, width):
    """A random image with structure at several scales."""
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-20, 21, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(50, 37), (37, 50), (33, 90), (12, 17), (24, 24), (101, 24)])
@pytest.mark.parametrize("channels", ["rgb", "bgr", "gray"])
def test_equals_the_slow_definition(rng, shape, channels):
    image = smooth(rng, *shape)
    count = 1 if channels == "gray" else 3
    # One unit of the result is one grey level.
    settings = {
        "size": (20, 24),
        "resize": 24,
        "channels": channels,
        "scale": (-1.0, 3.0),
        "mean": (0.3, -0.2, 0.1)[:count],
        "std": (4 / 255,) * count,
    }
    got = preprocess(image, InputSpec(**settings))
    want = reference.preprocess(image, **settings)
    assert got.shape == (20, 24, count)
    assert got.dtype == np.float32
    # Pillow's weights are fixed-point, so a value near one half may round the other way: at most
    # one grey level, and in few places (the second pass can carry the first one's over).
    gap = np.abs(got - want)
    assert gap.max() <= 1.001
    assert (gap > 0.01).mean() < 0.05


def test_without_a_change_of_size_the_values_are_exact(rng):
    image = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        preprocess(image, InputSpec(size=(9, 9), scale=(0.0, 255.0))), image.astype(np.float32)
    )
    np.testing.assert_array_equal(
        preprocess(image, InputSpec(size=(9, 9))), image.astype(np.float32) / np.float32(255)
    )


def test_imagenet_normalisation_of_a_known_pixel():
    image = np.full((256, 256, 3), (0, 128, 255), np.uint8)
    got = preprocess(image, InputSpec.imagenet())
    want = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert got.shape == (224, 224, 3)
    np.testing.assert_allclose(got[100, 100], want, rtol=1e-6)  # float32


@pytest.mark.parametrize(
    ("shape", "short", "want"),
    [
        ((500, 375), 256, (341, 256)),  # 341.33: rounded down
        ((375, 500), 256, (256, 341)),
        ((333, 500), 256, (256, 384)),  # 384.38
        ((200, 200), 256, (256, 256)),
        ((1, 1000), 8, (8, 8000)),
        ((299, 301), 299, (299, 301)),
    ],
)
def test_sizes_of_torchvision(shape, short, want):
    assert resized_size(*shape, short=short) == want


def test_crop_offsets_round_halves_to_even():
    # (256 - 224) / 2 = 16; (341 - 224) / 2 = 58.5 -> 58; (347 - 224) / 2 = 61.5 -> 62.
    assert center_crop_box(256, 341, crop=(224, 224)) == (58, 16, 282, 240)
    assert center_crop_box(347, 224, crop=(224, 224)) == (0, 62, 224, 286)


def test_gray_of_a_grey_image_is_that_image(rng):
    grey = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    spec = InputSpec(size=(8, 8), channels="gray", scale=(0.0, 255.0), mean=(0.0,), std=(1.0,))
    np.testing.assert_array_equal(preprocess(grey, spec)[:, :, 0], grey)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_usual_modes_become_rgb(rng, mode):
    source = Image.fromarray(smooth(rng, 6, 7))
    if mode == "LA":
        source = source.convert("L")
    image = source.convert(mode)
    np.testing.assert_array_equal(to_uint8_rgb(image), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_without_blending(rng):
    pixels = rng.integers(0, 256, (5, 6, 4), dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8_rgb(Image.fromarray(pixels)), pixels[:, :, :3])


def test_a_palette_with_alpha_gives_its_colours_without_a_warning():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.info["transparency"] = bytes([255, 0])
    assert (to_uint8_rgb(image) == [10, 20, 30]).all()


def test_sixteen_bits_become_eight():
    levels = np.array([[0, 257, 65535], [128, 129, 40000]], np.uint16)
    want = np.array([[0, 1, 255], [0, 1, 156]], np.uint8)
    got = to_uint8_rgb(Image.fromarray(levels))
    np.testing.assert_array_equal(got, np.repeat(want[:, :, None], 3, axis=2))


def test_exif_orientation_is_not_applied(rng, tmp_path):
    pixels = rng.integers(0, 256, (4, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(to_uint8_rgb(image), pixels)


@pytest.mark.parametrize("mode", ["I", "F", "HSV", "LAB"])
def test_unknown_ranges_and_colour_spaces_are_refused(mode):
    with pytest.raises(DeparaError, match=f"mode '{mode}'.*convert it"):
        to_uint8_rgb(Image.new(mode, (4, 4)))


def test_arrays_of_other_dtypes_and_shapes_are_refused():
    with pytest.raises(DeparaError, match="uint8.*got float64"):
        to_uint8_rgb(np.zeros((4, 4, 3)))
    for shape in [(4, 4, 4), (4,), (2, 4, 4, 3), (0, 4, 3)]:
        with pytest.raises(DeparaError, match="got shape"):
            to_uint8_rgb(np.zeros(shape, np.uint8))
