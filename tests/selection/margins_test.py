"""Networks that see different parts of the photographs: their maps meet at the same place."""

import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax import RECIPES, InputSpec, Model, Probe, attribution_graphs, compare_models
from depara_jax.walk.views import View, common_grid, margins

RECIPE = RECIPES["paper"].replace(lam=0.0)


def network(name, size, resize):
    """Gradient x input of the sum of squares is 2 x^2: the map is the picture itself."""
    return Model.from_function(
        lambda w, x: {"all": x.reshape(len(x), -1) * w},
        jnp.float32(1),
        name=name,
        input=InputSpec(size=size, resize=resize),
    )


def views(*models):
    return [View(model, ("all",)) for model in models]


def test_the_margins_are_what_the_crop_left_out():
    whole, crop = network("whole", (16, 16), None), network("crop", (16, 16), 25)
    assert margins(views(whole, crop)) == [((0, 0), (0, 0)), ((4, 5), (4, 5))]
    wide = network("wide", (8, 16), None)
    assert margins(views(whole, wide)) == [((0, 0), (0, 0)), ((4, 4), (0, 0))]
    # Where all see the same part nothing is moved.
    half = network("half", (8, 8), None)
    assert margins(views(whole, half)) == [None, None]


def test_equal_sizes_of_different_crops_get_a_grid():
    whole, crop = network("whole", (16, 16), None), network("crop", (16, 16), 24)
    assert common_grid(views(whole, crop), RECIPE).grid == 16
    assert common_grid(views(whole, whole), RECIPE).grid is None


@pytest.fixture
def pictures():
    """One bright spot a picture, inside both crops."""
    found = np.zeros((6, 48, 48, 3), np.uint8)
    for k in range(6):
        found[k, 14 + 3 * k : 18 + 3 * k, 26 - 2 * k : 30 - 2 * k] = 255
    return found


def test_a_spot_is_at_the_same_place_of_the_grid(pictures):
    whole, crop = network("whole", (48, 48), None), network("crop", (32, 32), 48)
    result = compare_models([whole, crop], Probe.from_arrays(pictures), RECIPE)
    assert result.recipe.grid == 32
    # The crop's map with its margins is the whole's map to the pixel.
    assert float(result.node[0, 1]) == pytest.approx(1, abs=1e-5)
    # Laid over each other as they are, the spots would not meet.
    nodes = [
        attribution_graphs(model, Probe.from_arrays(pictures), RECIPE.replace(grid=32))["all"].nodes
        for model in (whole, crop)
    ]
    unit = [n / jnp.linalg.norm(n, axis=1, keepdims=True) for n in nodes]
    assert float((unit[0] * unit[1]).sum(axis=1).mean()) < 0.5
