"""The front door: what is asked for, what is missing, what is shared, many at once."""

import subprocess
import sys

import numpy as np
import pytest

from depara_jax import estimators
from depara_jax.errors import DeparaError
from depara_jax.estimators import ESTIMATORS, EstimatorInputs, estimate, estimate_many
from tests.estimators.conftest import cast, raw_inputs


def only(*names: str) -> EstimatorInputs:
    return cast({name: value for name, value in raw_inputs().items() if name in names}, np.float32)


def test_what_is_missing_is_said_and_the_others_run() -> None:
    results = estimate("all", only("features", "labels"))
    assert list(results) == list(ESTIMATORS)
    for name, one in results.items():
        lacking = [need for need in ESTIMATORS[name].needs if need not in ("features", "labels")]
        assert (one.value is None) == bool(lacking)
        if lacking:
            assert one.why == "needs " + ", ".join(lacking)


def test_names_that_are_also_modules_mean_the_functions() -> None:
    code = (
        "import depara_jax.estimators.spectrum, depara_jax.estimators.evidence, inspect;"
        "from depara_jax.estimators import evidence, spectrum;"
        "assert inspect.isfunction(evidence) and inspect.isfunction(spectrum)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_keep_their_order_and_count_once() -> None:
    inputs = only("features", "labels")
    assert list(estimate(["knn", "logme", "knn"], inputs)) == ["knn", "logme"]
    assert list(estimate("parc", inputs)) == ["parc"]


def test_values_are_the_functions_values() -> None:
    inputs = only("features", "labels")
    results = estimate(["logme", "knn"], inputs, options={"knn": {"k": 5}})
    assert results["logme"].value == float(estimators.logme(inputs.features, inputs.labels))
    assert results["knn"].value == float(estimators.knn(inputs.features, inputs.labels, k=5))
    assert results["logme"].standard_error is None


def test_names_of_classes_cost_nothing() -> None:
    inputs = only("features", "labels")
    far = EstimatorInputs(features=inputs.features, labels=10**8 * np.asarray(inputs.labels))
    names = ["logme", "knn", "h_score", "transrate", "gbc_diagonal", "parc"]
    assert [one.value for one in estimate(names, far).values()] == [
        one.value for one in estimate(names, inputs).values()
    ]


def test_error_bar_and_warning_are_reported() -> None:
    results = estimate("linear_probe", only("features", "labels"))
    assert results["linear_probe"].standard_error > 0
    results = estimate("h_score", cast(raw_inputs(n=40, d=60), np.float32))
    assert results["h_score"].value == pytest.approx(3.0, abs=1e-3)  # float32 Gram
    assert "d >= n - 1" in results["h_score"].why


def test_the_decomposition_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from depara_jax.estimators import inputs as module

    calls = []
    original = module.spectrum
    monkeypatch.setattr(module, "spectrum", lambda x: calls.append(x.shape) or original(x))
    given = only("features", "labels", "target_features")
    results = estimate(["logme", "h_score", "transrate", "cka_linear", "procrustes"], given)
    assert calls == [(120, 24), (120, 10)]
    # Each names its share of the cost, so that every row is what it would cost alone.
    shared = given.spectrum("features")[1]
    assert all(one.seconds >= shared for one in results.values())
    assert results["cka_linear"].seconds >= shared + given.spectrum("target_features")[1]


def test_gradients_come_from_the_models_where_they_are_not_given() -> None:
    models = only("images", "source_model", "target_model")
    given = EstimatorInputs(
        gradients=estimators.input_gradients(models.source_model, models.images),
        target_gradients=estimators.input_gradients(models.target_model, models.images),
    )
    one, other = (
        estimate("jacobian_angle", each)["jacobian_angle"].value for each in (models, given)
    )
    assert one == other


MANY = ["logme", "h_score", "h_score_shrinkage", "transrate", "knn", "parc", "gbc_diagonal"]
MANY += ["cka_linear", "rsa", "procrustes"]


def test_many_at_once_equal_one_by_one(rng: np.random.Generator) -> None:
    inputs = only("labels", "target_features")
    stack = rng.normal(size=(3, 120, 24)).astype(np.float32)
    together = estimate_many(MANY, stack, inputs)
    assert list(together) == MANY
    for index, features in enumerate(stack):
        alone = estimate(MANY, EstimatorInputs(
            features=features, labels=inputs.labels, target_features=inputs.target_features
        ))  # fmt: skip
        for name in MANY:
            # Batched eigendecompositions and sums round otherwise: float32.
            assert float(together[name][index]) == pytest.approx(alone[name].value, rel=2e-4), name


def test_many_refuses_what_cannot_be_mapped() -> None:
    stack = np.ones((2, 120, 24), np.float32)
    with pytest.raises(DeparaError, match="linear_probe: cannot be mapped"):
        estimate_many("linear_probe", stack, only("labels"))
    with pytest.raises(DeparaError, match="rsa: lacks target_features"):
        estimate_many("rsa", stack, only("labels"))
    with pytest.raises(DeparaError, match="models, samples, entries"):
        estimate_many("logme", stack[0], only("labels"))
