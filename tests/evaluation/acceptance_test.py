"""The numbers that the papers printed, from the matrices that they drew.

Sources of every file: tests/golden/papers/README.md.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from depara_jax.evaluation import (
    dds_score,
    evaluate,
    hits_at_k,
    load_ground_truth,
    load_matrix,
    oracle_curves,
    precision_at_k,
    random_curves,
    rank_correlations,
    recall_at_k,
)
from depara_jax.evaluation.correlation import spearman

PAPERS = Path(__file__).parents[1] / "golden" / "papers"
METHODS = {"saliency": "saliency", "gradient_times_input": "gradxinput", "epsilon_lrp": "elrp"}
COLORIZATION, CLASS_PLACES, INPAINTING = 7, 18, 19


def read(name):
    return json.loads((PAPERS / name).read_text())


@pytest.fixture
def truth():
    return load_ground_truth(PAPERS / "sort_gt.npy")


def affinity(method):
    return load_matrix(f"{PAPERS}/tam_affinity_taskonomy_probe.npz:{method}").values


@pytest.mark.parametrize("method", METHODS)
def test_affinity_matrices_score_the_published_hits(method, truth):
    hits = hits_at_k(affinity(method), truth).sum(0)
    published = read("pr_counts_18targets.json")[f"tam_fig4/taskonomy_{METHODS[method]}"]
    # The matrices are 8-bit colours, so near-ties swap: 2 of 90 hits at most.
    np.testing.assert_allclose(hits, published, rtol=0, atol=2)
    # The sum over K says more than any single K: no drift in one direction.
    assert abs(hits.sum() - sum(published)) <= 2


def test_depara_v_is_tams_gradient_times_input():
    counts = read("pr_counts_18targets.json")
    assert counts["depara_fig3a/taskonomy/DEPARA-V"] == counts["tam_fig4/taskonomy_gradxinput"]
    assert counts["depara_figS1/coco/DEPARA-V"] == counts["tam_fig4/coco_gradxinput"]
    assert counts["depara_figS1/indoor/DEPARA-V"] == counts["tam_fig4/indoor_gradxinput"]


def test_dropping_class_places_gives_table_1s_depara_v(truth):
    table = read("depara_table1.json")
    targets = [name for name in truth.targets if name != str(CLASS_PLACES)]
    assert len(targets) == len(table["cols"]) == 17
    found = precision_at_k(
        affinity("gradient_times_input"), truth.select(targets=targets), ks=[1, 5]
    ).mean(0)
    # Exact fractions of 17 and 85; printed with two digits.
    np.testing.assert_allclose(found, [12 / 17, 58 / 85], rtol=1e-12)
    printed = [table["taskonomy"]["avgP@1"][1], table["taskonomy"]["avgP@5"][1]]
    np.testing.assert_allclose(found, printed, atol=0.005)


@pytest.mark.parametrize("probe", ["taskonomy", "indoor", "coco"])
def test_table_1s_averages_are_over_17_targets(probe):
    table = read("depara_table1.json")[probe]
    for k in ("P@1", "P@5"):
        assert len(table[k]) == 17
        # Printed with two digits.
        np.testing.assert_allclose(np.mean(table[k]), table[f"avg{k}"][0], atol=0.0051)


def test_random_ranking_has_the_closed_form(truth):
    curves = random_curves(truth)
    # Closed forms in float64: rounding alone.
    np.testing.assert_allclose(curves.precision, np.full(19, 5 / 19), rtol=1e-12)
    np.testing.assert_allclose(curves.recall, np.arange(1, 20) / 19, rtol=1e-12)


def test_random_rankings_average_to_the_closed_form(truth, rng):
    drawn = [hits_at_k(rng.normal(size=(20, 20)), truth).sum(0) for _ in range(400)]
    # A hit count over 18 targets has a standard deviation below 4.5, its mean over 400 below 0.23.
    np.testing.assert_allclose(np.mean(drawn, 0), random_curves(truth).hits, atol=0.9)


def test_oracle_has_the_closed_form(truth):
    ks = np.arange(1, 20)
    curves = oracle_curves(truth)
    # Closed forms in float64: rounding alone.
    np.testing.assert_allclose(curves.precision, np.minimum(1, 5 / ks), rtol=1e-12)
    np.testing.assert_allclose(curves.recall, np.minimum(1, ks / 5), rtol=1e-12)
    ideal = np.zeros((20, 20))
    for row, order in zip(truth.rows, truth.order, strict=True):
        ideal[row, order] = -np.arange(19)
    np.testing.assert_array_equal(hits_at_k(ideal, truth).sum(0), curves.hits)


@pytest.mark.parametrize("method", METHODS)
def test_precision_equals_recall_at_the_relevant_size(method, truth):
    matrix = affinity(method)
    np.testing.assert_array_equal(
        precision_at_k(matrix, truth, ks=[5]), recall_at_k(matrix, truth, ks=[5])
    )


@pytest.mark.parametrize("source", ["imagenet", "source"])
@pytest.mark.parametrize(("lam", "sim"), [(1, "sim_l1"), (10, "sim_l10")])
def test_table_2s_sums(source, lam, sim):
    table = read("depara_table2.json")[source]
    total = np.array(table["V"]) + lam * np.array(table["E"])
    # V and E are printed with two digits, and so is SIM.
    np.testing.assert_allclose(total, table[sim], rtol=0, atol=0.011)


@pytest.mark.parametrize(
    ("source", "sim", "acc", "pick", "rho"),
    [
        ("imagenet", "sim_l1", "acc_01T", 17, 0.873),
        ("imagenet", "sim_l10", "acc_001T", 17, 0.854),
        ("source", "sim_l1", "acc_01T", 3, 0.950),
        ("source", "sim_l10", "acc_001T", 13, 0.990),
    ],
)
def test_table_2s_picks_and_rank_correlations(source, sim, acc, pick, rho):
    table = read("depara_table2.json")
    row = table[source]
    assert table["layers"][int(np.argmax(row[sim]))] == pick
    # The reference is printed with three digits.
    np.testing.assert_allclose(spearman(row[sim], row[acc]), rho, atol=5e-4)


@pytest.mark.parametrize(
    ("source", "acc", "other", "expected"),
    [
        ("imagenet", "acc_01T", "sim_l10", (0.403, 0.763, 0.785)),
        ("imagenet", "acc_001T", "sim_l1", (0.309, 0.836, 0.934)),
        ("source", "acc_01T", "sim_l10", (0.744, 0.484, 0.541)),
        ("source", "acc_001T", "sim_l1", (0.164, 0.990, 0.511)),
    ],
)
def test_table_2s_ablations(source, acc, other, expected):
    row = read("depara_table2.json")[source]
    found = [spearman(row[name], row[acc]) for name in ("V", "E", other)]
    # The references are printed with three digits.
    np.testing.assert_allclose(found, expected, atol=5e-4)


def taskonomy(values):
    """The ground truth of a published table, among the 17 tasks that have all pairs."""
    table = load_ground_truth(f"{PAPERS}/taskonomy_first_order.npz:{values}")
    names = [
        name
        for i, name in enumerate(table.candidates)
        if i not in (COLORIZATION, CLASS_PLACES, INPAINTING)
    ]
    return table.candidates, names, table.select(targets=names, candidates=names)


@pytest.mark.parametrize(
    ("method", "values", "expected", "drop"),
    [
        ("gradient_times_input", "all_affinities", 0.626, 0.0735),
        ("gradient_times_input", "wins_vs_pixels_16k", 0.646, 0.0735),
        ("saliency", "all_affinities", 0.587, 0.0811),
        ("saliency", "wins_vs_pixels_16k", 0.578, 0.0948),
        ("epsilon_lrp", "all_affinities", 0.630, 0.0728),
        ("epsilon_lrp", "wins_vs_pixels_16k", 0.649, 0.0728),
    ],
)
def test_dds_metric_of_tams_matrices(method, values, expected, drop):
    everyone, names, truth = taskonomy(values)
    rows = [everyone.index(name) for name in names]
    matrix = affinity(method)[np.ix_(rows, rows)]
    found = dds_score(matrix, truth)
    # The references are printed with three digits.
    np.testing.assert_allclose(found, expected, atol=5e-4)
    # Counting a task among its own sources flatters by .06 to .10; the fourth digit is ours.
    without = dds_score(matrix, truth, include_diagonal=False)
    np.testing.assert_allclose(found - without, drop, atol=1e-4)
    # Without the diagonal it is the mean of the per-target correlations.
    np.testing.assert_allclose(without, rank_correlations(matrix, truth).mean(), rtol=1e-12)


def test_sort_gt_is_the_order_of_the_published_affinities():
    address = f"{PAPERS}/taskonomy_first_order.npz"
    from_values = load_ground_truth(f"{address}:all_affinities_16k")
    from_authors = load_ground_truth(f"{address}:sort_gt")
    assert from_values.targets == from_authors.targets
    np.testing.assert_array_equal(from_values.order, from_authors.order)
    ids = np.load(PAPERS / "sort_gt.npy")
    np.testing.assert_array_equal(from_values.order, ids[:, 1:])
    np.testing.assert_array_equal(from_values.rows, ids[:, 0])


def test_missing_pairs_of_taskonomy_shrink_the_candidates():
    truth = load_ground_truth(f"{PAPERS}/taskonomy_first_order.npz:all_affinities")
    counts = dict(zip(truth.targets, truth.pairs.sum(1).tolist(), strict=True))
    # The file has no pair with class_places on either side, but for itself.
    assert counts.pop("class_places") == 0
    assert set(counts.values()) == {18}


def test_the_whole_evaluation_of_a_published_matrix(truth):
    result = evaluate(affinity("gradient_times_input"), truth, resamples=500).to_dict()
    assert result["dds"] == {"with_diagonal": None, "without_diagonal": None}  # ranks alone
    assert result["hits"][:5] == [13, 29, 40, 53, 60]
    low, high = (np.array(result["ci"]["precision"][side]) for side in ("low", "high"))
    assert (low <= result["precision"]).all()
    assert (high >= result["precision"]).all()
    # 18 targets leave a wide doubt at K = 1 (one hit is .056): the interval says so.
    assert high[0] - low[0] > 0.3


@pytest.mark.parametrize("probe", ["taskonomy", "indoor", "coco"])
@pytest.mark.parametrize("column", ["DEPARA", "DEPARA-V", "DEPARA-E", "RSA"])
@pytest.mark.parametrize("k", [1, 5])
def test_table_1_is_the_curves_without_class_places(probe, column, k):
    counts = read("pr_counts_18targets.json")
    figure = "depara_fig3a" if probe == "taskonomy" else "depara_figS1"
    with_places = counts[f"{figure}/{probe}/{column}"][k - 1]
    columns = ["DEPARA", "DEPARA-V", "DEPARA-E", "RSA"]
    printed = read("depara_table1.json")[probe][f"avgP@{k}"][columns.index(column)]
    # Some whole number of hits over 17 targets is printed so, and class_places adds the rest.
    possible = [with_places - places for places in range(k + 1)]
    assert any(abs(hits / (17 * k) - printed) <= 0.0051 for hits in possible)
