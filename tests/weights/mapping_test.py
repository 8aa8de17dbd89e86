"""Rule tables: transforms against loops, and strictness in both directions."""

import ml_dtypes
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.weights.mapping import TRANSFORMS, Rule, assign, linear_after_flatten


def like(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


RULES = (
    Rule(r"block(\d)\.weight", r"blocks.\1.kernel", "linear"),
    Rule(r"block(?P<i>\d)\.bias", r"blocks.\g<i>.bias"),
)


def test_names_and_axes_follow_the_table(rng):
    weight, bias = rng.normal(size=(3, 2)).astype(np.float32), np.ones(3, np.float32)
    targets = {"blocks.4.bias": like(3), "blocks.4.kernel": like(2, 3)}
    got = assign(RULES, {"block4.weight": weight, "block4.bias": bias}, targets)
    assert list(got) == list(targets)
    np.testing.assert_array_equal(got["blocks.4.kernel"], weight.T)
    assert got["blocks.4.kernel"].flags.c_contiguous


def test_convolutions_compute_the_same_after_the_transform(rng):
    weight = rng.normal(size=(5, 4, 3, 2))
    kernel = TRANSFORMS["conv"](weight)
    assert kernel.shape == (3, 2, 4, 5)
    assert kernel[2, 1, 3, 4] == weight[4, 3, 2, 1]
    depthwise = rng.normal(size=(6, 1, 3, 2))
    assert TRANSFORMS["depthwise"](depthwise)[2, 0, 0, 5] == depthwise[5, 0, 2, 0]


def test_the_first_linear_layer_after_flattening_sees_the_same_image(rng):
    image, weight = rng.normal(size=(4, 2, 3)), rng.normal(size=(5, 24))  # channels, height, width
    kernel = linear_after_flatten(2, 3)(weight)
    # The same sum of 24 float64 products in another order.
    np.testing.assert_allclose(
        image.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ image.reshape(-1), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_floating_tensors_take_the_target_s_dtype(dtype):
    value = np.asarray([0.5, -2], dtype)
    got = assign([Rule("x", "x")], {"x": value}, {"x": like(2)})["x"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [0.5, -2])


def message(*args, **kwargs):
    with pytest.raises(DeparaError) as caught:
        assign(*args, **kwargs)
    return str(caught.value)


def test_missing_and_unexpected_tensors_are_told_in_one_message():
    targets = {"blocks.1.kernel": like(2, 3), "blocks.1.bias": like(3), "head": like(1)}
    tensors = {"block1.weight": like(3, 2), "block7.bias": like(3), "strange": like(2)}
    assert message(RULES, tensors, targets, source="f.npz") == (
        "f.npz: the tensors do not fit the network: 2 missing: blocks.1.bias, head; "
        "2 unexpected: block7.bias, strange"
    )


def test_ignored_tensors_may_be_left_over_but_only_by_their_whole_name():
    tensors = {"x": like(2), "steps": like(1), "steps2": like(1)}
    rules = [Rule("x", "x")]
    told = message(rules, tensors, {"x": like(2)}, ignore=["steps"])
    assert told.endswith("network: 1 unexpected: steps2")
    assert list(assign(rules, tensors, {"x": like(2)}, ignore=[r"steps\d?"])) == ["x"]


def test_an_ignored_tensor_does_not_fill_its_target():
    told = message([Rule("x", "x")], {"x": like(2)}, {"x": like(2)}, ignore=["x"])
    assert told.endswith("1 missing: x")


def test_a_tensor_that_two_rules_match_is_told():
    rules = [Rule("a.*", "x"), Rule(".*b", "y")]
    told = message(rules, {"ab": like(1)}, {"x": like(1)})
    assert "1 doubly matched: ab (to x and y)" in told


def test_a_target_with_two_sources_is_told():
    told = message([Rule("a|b", "x")], {"a": like(1), "b": like(1)}, {"x": like(1)})
    assert told.endswith("1 doubly matched: x (by a and b)")


@pytest.mark.parametrize(
    ("transform", "shape", "told"),
    [
        ("conv", (3, 3), "x (shape (3, 3) does not have the 4 axes OIHW)"),
        ("linear", (3, 3, 3), "x (shape (3, 3, 3) does not have the 2 axes OI)"),
        ("depthwise", (4, 2, 3, 3), "x (shape (4, 2, 3, 3) is not depthwise"),
        (linear_after_flatten(7, 7), (4, 50), "x (50 inputs are not a multiple of 7x7)"),
        ("linear", (4, 2), "x ((4, 2) gives (2, 4), x is (9,))"),
        ("identity", (4, 2), "x ((4, 2) gives (4, 2), x is (9,))"),
    ],
)
def test_wrong_shapes_are_told(transform, shape, told):
    got = message([Rule("x", "x", transform)], {"x": like(*shape)}, {"x": like(9)})
    assert f"1 wrong shape: {told}" in got


@pytest.mark.parametrize("dtype", [np.int8, bool, np.complex64])
def test_wrong_dtypes_are_told(dtype):
    told = message([Rule("x", "x")], {"x": like(2, dtype=dtype)}, {"x": like(2)})
    assert f"1 wrong dtype: x ({np.dtype(dtype)}, x is float32)" in told


def test_a_number_too_large_for_the_target_is_told():
    told = message([Rule("x", "x")], {"x": np.asarray([1e300])}, {"x": like(1)})
    assert "1 wrong dtype: x (float64 overflows float32)" in told


def test_long_lists_are_cut():
    targets = {f"t{i:02}": like(1) for i in range(25)}
    told = message([], {}, targets)
    assert told.endswith(
        "25 missing: " + ", ".join(f"t{i:02}" for i in range(10)) + ", and 15 more"
    )


def test_a_transform_that_does_not_exist_is_answered_with_the_near_ones():
    with pytest.raises(UnknownNameError, match="unknown weight transform 'conf'.*'conv'"):
        assign([Rule("x", "x", "conf")], {}, {})
