"""The packaged photographs: contents, disjoint splits, fixed order."""

import hashlib
import re

import numpy as np
import pytest

from depara_jax.data import photographs
from depara_jax.errors import DeparaError, UnknownNameError

SIZE = 32


@pytest.fixture(scope="module")
def splits():
    return {split: photographs.patches(split) for split in photographs.SPLITS}


def corner(id):
    name, y, x = re.fullmatch(r"(\w+)/y(\d+)_x(\d+)", id).groups()
    return name, int(y), int(x)


def test_photographs_are_rgb_and_grey_ones_have_equal_channels(splits):
    found = splits["probe"]
    assert found.images.dtype == np.uint8
    assert found.images.shape[1:] == (SIZE, SIZE, 3)
    equal = (found.images == found.images[..., :1]).all(axis=(1, 2, 3))
    grey = {photographs.NAMES[k] for k in set(found.photograph[equal].tolist())}
    assert grey == {"brick", "camera", "coins", "grass", "gravel"}
    assert not grey & {photographs.NAMES[k] for k in found.photograph[~equal]}


def test_enough_patches_of_every_photograph_in_every_split(splits):
    sizes = {split: len(found) for split, found in splits.items()}
    assert sizes == {"train": 5724, "validation": 697, "probe": 480}
    for found in splits.values():
        assert found.images.shape == (len(found), SIZE, SIZE, 3)
        counts = np.bincount(found.photograph, minlength=len(photographs.NAMES))
        assert counts.min() >= counts.max() / 2


def test_splits_share_no_pixel(splits):
    owner = {}
    for split, found in splits.items():
        for id in found.ids:
            name, y, x = corner(id)
            covered = owner.setdefault(name, np.zeros((1024, 1024), np.uint8))
            covered[y : y + SIZE, x : x + SIZE] |= 1 << photographs.SPLITS.index(split)
    assert set(owner) == set(photographs.NAMES)
    for covered in owner.values():
        assert set(np.unique(covered)) <= {0, 1, 2, 4}


def test_probe_patches_do_not_overlap(splits):
    covered = {name: np.zeros((1024, 1024), np.int32) for name in photographs.NAMES}
    for id in splits["probe"].ids:
        name, y, x = corner(id)
        covered[name][y : y + SIZE, x : x + SIZE] += 1
    assert max(c.max() for c in covered.values()) == 1


def test_ids_are_unique_and_say_where_the_patch_comes_from(splits):
    probe = splits["probe"]
    assert len(set(probe.ids)) == len(probe)
    brick = photographs._reduced("brick")
    for id, index, image in zip(probe.ids, probe.photograph, probe.images, strict=True):
        name, y, x = corner(id)
        assert photographs.NAMES[index] == name
        if name == "brick":
            np.testing.assert_array_equal(image, brick[y : y + SIZE, x : x + SIZE])


def test_any_leading_part_of_the_probe_is_balanced(splits):
    for n in (12, 50, 200):
        counts = np.bincount(splits["probe"].photograph[:n], minlength=12)
        assert counts.max() - counts.min() <= 1


def test_the_order_is_the_documented_digest_and_does_not_change(splits):
    probe = splits["probe"]
    first = [id for id, index in zip(probe.ids, probe.photograph, strict=True) if index == 0]
    assert first == sorted(first, key=lambda id: hashlib.sha256(f"0:{id}".encode()).digest())
    again = photographs.patches("probe")
    assert again.ids == probe.ids
    np.testing.assert_array_equal(again.images, probe.images)


def test_nearly_constant_patches_are_dropped(splits):
    for found in splits.values():
        assert (found.images.mean(axis=3).std(axis=(1, 2)) >= photographs.MIN_STD).all()


def test_other_sizes_strides_and_counts():
    found = photographs.patches("validation", size=64, stride=16, per_photograph=3)
    assert found.images.shape == (36, 64, 64, 3)
    assert len(photographs.patches("probe", size=96)) >= 12 * 4


def test_bad_arguments_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        photographs.patches("trian")
    with pytest.raises(DeparaError, match="size=97"):
        photographs.patches("train", size=97)
    with pytest.raises(DeparaError, match="enough structure"):
        photographs.patches("train", size=1)


def test_a_missing_photograph_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(photographs, "_folder", lambda: tmp_path)
    with pytest.raises(DeparaError, match="astronaut.png cannot be read; reinstall"):
        photographs.patches("probe")


def test_a_missing_scikit_image_is_named(monkeypatch):
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeparaError, match="pip install scikit-image"):
        photographs.patches("probe")
