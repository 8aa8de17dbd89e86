"""Win rates by counting cases, the hierarchy process against odds and power iteration."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.evaluation import ordinal_ahp, win_rates


def test_win_rates_count_pairs_and_halve_ties():
    losses = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 1.0]])
    # Case by case: a tie, a win of the first, a win of the second.
    np.testing.assert_allclose(win_rates(losses), [[0.5, 0.5], [0.5, 0.5]])
    losses[1, 2] = 9.0
    np.testing.assert_allclose(win_rates(losses), [[0.5, 2.5 / 3], [0.5 / 3, 0.5]])


def test_consistent_wins_give_their_odds(rng):
    # Two sources, the first wins 80% of the cases: odds of 4, affinities .8 and .2.
    losses = np.zeros((2, 10))
    losses[0, :2] = 1.0
    losses[1, 2:] = 1.0
    np.testing.assert_allclose(ordinal_ahp(losses), [0.8, 0.2], atol=1e-12)
    # Against the eigenvector by power iteration.
    losses = rng.normal(size=(5, 400)) + np.arange(5)[:, None] / 3
    rates = np.clip(win_rates(losses), 0.001, 0.999)
    vector = np.ones(5)
    for _ in range(500):
        vector = rates / rates.T @ vector
        vector /= vector.sum()
    np.testing.assert_allclose(ordinal_ahp(losses), vector, atol=1e-9)
    assert list(np.argsort(-vector)) == [0, 1, 2, 3, 4]


def test_a_source_that_always_wins_is_clipped_to_odds_of_999():
    losses = np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(ordinal_ahp(losses), [0.999, 0.001], atol=1e-12)


@pytest.mark.parametrize("losses", [np.zeros(3), np.zeros((2, 0)), np.array([[0.0, np.nan]])])
def test_losses_that_are_no_finite_table_are_refused(losses):
    with pytest.raises(DeparaError, match="expected finite losses"):
        win_rates(losses)
