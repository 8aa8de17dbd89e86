"""What every row of `ESTIMATORS` must do, whatever it computes."""

import inspect
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depara_jax import estimators
from depara_jax.errors import DeparaError
from depara_jax.estimators import ESTIMATORS, EstimatorInputs
from tests.estimators.conftest import cast, raw_inputs

ROWS = list(ESTIMATORS)
TRACEABLE = [name for name in ROWS if ESTIMATORS[name].traceable]
FEATURES = ("features", "target_features")
ARRAYS = ("features", "labels", "targets", "probabilities", "logits", "target_features")
ARRAYS += ("gradients", "target_gradients", "images")

# Float32 against float64. Sums of a hundred products keep about 6 digits; what is listed loses
# more, because it passes through a Gram matrix (half the digits of small directions), a fixed
# point, an iterative fit, or differences of nearly equal kernels.
LOOSER = {
    "nleep": 1e-3,  # EM amplifies rounding; the same start is given
    "logme": 1e-4,
    "logme_multilabel": 1e-4,
    "logme_regression": 1e-4,
    "transrate": 1e-4,
    "pactran_gaussian": 1e-4,
    "dds_laplacian": 1e-4,
    "adversarial_alpha1": 1e-3,  # the sign of a gradient entry near 0 may flip
    "adversarial_alpha2": 1e-3,
    "adversarial_tau1": 1e-3,
}
DEFAULT = 2e-5


def run(name: str, inputs: EstimatorInputs, **options: Any) -> float:
    row = ESTIMATORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = row.function(*row.arguments(inputs), **options)
    return float(result.value if hasattr(result, "standard_error") else result)


def fixed_start(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """N-LEEP's k-means draws other numbers in another precision; give both the same start."""
    if name != "nleep":
        return {}
    return {"responsibilities": np.eye(8)[np.arange(len(fields["labels"])) % 8]}


@pytest.mark.parametrize("name", ROWS)
def test_row_is_complete(name: str) -> None:
    row = ESTIMATORS[name]
    assert row.name == name == row.function.__name__
    assert set(row.needs) <= set(EstimatorInputs.__dataclass_fields__)
    assert row.citation
    parameters = list(inspect.signature(row.function).parameters.values())
    positional = [one for one in parameters if one.kind is not one.KEYWORD_ONLY]
    assert [one.name for one in positional] == list(row.needs)
    assert all(one.default is one.empty for one in positional)
    assert all(one.default is not one.empty for one in parameters[len(positional) :])


@pytest.mark.parametrize("name", TRACEABLE)
def test_jit_equals_eager(name: str) -> None:
    row, inputs = ESTIMATORS[name], cast(raw_inputs(), np.float32)
    options = {"n_classes": 4} if row.takes_classes else {}
    traced = [need for need in row.needs if not need.endswith("_model")]

    def call(arrays: dict[str, Any]) -> Any:
        return row.function(*[arrays.get(n, getattr(inputs, n)) for n in row.needs], **options)

    arrays = {need: getattr(inputs, need) for need in traced}
    # XLA fuses the whole score and may sum in another order: a few units of float32.
    assert float(jax.jit(call)(arrays)) == pytest.approx(float(call(arrays)), rel=2e-5, abs=2e-6)


@pytest.mark.slow  # compiles every row once more
@pytest.mark.parametrize("name", ROWS)
def test_float32_is_close_to_float64(name: str) -> None:
    fields = raw_inputs()
    options = fixed_start(name, fields)
    single = run(name, cast(fields, np.float32), **options)
    with jax.enable_x64(True):
        inputs = cast(fields, np.float64)
        double = run(name, inputs, **options)
        assert inputs.features.dtype == jnp.float64
    tolerance = LOOSER.get(name, DEFAULT)
    assert single == pytest.approx(double, rel=tolerance, abs=tolerance)


def transformed(fields: dict[str, Any], how: str) -> dict[str, Any]:
    """The same problem, described otherwise."""
    r = np.random.default_rng(5)
    fields = dict(fields)
    if how == "samples":
        order = r.permutation(len(fields["labels"]))
        return fields | {name: fields[name][order] for name in ARRAYS}
    if how == "classes":
        renamed = np.array([2, 0, 3, 1])
        return fields | {"labels": renamed[fields["labels"]]}
    for name in FEATURES:
        rows = fields[name]
        if how == "scale":
            fields[name] = 7.5 * rows
        elif how == "translation":
            fields[name] = rows + r.normal(size=rows.shape[1])
        else:
            fields[name] = rows @ np.linalg.qr(r.normal(size=(rows.shape[1],) * 2))[0]
    return fields


CLAIMS = [(name, how) for name in ROWS for how in ESTIMATORS[name].invariant]


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("name", "how"), CLAIMS)
def test_claimed_invariance(name: str, how: str) -> None:
    fields = raw_inputs()
    before = run(name, cast(fields, np.float64))
    after = run(name, cast(transformed(fields, how), np.float64))
    # Exact but for rounding in float64; the L-BFGS fit of PACTran stops within 1e-6 of its optimum.
    tolerance = 1e-5 if name == "pactran_gaussian" else 1e-9
    assert after == pytest.approx(before, rel=tolerance, abs=tolerance)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("how", ["scale", "translation", "rotation", "classes"])
def test_the_transformations_are_not_vacuous(how: str) -> None:
    """Some estimator that does not claim an invariance notices."""
    fields = raw_inputs()
    changed = transformed(fields, how)
    before, after = cast(fields, np.float64), cast(changed, np.float64)
    if how == "classes":
        assert not np.array_equal(before.labels, after.labels)
        return
    noticing = {"scale": "transrate", "translation": "logme", "rotation": "rsa"}[how]
    assert how not in ESTIMATORS[noticing].invariant
    assert abs(run(noticing, before) - run(noticing, after)) > 1e-3


NETWORKS = {name for name in ROWS if "images" in ESTIMATORS[name].needs}
LABELLED = {name for name in ROWS if {"labels", "targets"} & set(ESTIMATORS[name].needs)}
ON_FEATURES = set(ROWS) - NETWORKS - {"leep", "nce", "energy", "task_hardness", "jacobian_angle"}
# What to run on which kind, and for which of those no value exists.
DEGENERATE = {
    "few samples": (ON_FEATURES, set()),
    "absent class": (LABELLED, set()),
    "one sample a class": (LABELLED, {"nleep", "linear_probe"}),
    "constant features": (ON_FEATURES, {"nleep"}),
    "duplicated features": (ON_FEATURES, set()),
    "duplicated samples": (ON_FEATURES, set()),
    "zero probabilities": ({"leep", "nce"}, set()),
    "zero gradients": (NETWORKS | {"jacobian_angle"}, {"jacobian_angle", "adversarial_alpha2"}),
}


def degenerate(kind: str) -> dict[str, Any]:
    if kind == "few samples":
        return raw_inputs(n=40, d=60)
    if kind == "one sample a class":
        return raw_inputs(n=40, d=60, c=40)
    fields = raw_inputs()  # the shapes of the tests above, which are compiled already
    count = len(fields["labels"])
    if kind == "absent class":
        fields["labels"] = np.where(fields["labels"] == 1, 2, fields["labels"])
        fields["targets"] = np.eye(4)[fields["labels"]]
    elif kind == "constant features":
        fields |= {"features": np.ones((count, 24)), "target_features": np.full((count, 10), 0.1)}
    elif kind == "duplicated features":
        fields["features"] = np.tile(fields["features"][:, :8], 3)
    elif kind == "duplicated samples":
        fields["features"] = np.repeat(fields["features"][: count // 2], 2, axis=0)
    elif kind == "zero probabilities":
        fields["probabilities"] = np.eye(6)[np.arange(count) % 4]
    elif kind == "zero gradients":
        fields["gradients"] = np.zeros_like(fields["gradients"])
        fields["source_model"] = lambda images: jnp.zeros((images.shape[0], 3), images.dtype)
    return fields


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_input_gives_a_number_or_a_reason(kind: str) -> None:
    asked, without = DEGENERATE[kind]
    results = estimators.estimate(sorted(asked), cast(degenerate(kind), np.float32))
    assert {name for name, one in results.items() if one.value is None} == without
    for name, one in results.items():
        assert (one.value is not None and np.isfinite(one.value)) or len(one.why) > 10, name
        assert "nan" not in one.why


@pytest.mark.parametrize("name", ROWS)
def test_nan_is_refused(name: str) -> None:
    row, fields = ESTIMATORS[name], raw_inputs()
    if row.needs == ("labels",):
        with pytest.raises(DeparaError, match="integers"):
            row.function(np.where(fields["labels"] == 1, np.nan, 1.0))
        return
    spoiled = next(need for need in row.needs if not need.endswith("_model"))
    fields[spoiled] = fields[spoiled].copy()
    fields[spoiled][3] = np.nan
    with pytest.raises(DeparaError, match=f"{spoiled}: NaN or infinity"):
        row.function(*[fields[need] for need in row.needs])
    with pytest.raises(DeparaError, match=f"{spoiled}: NaN or infinity"):
        EstimatorInputs(**fields)
