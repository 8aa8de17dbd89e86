"""Bootstrap intervals: the resampled similarity against a loop, coverage, and refused input."""

import numpy as np
import pytest

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation import (
    GroundTruth,
    bootstrap_over_images,
    bootstrap_over_targets,
    precision_at_k,
    resampled_similarities,
)
from tests.references import metrics as slow


def parts(rng, n=7, m=3, rounding=2):
    """Per-image cosines and edge matrices; rounding makes ties."""
    nodes = rng.uniform(-1, 1, size=(n, m, m)).astype(np.float32)
    full = rng.uniform(-1, 1, size=(m, n, n)).round(rounding)
    rows, columns = np.triu_indices(n, 1)
    full[:, columns, rows] = full[:, rows, columns]
    return nodes, full, full[:, rows, columns].astype(np.float32)


@pytest.mark.parametrize("rounding", [1, 6])
def test_resamples_equal_the_similarity_of_the_repeated_images(rng, rounding):
    nodes, full, edges = parts(rng, rounding=rounding)
    draws = rng.integers(0, 7, size=(4, 7))
    weights = np.stack([np.bincount(draw, minlength=7) for draw in draws])
    found = resampled_similarities(nodes, weights, edges=edges, lam=0.5)
    for draw, matrix in zip(draws, found, strict=True):
        expected = slow.resampled_similarity(nodes, full, draw, 0.5)
        # float32 sums over 21 edges and 7 images.
        np.testing.assert_allclose(matrix, expected, atol=3e-6)


def test_weights_of_one_give_the_similarity_itself(rng):
    nodes, full, edges = parts(rng)
    found = resampled_similarities(nodes, np.ones((1, 7), int), edges=edges, lam=0.25)
    expected = slow.resampled_similarity(nodes, full, range(7), 0.25)
    # float32 sums over 21 edges and 7 images.
    np.testing.assert_allclose(found[0], expected, atol=3e-6)


def test_edges_are_not_needed_without_lambda(rng):
    nodes, _, _ = parts(rng)
    weights = rng.multinomial(7, np.full(7, 1 / 7), size=3)
    expected = np.einsum("bn,nij->bij", weights, nodes) / 7
    # float32 sums over 7 images.
    np.testing.assert_allclose(resampled_similarities(nodes, weights), expected, atol=1e-6)


def test_image_interval_is_that_of_the_mean(rng):
    nodes = rng.normal(size=(400, 1, 1))
    interval = bootstrap_over_images(nodes, lambda s: s[0, 0], resamples=2000, level=0.95)
    half = 1.96 * nodes.std() / np.sqrt(400)
    # The percentile interval of a mean of 400 values is the normal one within Monte Carlo error:
    # 2000 resamples place a 2.5% quantile within about 5% of the half width.
    np.testing.assert_allclose(interval.high - nodes.mean(), half, rtol=0.15)
    np.testing.assert_allclose(nodes.mean() - interval.low, half, rtol=0.15)


def test_image_interval_of_precision_brackets_and_is_reproducible(rng):
    nodes, _, edges = parts(rng, n=9, m=4)
    truth = GroundTruth.from_rows([[0, 1, 2, 3], [1, 2, 3, 0], [2, 0, 3, 1]])

    def interval(seed):
        return bootstrap_over_images(
            nodes,
            lambda s: precision_at_k(s, truth, relevant=1).mean(0),
            edges=edges,
            lam=0.5,
            resamples=50,
            seed=seed,
        )

    first, again = interval(1), interval(1)
    assert first.low.shape == (3,)
    assert (first.low <= first.high).all()
    np.testing.assert_array_equal(first.low, again.low)
    np.testing.assert_array_equal(first.high, again.high)
    # At K = 3 every candidate is found, whatever the images.
    # 1/3 of a mean of three equal numbers: rounding alone.
    np.testing.assert_allclose([first.low[2], first.high[2]], 1 / 3, rtol=1e-12)


def test_target_interval_equals_drawing_by_hand(rng):
    values = rng.normal(size=(6, 2))
    interval = bootstrap_over_targets(values, resamples=4000, level=0.9, seed=3)
    draws = rng.integers(0, 6, size=(4000, 6))
    expected = np.quantile(values[draws].mean(1), [0.05, 0.95], axis=0)
    # Two independent sets of 4000 draws: the standard error of a 5% quantile is about 2% of the
    # spread of the mean, here below 0.02; four of those.
    np.testing.assert_allclose([interval.low, interval.high], expected, atol=0.08)
    assert interval.resamples == 4000
    assert interval.level == 0.9


def test_equal_targets_leave_no_doubt():
    interval = bootstrap_over_targets(np.full((5, 3), 0.25))
    # A mean of five equal numbers: rounding alone.
    np.testing.assert_allclose(interval.low, 0.25, rtol=1e-12)
    np.testing.assert_allclose(interval.high, 0.25, rtol=1e-12)


def test_bad_input_is_refused(rng):
    nodes, _, edges = parts(rng)
    weights = np.ones((1, 7), int)
    with pytest.raises(DeparaError, match=r"expected finite values \[images, models, models\]"):
        resampled_similarities(nodes[0], weights)
    with pytest.raises(DeparaError, match="edges: expected finite values of shape"):
        resampled_similarities(nodes, weights, lam=1.0)
    with pytest.raises(DeparaError, match=r"\(3, 21\), got shape \(3, 20\)"):
        resampled_similarities(nodes, weights, edges=edges[:, 1:], lam=1.0)
    with pytest.raises(DeparaError, match=r"expected \[resamples, 7 images\]"):
        resampled_similarities(nodes, weights[:, 1:])
    with pytest.raises(DegenerateError, match="all edges of a graph are equal"):
        resampled_similarities(nodes, weights, edges=np.zeros_like(edges), lam=1.0)
    with pytest.raises(DeparaError, match="at least 2 targets"):
        bootstrap_over_targets(np.ones((1, 3)))
    with pytest.raises(DeparaError, match="level"):
        bootstrap_over_targets(np.ones((3, 3)), level=95.0)
    with pytest.raises(DeparaError, match="resamples"):
        bootstrap_over_targets(np.ones((3, 3)), resamples=0)


def test_a_resample_without_distinct_edges_is_an_error_not_a_number(rng):
    nodes, _, edges = parts(rng, n=3)
    with pytest.raises(DegenerateError, match="use more probe images"):
        bootstrap_over_images(nodes, lambda s: s[0, 1], edges=edges, lam=1.0, resamples=100)
