"""From a decoded image to the array that a model takes, as torchvision does it to PIL images."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec

__all__ = ["center_crop_box", "lightness", "preprocess", "resized_size", "to_uint8_rgb"]

_EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


def preprocess(image: Image.Image | np.ndarray, input: InputSpec) -> Float32[np.ndarray, "h w c"]:
    """Resizes, crops, orders the channels and normalises one image.

    The arithmetic is that of torchvision's `Resize(resize)`, `CenterCrop(size)`, `ToTensor()` and
    `Normalize(mean, std)` on a PIL image: Pillow's antialiased bilinear filter, which rounds to 8
    bits, then

        y = (scale[0] + x (scale[1] - scale[0]) / 255 - mean) / std    in float32.

    A "gray" input is the luma of the cropped RGB image (ITU-R 601, Pillow's integer arithmetic),
    "bgr" its channels reversed, "lab_l" x = 255 L* / 100 with the lightness L* of CIELAB. With a
    `clip`, x is limited to 255 clip before it is scaled; a `hole` in the middle of y is 0.

    Args:
      image: a PIL image, or uint8 [h, w, 3], [h, w, 1] or [h, w]; see `to_uint8_rgb`.
      input: what the model takes.

    Returns:
      An array of shape `input.shape`.

    Raises:
      DeparaError: the image is of a kind that `to_uint8_rgb` refuses.
    """
    rgb = to_uint8_rgb(image)
    short = max(input.size) if input.resize is None else input.resize
    height, width = resized_size(rgb.shape[0], rgb.shape[1], short=short)
    resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    cropped = resized.crop(center_crop_box(height, width, crop=input.size))
    if input.channels == "gray":
        pixels = np.asarray(cropped.convert("L"))[:, :, None]
    elif input.channels == "lab_l":
        pixels = lightness(np.asarray(cropped)) * np.float32(2.55)
    else:
        pixels = np.asarray(cropped)
        pixels = pixels[:, :, ::-1] if input.channels == "bgr" else pixels
    pixels = pixels.astype(np.float32)
    if input.clip is not None:
        darkest, lightest = (np.float32(255 * bound) for bound in input.clip)
        pixels = np.clip(pixels, darkest, lightest)
    low, high = (np.float32(bound) for bound in input.scale)
    # Multiplied before divided, so that both usual scales, 0..1 and 0..255, are exact.
    scaled = low + pixels * (high - low) / np.float32(255)
    mean, std = np.asarray(input.mean, np.float32), np.asarray(input.std, np.float32)
    result = (scaled - mean) / std
    if input.hole is not None:
        left, top, right, bottom = center_crop_box(*input.size, crop=input.hole)
        result[top:bottom, left:right] = 0
    return result


def lightness(rgb: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 1"]:
    """L* of CIELAB, 0 (black) to 100 (white), of sRGB pixels under illuminant D65.

    L* = 116 f(Y) - 16 with the relative luminance Y of the linearised channels and f the cube root,
    linear near black (CIE 15; sRGB per IEC 61966-2-1).
    """
    x = np.arange(256, dtype=np.float64) / 255
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    # The luminances of the three primaries, in the digits that scikit-image gives them.
    luminance = linear[rgb] @ np.array([0.212671, 0.715160, 0.072169])
    root = np.where(luminance > 0.008856, np.cbrt(luminance), 7.787 * luminance + 16 / 116)
    return (116 * root - 16).astype(np.float32)[:, :, None]


def resized_size(height: int, width: int, *, short: int) -> tuple[int, int]:
    """Height and width once the shorter side is `short`; the longer is rounded down."""
    if width <= height:
        return int(short * height / width), short
    return short, int(short * width / height)


def center_crop_box(height: int, width: int, *, crop: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, upper, right and lower of the crop; halves are rounded to even, as torchvision does."""
    top = int(round((height - crop[0]) / 2.0))
    left = int(round((width - crop[1]) / 2.0))
    return left, top, left + crop[1], top + crop[0]


def to_uint8_rgb(image: Image.Image | np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image to 8-bit RGB, as torchvision's image folder does with `convert("RGB")`.

    Grey levels are replicated, palettes looked up, CMYK and YCbCr converted, alpha is dropped
    without blending, and of several frames the first is taken. The EXIF orientation is not applied,
    which is torchvision's way too. Unlike there, 16-bit grey levels are mapped to 8 bits by
    round(x / 257) rather than clipped, and images whose range nobody knows (Pillow's modes "I" and
    "F") or that are not in a colour space of ours ("LAB", "HSV") are refused.

    Args:
      image: a PIL image, or uint8 [h, w, 3], [h, w, 1] or [h, w].

    Raises:
      DeparaError: another mode, dtype or shape.
      OSError: Pillow cannot decode the file behind the image.
    """
    if isinstance(image, np.ndarray):
        return _array_to_rgb(image)
    if image.mode in _SIXTEEN_BIT:
        levels = np.asarray(image).astype(np.float64) / 257.0
        return _array_to_rgb(np.round(levels).astype(np.uint8))
    if image.mode not in _EIGHT_BIT:
        raise DeparaError(
            f"an image of Pillow mode {image.mode!r} has no known 8-bit range; expected grey, RGB, "
            "RGBA, palette, CMYK or 16-bit grey: convert it to 8-bit RGB first"
        )
    if image.mode == "P" and "transparency" in image.info:
        # Pillow warns about palettes with an alpha value a colour unless they pass through RGBA.
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _array_to_rgb(image: np.ndarray) -> np.ndarray:
    """A uint8 array with one or three channels as [h, w, 3]."""
    if image.dtype != np.uint8:
        raise DeparaError(f"an image array must be uint8 with values 0..255, got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise DeparaError(
            f"an image array must be [h, w, 3], [h, w, 1] or [h, w], got shape {image.shape}"
        )
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
