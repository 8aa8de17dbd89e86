"""Splits and subsets: stratified, repeatable, nested, recorded."""

import json

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.training import PAPER_SPLIT, make_split, read_manifest, subset, write_manifest

COUNTS = (200, 50, 110)
LABELS = np.repeat(np.arange(3), COUNTS)
IDS = [f"{'abc'[label]}/{i}.png" for i, label in enumerate(LABELS)]


@pytest.fixture
def split():
    return make_split(IDS, LABELS, "abc", seed=1)


def test_parts_are_stratified_and_disjoint(split):
    assert dict(PAPER_SPLIT) == {"train": 0.7, "validation": 0.1, "test": 0.2}
    rows = np.concatenate(list(split.parts.values()))
    assert sorted(rows) == list(range(360))
    for name, fraction in PAPER_SPLIT.items():
        found = np.bincount(LABELS[split.parts[name]])
        np.testing.assert_array_equal(found, [round(fraction * count) for count in COUNTS])


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_subsets_are_stratified_and_nested(split, fraction):
    rows = subset(split, "train", fraction)
    assert set(rows) <= set(split.parts["train"])
    want = [int(np.floor(fraction * round(0.7 * count) + 0.5)) for count in COUNTS]
    np.testing.assert_array_equal(np.bincount(LABELS[rows]), want)
    assert set(rows) <= set(subset(split, "train", 0.5))


def test_the_order_of_files_changes_nothing(split):
    order = np.random.default_rng(0).permutation(360)
    other = make_split([IDS[i] for i in order], LABELS[order], "abc", seed=1)

    def named(some, rows):
        return {some.ids[row] for row in rows}

    for name in PAPER_SPLIT:
        assert named(split, split.parts[name]) == named(other, other.parts[name])
    assert named(split, subset(split, "train", 0.1)) == named(other, subset(other, "train", 0.1))


def test_seeds_and_names_decide(split):
    again = make_split(IDS, LABELS, "abc", seed=1)
    assert all(np.array_equal(split.parts[k], again.parts[k]) for k in PAPER_SPLIT)
    other = make_split(IDS, LABELS, "abc", seed=2)
    assert not np.array_equal(split.parts["train"], other.parts["train"])
    drawn = [subset(split, "train", 0.1, seed=s) for s in (0, 1)]
    assert not np.array_equal(*drawn)
    # A new class moves no image of the others.
    more = make_split(
        [*IDS, *(f"d/{i}" for i in range(30))], [*LABELS.tolist(), *[3] * 30], "abcd", seed=1
    )
    kept = more.parts["train"]
    np.testing.assert_array_equal(kept[kept < 360], split.parts["train"])


def test_a_subset_is_not_the_head_of_its_part(split):
    """Otherwise a part's smaller subset would depend on how the parts were cut."""
    first = subset(split, "train", 0.1)
    assert 0 < len(set(first) & set(subset(split, "train", 0.1, seed=9))) < len(first)


def test_the_manifest_says_which_image_is_where(split, tmp_path):
    path = tmp_path / "split.json"
    tenth = subset(split, "train", 0.1)
    write_manifest(path, split, {"tenth": tenth})
    order = np.random.default_rng(0).permutation(360)
    found = read_manifest(path, [IDS[i] for i in order])
    assert set(found) == {"train", "validation", "test", "tenth"}
    assert {order[row] for row in found["tenth"]} == set(tenth)
    content = json.loads(path.read_text())
    assert content["seed"] == 1
    assert content["parts"]["tenth"][0].endswith(".png")
    with pytest.raises(DeparaError, match=r"names \d+ images that the data set lacks.*other data"):
        read_manifest(path, IDS[:10])
    path.write_text("{")
    with pytest.raises(DeparaError, match="cannot be read"):
        read_manifest(path, IDS)


def test_bad_labels_and_fractions(split):
    with pytest.raises(DeparaError, match="image 359 has label 2, but there are 2 classes"):
        make_split(IDS, LABELS.clip(0, 1).tolist()[:-1] + [2], "ab")
    with pytest.raises(DeparaError, match="has label -1"):
        make_split(IDS, LABELS - 1, "abc")
    with pytest.raises(DeparaError, match="360 whole numbers, one an image"):
        make_split(IDS, LABELS[:5], "abc")
    with pytest.raises(DeparaError, match="whole numbers"):
        make_split(IDS, LABELS.astype(float), "abc")
    with pytest.raises(DeparaError, match="names repeat"):
        make_split(["a"] * 360, LABELS, "abc")
    with pytest.raises(DeparaError, match="add up to at most 1"):
        make_split(IDS, LABELS, "abc", fractions={"train": 0.9, "test": 0.2})
    with pytest.raises(
        DeparaError, match=r"0\.01 of the 35 images of class 'b' in 'train' is none"
    ):
        subset(split, "train", 0.01)
    with pytest.raises(DeparaError, match="class 'd' has 0 images, none of which falls into"):
        make_split(IDS, LABELS, "abcd")
    with pytest.raises(DeparaError, match="above 0 and at most 1"):
        subset(split, "train", 0.0)
    with pytest.raises(DeparaError, match="no part 'trian'; there are train"):
        subset(split, "trian", 0.5)
