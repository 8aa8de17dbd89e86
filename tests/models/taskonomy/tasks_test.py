"""The table of the twenty tasks against the authors' code, step by step in float."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from depara_jax.data.preprocess import preprocess
from depara_jax.models.taskonomy import TASKS

# tools/deep_attribution.py of TAM: the order of its matrices and its list of clipped tasks.
ORDER = [
    "autoencoder",
    "curvature",
    "denoise",
    "edge2d",
    "edge3d",
    "keypoint2d",
    "keypoint3d",
    "colorization",
    "reshade",
    "rgb2depth",
    "rgb2mist",
    "rgb2sfnorm",
    "room_layout",
    "segment25d",
    "segment2d",
    "vanishing_point",
    "segmentsemantic",
    "class_1000",
    "class_places",
    "inpainting_whole",
]
CLIPPED = [
    "autoencoder",
    "curvature",
    "denoise",
    "edge2d",
    "edge3d",
    "keypoint2d",
    "keypoint3d",
    "reshade",
    "rgb2depth",
    "rgb2mist",
    "rgb2sfnorm",
    "segment25d",
    "segment2d",
    "room_layout",
]


def authors_input(task, image):
    """What the authors' code makes of a square image that needs no resizing."""
    x = image / 255
    if task in CLIPPED:
        return np.clip(x, 0.1, 0.9) * 2 - 1
    if task == "colorization":
        return rgb2lab(x)[:, :, :1] / 100 * 2 - 1
    x = x * 2 - 1
    if task == "inpainting_whole":
        quarter = len(x) // 4
        x[quarter : 3 * quarter, quarter : 3 * quarter] = 0
    return x


def test_the_order_is_that_of_the_papers():
    assert list(TASKS) == ORDER
    assert [name for name, task in TASKS.items() if task.low_saturation] == sorted(
        CLIPPED, key=ORDER.index
    )


@pytest.mark.parametrize("name", ORDER)
def test_preprocessing_is_that_of_the_authors(rng, name):
    image = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    got = preprocess(image, TASKS[name].input())
    want = authors_input(name, image)
    assert got.shape == want.shape == (256, 256, TASKS[name].channels_in)
    np.testing.assert_allclose(got, want, atol=1e-6)  # float32


def test_every_task_has_the_digest_of_its_published_file():
    assert TASKS["colorization"].channels_in == 1
    assert len({task.sha256 for task in TASKS.values()}) == 20
    assert all(len(task.sha256) == 64 for task in TASKS.values())
