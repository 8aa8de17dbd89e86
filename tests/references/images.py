"""Slow, obvious statements of the image arithmetic that torchvision and Pillow define."""

import math

import numpy as np


def resize_bilinear(image, height, width):
    """Antialiased bilinear resampling of [h, w, c]: a triangle filter widened by the reduction.

    Output pixel i is centred on (i + 1/2) s in the input, s = input length / output length; input
    pixel j, centred on j + 1/2, weighs max(0, 1 - |j + 1/2 - centre| / max(s, 1)), normalised.
    """
    for axis, length in ((1, width), (0, height)):
        image = np.moveaxis(_resize_first(np.moveaxis(image, axis, 0), length), 0, axis)
        image = np.floor(image + 0.5)  # 8 bits after each pass, as Pillow holds them; rows first
    return np.clip(image, 0, 255)


def _resize_first(image, length):
    out = np.zeros((length, *image.shape[1:]))
    step = image.shape[0] / length
    for i in range(length):
        centre = (i + 0.5) * step
        total = 0.0
        for j in range(image.shape[0]):
            weight = max(0.0, 1.0 - abs(j + 0.5 - centre) / max(step, 1.0))
            out[i] += weight * image[j]
            total += weight
        out[i] /= total
    return out


def preprocess(image, *, size, resize, channels, scale, mean, std):
    """uint8 RGB [h, w, 3] -> [size, c] in float64."""
    height, width, _ = image.shape
    if height < width:
        new = (resize, math.floor(resize * width / height))
    else:
        new = (math.floor(resize * height / width), resize)
    resized = resize_bilinear(image.astype(np.float64), *new)
    top, left = (_round_half_to_even((n - s) / 2) for n, s in zip(new, size, strict=True))
    out = np.zeros((*size, 1 if channels == "gray" else 3))
    for y in range(size[0]):
        for x in range(size[1]):
            red, green, blue = resized[top + y, left + x]
            if channels == "rgb":
                values = [red, green, blue]
            elif channels == "bgr":
                values = [blue, green, red]
            else:
                values = [round(0.299 * red + 0.587 * green + 0.114 * blue)]
            for c, value in enumerate(values):
                scaled = scale[0] + (scale[1] - scale[0]) * value / 255
                out[y, x, c] = (scaled - mean[c]) / std[c]
    return out


def _round_half_to_even(value):
    low = math.floor(value)
    if value - low == 0.5:
        return low if low % 2 == 0 else low + 1
    return math.floor(value + 0.5)
