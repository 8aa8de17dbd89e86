"""Every choice between two forms asks one place, and programs of two platforms do not mix."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from depara_jax.attribution import attribute
from depara_jax.errors import UnknownNameError
from depara_jax.host.platform import made_for, platform
from depara_jax.models.layers.convolution import convolution, depthwise_conv
from depara_jax.models.layers.pooling import max_pool
from depara_jax.recipe import Recipe
from depara_jax.spec import InputSpec
from depara_jax.stats import in_host_memory
from depara_jax.walk.memory import default_batch_size

CPU = jax.default_backend() == "cpu"
PATH = Recipe(attribution="integrated_gradients", steps=20)
IMAGES = jax.ShapeDtypeStruct((2, 16, 16, 3), np.float32)


def forward(kernels, images):
    x = depthwise_conv(images, kernels["depthwise"])
    axes = ("NHWC", "HWIO", "NHWC")
    x = convolution(x, kernels["pointwise"], (1, 1), "VALID", dimension_numbers=axes)
    return {"pool": max_pool(jax.nn.relu(x), 2, stride=2)}


def kernels():
    shapes = {"depthwise": (3, 3, 1, 3), "pointwise": (1, 1, 3, 4)}
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def forms(program) -> dict[str, bool]:
    """Which of the forms that are slow on a CPU stand in a program's text."""
    words = ("stablehlo.convolution", "reduce_window", "select_and_scatter", "stablehlo.while")
    return {word: word in program for word in words}


def test_a_program_for_a_tpu_has_the_forms_for_a_tpu_and_does_not_mix_with_ours():
    @jax.jit
    def maps(kernels, images):
        return attribute(forward, kernels, images, ("pool",), PATH)

    here = maps.lower(kernels(), IMAGES).as_text()
    with made_for("tpu"):
        exported = export.export(maps, platforms=["tpu"])(kernels(), IMAGES)
        there = exported.mlir_module()
    assert exported.platforms == ("tpu",)
    assert all(forms(there).values()), forms(there)
    assert "feature_group_count = 3" in there
    assert there.count("stablehlo.convolution") > 2  # forward and backward
    if CPU:
        assert not any(forms(here).values()), forms(here)
    assert maps.lower(kernels(), IMAGES).as_text() == here


def test_calls_inside_and_outside_take_their_own_programs():
    traced = []

    @jax.jit
    def choose(x):
        traced.append(platform())
        return x + (1 if platform() == "tpu" else 2)

    outside = float(choose(0.0))
    with made_for("tpu"):
        inside = [float(choose(0.0)), float(choose(0.0))]
        with made_for("cpu"):
            nested = float(choose(0.0))
    assert (outside, inside, nested, float(choose(0.0))) == (2, [1, 1], 2, 2)
    assert traced == [jax.default_backend(), "tpu", "cpu"]


def test_the_context_ends_with_an_error_and_is_this_threads_own():
    seen = []
    with made_for("tpu"):
        thread = threading.Thread(target=lambda: seen.append(platform()))
        thread.start()
        thread.join()
    with pytest.raises(UnknownNameError), made_for("tpu"), made_for("nowhere"):
        pass
    assert [*seen, platform()] == [jax.default_backend()] * 2


def test_the_number_of_images_and_the_place_of_numpy_arrays_follow():
    size = InputSpec((64, 64))
    with made_for("cpu"):
        assert default_batch_size(size, PATH) == 12
        assert in_host_memory(np.zeros(3))
    with made_for("tpu"):
        assert default_batch_size(size, PATH) == default_batch_size(size) == 128
        assert not in_host_memory(np.zeros(3))
        assert in_host_memory(jnp.zeros(3)) == CPU  # it lies where it lies


def test_a_platform_that_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match="platform 'tpv'.*did you mean 'tpu'"):
        made_for("tpv").__enter__()
