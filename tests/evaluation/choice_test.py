"""How certain a choice is, against resampling image by image."""

import numpy as np
import pytest
import scipy.stats

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation import choice_certainty, resampled_terms
from depara_jax.evaluation.confidence import draw_counts
from depara_jax.recipe import Recipe
from depara_jax.selection import Ranking
from depara_jax.spec import LayerRef

N, M = 9, 4
PAIRS = np.transpose(np.triu_indices(N, 1))


@pytest.fixture
def parts(rng):
    target = rng.normal(size=len(PAIRS))
    edges = target + rng.normal(size=(M, len(PAIRS))) * np.array([[0.3], [3.0], [1.0], [0.8]])
    return rng.uniform(-1, 1, (M, N)), edges, target


def certainty(cosines, edges, target, *, node_weight=1.0, lam=1.0, **options):
    """Of a ranking with these parts, whose second candidate is the best."""
    ranking = Ranking(
        "layer", LayerRef("t", "top"), tuple(map(str, range(M))), np.array([0.0, 1.0, 0.0, 0.0]),
        None, None, Recipe(node_weight=node_weight, lam=lam), {"images": N}, "s",
        node_cosines=cosines, edges=edges, target_edges=target,
    )  # fmt: skip
    return choice_certainty(ranking, **options)


def repeated(weight):
    """Edges of a probe set that holds image p weight[p] times, by listing its images."""
    images = np.repeat(np.arange(N), weight)
    number = {tuple(pair): i for i, pair in enumerate(PAIRS)}
    drawn = [
        number[min(p, q), max(p, q)]
        for i, p in enumerate(images)
        for q in images[i + 1 :]
        if p != q
    ]
    return images, np.asarray(drawn)


def test_resampled_terms_equal_listing_the_images(parts):
    cosines, edges, target = parts
    node, edge = resampled_terms(cosines, edges, target, resamples=6, seed=3)
    assert node.shape == edge.shape == (6, M)
    for b, weight in enumerate(draw_counts(N, 6, 3)):
        images, drawn = repeated(weight)
        np.testing.assert_allclose(node[b], cosines[:, images].mean(axis=1), atol=1e-12)
        for k in range(M):
            want = scipy.stats.spearmanr(edges[k, drawn], target[drawn])[0]
            np.testing.assert_allclose(edge[b, k], want, atol=1e-5)  # float32 ranks


def test_intervals_and_shares(parts):
    cosines, edges, target = parts
    found = certainty(cosines, edges, target, lam=2.0, resamples=50, seed=1)
    node, edge = resampled_terms(cosines, edges, target, resamples=50, seed=1)
    scores = node + 2 * edge
    np.testing.assert_allclose(found.low, np.quantile(scores, 0.025, axis=0))
    np.testing.assert_allclose(found.high, np.quantile(scores, 0.975, axis=0))
    want = [(scores.argmax(axis=1) == k).mean() for k in range(M)]
    np.testing.assert_allclose(found.share, want)
    assert found.share.sum() == pytest.approx(1)
    assert set(found.rivals(above=0.0)) == {str(k) for k in range(M) if want[k] > 0 and k != 1}
    again = certainty(cosines, edges, target, lam=2.0, resamples=50, seed=1)
    np.testing.assert_array_equal(found.low, again.low)


def test_a_candidate_that_is_clearly_best_is_best_in_all_resamples(parts):
    cosines, edges, target = parts
    cosines = cosines + np.array([[0], [9], [0], [0]])
    found = certainty(cosines, edges, target, resamples=30)
    assert (found.best, found.rivals()) == ("1", ())
    np.testing.assert_array_equal(found.share, [0, 1, 0, 0])


def test_either_term_alone(parts):
    cosines, edges, target = parts
    nodes = certainty(cosines, None, None, lam=0.0, resamples=20)
    alone = certainty(None, edges, target, node_weight=0.0, resamples=20)
    node, edge = resampled_terms(cosines, edges, target, resamples=20)
    np.testing.assert_allclose(nodes.high, np.quantile(node, 0.975, axis=0))
    np.testing.assert_allclose(alone.high, np.quantile(edge, 0.975, axis=0))


def test_bad_input(parts):
    cosines, edges, target = parts
    with pytest.raises(DeparaError, match="neither node cosines nor edges"):
        resampled_terms(None, None, None, resamples=5)
    with pytest.raises(DeparaError, match="did not keep a term that its recipe weighs"):
        certainty(cosines, None, None, lam=1.0, resamples=5)
    with pytest.raises(DeparaError, match="finite cosines"):
        certainty(cosines * np.nan, edges, target)
    with pytest.raises(DeparaError, match="edges: expected finite values of shape"):
        certainty(cosines, edges[:, :-1], target[:-1])
    with pytest.raises(DegenerateError, match="all edges of a graph are equal"):
        certainty(cosines, edges * 0, target)
    with pytest.raises(DeparaError, match="resamples must be at least 1"):
        certainty(cosines, edges, target, resamples=0)
