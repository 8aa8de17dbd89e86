"""The fitted scores against scikit-learn, scipy, and plain numpy."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.estimators import linear_probe, pactran_gaussian
from tests.estimators.conftest import golden_data


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(120, 10), (60, 90)])
def test_linear_probe_agrees_with_scikit_learn(shape: tuple[int, int]) -> None:
    """Fold by fold, though for d > n the fit runs in the coordinates of the samples."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    from depara_jax.estimators.linear import _stratify

    features, labels, _ = golden_data(N=shape[0], D=shape[1], C=3, Cs=4, seed=3)
    ours = linear_probe(features, labels, folds=4, l2=2.0, seed=1)
    part = _stratify(labels, 4, 1)
    expected = []
    for fold in range(4):
        model = linear_model.LogisticRegression(C=0.5, max_iter=2000, tol=1e-8)
        model.fit(features[part != fold], labels[part != fold])
        expected.append(model.score(features[part == fold], labels[part == fold]))
    np.testing.assert_array_equal(ours.folds, expected)
    assert ours.value == pytest.approx(np.mean(expected))
    assert ours.standard_error == pytest.approx(np.std(expected, ddof=1) / 2)


def test_folds_are_stratified_and_seeded() -> None:
    from depara_jax.estimators.linear import _stratify

    labels = np.repeat([0, 1, 2], [20, 10, 5])
    part = _stratify(labels, 5, 0)
    assert [np.bincount(labels[part == fold]).tolist() for fold in range(5)] == [[4, 2, 1]] * 5
    assert not np.array_equal(part, _stratify(labels, 5, 1))


def test_probe_limits(rng: np.random.Generator) -> None:
    features = rng.normal(size=(12, 4))
    with pytest.raises(DegenerateError, match="one sample"):
        linear_probe(features, np.arange(12))
    with pytest.raises(DeparaError, match="folds: expected 2..12"):
        linear_probe(features, np.arange(12) % 2, folds=13)
    with pytest.raises(DeparaError, match="l2"):
        linear_probe(features, np.arange(12) % 2, l2=0.0)
    with pytest.raises(DeparaError, match="prior_factor"):
        pactran_gaussian(features, np.arange(12) % 2, prior_factor=-1.0)
    with pytest.raises(DeparaError, match="variance_factor"):
        pactran_gaussian(features, np.arange(12) % 2, variance_factor=0.0)


def slow_pactran(features: np.ndarray, labels: np.ndarray, prior: float, factor: float) -> float:
    """The bound with every entry of the Hessian's diagonal written out."""
    features = features - features.mean(axis=0)
    (samples, width), count = features.shape, labels.max() + 1
    onehot, scale = np.eye(count)[labels], prior * samples

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[:-count].reshape(width, count), flat[-count:]
        logs = scipy.special.log_softmax(features @ weights + bias, axis=1)
        return -(onehot * logs).sum() / samples + (weights**2).sum() / (2 * scale)

    start = np.random.default_rng(0).normal(size=(width + 1) * count) * 0.03
    best = scipy.optimize.minimize(loss, start, method="BFGS", tol=1e-9)
    weights, bias = best.x[:-count].reshape(width, count), best.x[-count:]
    p = scipy.special.softmax(features @ weights + bias, axis=1)
    diagonal = [
        (features[:, d] ** 2 * p[:, y] * (1 - p[:, y])).sum() + 1 / scale
        for d in range(width)
        for y in range(count)
    ] + [(p[:, y] * (1 - p[:, y])).sum() for y in range(count)]
    unknowns = width * count
    flat = np.log(sum(diagonal) * scale / unknowns + 1e-10)
    return best.fun + 0.5 * unknowns / scale * factor / width * flat


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("prior", "factor"), [(1.0, 10.0), (0.1, 1.0), (10.0, 1000.0)])
def test_pactran_is_its_definition(prior: float, factor: float) -> None:
    features, labels, _ = golden_data(N=30, D=4, C=3, Cs=4, seed=6)
    ours = pactran_gaussian(features, labels, prior_factor=prior, variance_factor=factor)
    # Two optimisers that stop at gradients of about 1e-6.
    assert float(ours) == pytest.approx(slow_pactran(features, labels, prior, factor), rel=1e-5)


@pytest.mark.usefixtures("x64")
def test_pactran_in_the_coordinates_of_the_samples(rng: np.random.Generator) -> None:
    """Entries of zeros change D in the formula but not the fit; compare beyond and below n."""
    features, labels, _ = golden_data(N=30, D=6, C=2, Cs=4, seed=6)
    wide = np.concatenate([features, np.zeros((30, 50))], axis=1)
    ours = pactran_gaussian(wide, labels)
    assert float(ours) == pytest.approx(slow_pactran(wide, labels, 1.0, 10.0), rel=1e-4)  # as above
