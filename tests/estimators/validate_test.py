"""Bad input: each kind is refused with a message that names it."""

import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError, UnknownNameError
from depara_jax.estimators import EstimatorInputs, estimate, leep, logme
from tests.estimators.conftest import raw_inputs

GOOD = {key: value for key, value in raw_inputs(n=20, d=5).items() if key != "source_model"}
HALVES = np.full((20, 6), 0.5)

BAD = {
    "labels and features differ in length": ({"labels": np.arange(19) % 2}, "one label for each"),
    "labels are no integers": ({"labels": np.linspace(0, 1, 20)}, "expected integers"),
    "labels are negative": ({"labels": np.arange(20) % 3 - 1}, "found -1"),
    "labels are a matrix": ({"labels": np.zeros((20, 1), int)}, "one label for each"),
    "a single class": ({"labels": np.full(20, 3)}, "all 20 samples are of class 3"),
    "NaN": ({"features": np.where(np.eye(20, 5) > 0, np.nan, 1.0)}, "features: NaN or infinity"),
    "infinity": ({"target_features": np.full((20, 4), np.inf)}, "target_features: NaN"),
    "probabilities do not sum to 1": ({"probabilities": HALVES}, "rows must sum to 1"),
    "probabilities are logits": ({"probabilities": HALVES - 1}, "negative"),
    "features are maps": ({"features": np.ones((20, 3, 3, 2))}, "expected a matrix"),
    "features are words": ({"features": np.array([["a"] * 3] * 20)}, "real numbers"),
    "features are empty": ({"features": np.ones((20, 0))}, "at least one row and column"),
    "features differ in length": ({"target_features": np.ones((21, 3))}, "features has 20"),
    "images differ in length": ({"images": np.ones((7, 4, 4, 3))}, "features has 20"),
    "images are integers": ({"images": np.ones((20, 4, 4, 3), int)}, "floating point"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named(kind: str) -> None:
    fields, message = BAD[kind]
    with pytest.raises(DeparaError, match=message):
        EstimatorInputs(**(GOOD | fields))


def test_a_single_class_is_degenerate() -> None:
    with pytest.raises(DegenerateError):
        logme(GOOD["features"], np.zeros(20, int))


def test_functions_check_too() -> None:
    with pytest.raises(DeparaError, match="one label for each of 20"):
        logme(GOOD["features"], GOOD["labels"][:-1])
    with pytest.raises(DeparaError, match="sum to 1"):
        leep(HALVES, GOOD["labels"])


def test_unknown_estimator_offers_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match="'logme'"):
        estimate("logm", EstimatorInputs(**GOOD))
    with pytest.raises(UnknownNameError, match="knn"):
        estimate("logme", EstimatorInputs(**GOOD), options={"kn": {"k": 1}})


def test_half_precision_and_rounded_probabilities_are_welcome() -> None:
    p = GOOD["probabilities"]
    half = EstimatorInputs(**(GOOD | {"probabilities": p.astype(np.float16)}))
    full = EstimatorInputs(**(GOOD | {"probabilities": p.astype(np.float32)}))
    assert half.probabilities.dtype == np.float32
    # float16 keeps 3 digits
    one, other = (estimate("leep", inputs)["leep"].value for inputs in (half, full))
    assert one == pytest.approx(other, rel=2e-3)
