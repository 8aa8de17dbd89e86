"""Probe sets: what they hold, in which order, their fingerprint, and every kind of bad input."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from depara_jax.data import Probe, ProbeSpec, load_probe, probes
from depara_jax.data.preprocess import preprocess
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.spec import InputSpec

INPUT = InputSpec(size=(8, 8), resize=9, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (7, 12, 10, 3), dtype=np.uint8)


@pytest.fixture
def folder(images, tmp_path):
    """The images as PNG files, named against their order of creation, one in a subfolder."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / ("sub" if i == 6 else ".") / f"{chr(97 + i)}.png")
    return root


def test_arrays_come_back_preprocessed_in_order(images):
    probe = Probe.from_arrays(images)
    assert len(probe) == 7
    assert probe.ids[:2] == ("000000", "000001")
    want = np.stack([preprocess(image, INPUT) for image in images])
    np.testing.assert_array_equal(probe.array(INPUT), want)
    batches = list(probe.batches(INPUT, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(batches), want)
    np.testing.assert_array_equal(probe.thumbnail(4), images[4])


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_images_can_be_made_in_memory(images, count):
    assert Probe.from_arrays(images[:count]).array(INPUT).shape == (count, 8, 8, 3)


def test_grey_arrays_and_floats_are_taken(images):
    grey = images[..., 0]
    want = Probe.from_arrays(np.repeat(grey[..., None], 3, axis=3)).fingerprint
    assert Probe.from_arrays(grey).fingerprint == want
    assert Probe.from_arrays(grey[..., None]).fingerprint == want
    floats = (images / 255).astype(np.float32)
    assert Probe.from_arrays(floats).fingerprint == Probe.from_arrays(images).fingerprint


def test_later_changes_of_the_array_do_not_reach_the_probe(images):
    probe = Probe.from_arrays(images)
    before = images[0].copy()
    images[0] = 0
    np.testing.assert_array_equal(probe.thumbnail(0), before)
    with pytest.raises(ValueError, match="read-only"):
        probe.thumbnail(0)[0, 0] = 1


def test_the_fingerprint_is_of_contents_and_order_alone(images, folder, tmp_path):
    probe = Probe.from_arrays(images)
    np.savez(tmp_path / "a.npz", images=images)
    np.save(tmp_path / "a.npy", images)
    for other in (folder, tmp_path / "a.npz", tmp_path / "a.npy"):
        assert load_probe(other).fingerprint == probe.fingerprint
    assert Probe.from_arrays(images[::-1]).fingerprint != probe.fingerprint
    changed = images.copy()
    changed[3, 0, 0, 0] ^= 1
    assert Probe.from_arrays(changed).fingerprint != probe.fingerprint
    # The same bytes in another shape are other images.
    turned = images.reshape(7, 10, 12, 3)
    assert Probe.from_arrays(turned).fingerprint != probe.fingerprint


def test_the_fingerprint_is_the_documented_digest(images):
    digests = [hashlib.sha256(b"12x10:" + image.tobytes()).hexdigest() for image in images]
    want = hashlib.sha256("".join(digests).encode()).hexdigest()
    assert Probe.from_arrays(images).fingerprint == want


def test_a_subset_keeps_names_and_gets_its_own_fingerprint(images):
    probe = Probe.from_arrays(images)
    part = probe.subset([5, 0, 2])
    assert part.ids == ("000005", "000000", "000002")
    assert part.fingerprint == Probe.from_arrays(images[[5, 0, 2]]).fingerprint
    np.testing.assert_array_equal(part.subset([1]).thumbnail(0), images[0])
    assert probe.subset(range(7)).fingerprint == probe.fingerprint
    for bad in ([], [7], [-1]):
        with pytest.raises(DeparaError, match=r"indices must lie in 0\.\.6"):
            probe.subset(bad)


def test_a_folder_is_read_by_name_and_below(folder, images):
    (folder / ".hidden").write_text("skipped")
    probe = load_probe(folder)
    assert probe.ids == ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "sub/g.png")
    np.testing.assert_array_equal(probe.thumbnail(6), images[6])
    assert load_probe(folder, count=4).ids == probe.ids[:4]


def test_a_folder_may_hold_several_sizes_and_kinds(folder, rng):
    Image.fromarray(rng.integers(0, 256, (30, 9), dtype=np.uint8)).save(folder / "z.jpg")
    assert load_probe(folder).array(INPUT).shape == (8, 8, 8, 3)


def test_sampling_by_seed_is_fixed_and_documented(folder):
    ids = load_probe(folder).ids
    order = sorted(range(7), key=lambda i: hashlib.sha256(f"3:{i}".encode()).digest())
    probe = load_probe(folder, count=4, seed=3)
    assert probe.ids == tuple(ids[i] for i in order[:4])
    assert probe.spec == ProbeSpec(str(folder), count=4, seed=3)
    assert load_probe(ProbeSpec(str(folder), seed=3)).ids == tuple(ids[i] for i in order)
    assert load_probe(folder, count=4, seed=4).ids != probe.ids


def test_large_sets_are_decoded_again_and_a_changed_file_is_noticed(folder, images, monkeypatch):
    kept = load_probe(folder)
    monkeypatch.setattr(probes, "_KEEP_BYTES", 1000)
    probe = load_probe(folder)
    assert probe.fingerprint == kept.fingerprint
    np.testing.assert_array_equal(probe.array(INPUT), kept.array(INPUT))
    Image.fromarray(images[0]).save(folder / "b.png")
    with pytest.raises(DeparaError, match="b.png has changed since"):
        probe.array(INPUT)
    np.testing.assert_array_equal(kept.thumbnail(1), images[1])


def test_a_list_file_keeps_its_own_order(folder):
    listing = folder.parent / "list.txt"
    listing.write_text("# chosen\nimages/c.png\n\nimages/a.png\nimages/sub/g.png\n")
    assert load_probe(listing).ids == ("images/c.png", "images/a.png", "images/sub/g.png")


def test_an_npz_may_name_its_only_array_as_it_likes(images, tmp_path):
    np.savez(tmp_path / "x.npz", pixels=images)
    assert len(load_probe(tmp_path / "x.npz", count=5)) == 5
    np.savez(tmp_path / "x.npz", pixels=images, labels=np.arange(7))
    with pytest.raises(DeparaError, match=r"'pixels', 'labels'.*named 'images'"):
        load_probe(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("photographs", ProbeSpec("photographs", "probe")),
        ("photographs[:5]", ProbeSpec("photographs", "probe", 5)),
        ("photographs:train[:20]", ProbeSpec("photographs", "train", 20)),
        ("photographs:train[5:20]", ProbeSpec("photographs", "train[5:20]")),
        ("tfds:cifar10:test[:200]", ProbeSpec("tfds:cifar10", "test", 200)),
        ("tfds:a/b:train[:5%]+test", ProbeSpec("tfds:a/b", "train[:5%]+test")),
        ("tfds:mnist:3.0.1", ProbeSpec("tfds:mnist:3.0.1")),
        ("tfds:mnist:3.0.1:test[10:20]", ProbeSpec("tfds:mnist:3.0.1", "test[10:20]")),
        ("some/folder", ProbeSpec("some/folder")),
        ("./photographs", ProbeSpec("./photographs")),
    ],
)
def test_texts_are_parsed(text, spec):
    assert ProbeSpec.parse(text) == spec
    assert hash(ProbeSpec.parse(text)) == hash(spec)
    assert ProbeSpec.parse(str(spec)) == spec


def test_a_spec_shows_its_seed():
    assert str(ProbeSpec("x", count=3, seed=1)) == "x[:3] (seed 1)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProbeSpec.parse(""), "empty text"),
        (lambda: ProbeSpec.parse("tfds:"), "names no dataset"),
        (lambda: ProbeSpec("x", count=0), "at least 1, got 0"),
        (lambda: ProbeSpec("x", split="train"), "a path has no split"),
    ],
)
def test_impossible_specs_are_refused(make, message):
    with pytest.raises(DeparaError, match=message):
        make()


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DeparaError, match="nowhere' does not exist; expected 'photographs'"):
        load_probe(tmp_path / "nowhere")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(DeparaError, match=r"a\.csv: expected \.txt, \.npz or \.npy"):
        load_probe(tmp_path / "a.csv")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DeparaError, match="holds no files"):
        load_probe(tmp_path)


def test_fewer_than_three_images_are_refused(folder, images, tmp_path):
    with pytest.raises(DeparaError, match="has 2 images; at least 3"):
        load_probe(folder, count=2)
    np.save(tmp_path / "two.npy", images[:2])
    with pytest.raises(DeparaError, match="has 2 images; at least 3"):
        load_probe(tmp_path / "two.npy")
    assert len(load_probe(tmp_path / "two.npy", min_images=1)) == 2


def test_more_images_than_there_are_is_refused(folder):
    with pytest.raises(DeparaError, match="asks for 8 images, but there are 7"):
        load_probe(folder, count=8)


def test_a_file_that_is_no_image_is_named(folder):
    (folder / "notes.png").write_text("not an image")
    with pytest.raises(DeparaError, match=r"notes\.png cannot be read as an image"):
        load_probe(folder)


def test_a_variant_of_a_format_that_pillow_does_not_know_is_named(images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "a.dds")
    content = bytearray((tmp_path / "a.dds").read_bytes())
    content[80:88] = b"\x04\0\0\0ABCD"  # the pixel format: a compression that does not exist
    (tmp_path / "a.dds").write_bytes(content)
    with pytest.raises(DeparaError, match=r"a\.dds cannot be read as an image \(NotImplemented"):
        load_probe(tmp_path, min_images=1)


def test_a_truncated_image_is_named(folder):
    whole = (folder / "c.png").read_bytes()
    (folder / "c.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DeparaError, match=r"c\.png cannot be read as an image"):
        load_probe(folder)


def test_an_image_of_unknown_range_is_named(folder):
    Image.new("F", (5, 5)).save(folder / "f.tif")
    with pytest.raises(DeparaError, match=r"f\.tif.*mode 'F'"):
        load_probe(folder)


def test_an_image_of_one_pixel_is_named(folder):
    Image.new("RGB", (1, 9)).save(folder / "thin.png")
    with pytest.raises(DeparaError, match=r"thin\.png is 1 x 9 pixels; expected at least 2 x 2"):
        load_probe(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no images"),
        ("images/a.png\nimages/q.png\n", "line 2: no file images/q.png"),
        ("images/a.png\nimages/b.png\nimages/a.png\n", "stands on lines 1 and 3"),
    ],
)
def test_bad_list_files_are_refused(folder, text, message):
    listing = folder.parent / "list.txt"
    listing.write_text(text)
    with pytest.raises(DeparaError, match=message):
        load_probe(listing)


def test_a_list_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeparaError, match="cannot be read as UTF-8"):
        load_probe(tmp_path / "list.txt")


def test_mixed_sizes_in_memory_are_refused(images):
    with pytest.raises(DeparaError, match="mixed sizes"):
        Probe.from_arrays([images[0], images[1, :5], images[2]])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 8, 8, 4), "4 channels"),
        ((4, 3, 8, 8), "8 channels.*move the channels last"),
        ((8, 8, 3), "looks like one image"),
        ((8, 8), r"got shape \(8, 8\)"),
        ((4, 1, 8, 3), "8 x 1 pixels"),
    ],
)
def test_wrong_shapes_and_channel_counts_are_refused(shape, message):
    with pytest.raises(DeparaError, match=message):
        Probe.from_arrays(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "NaN or infinity"),
        (np.inf, "NaN or infinity"),
        (1.5, "range from 0 to 1.5"),
        (-0.25, "range from -0.25 to 0"),
    ],
)
def test_float_images_that_are_not_in_range_are_refused(value, message):
    images = np.zeros((4, 5, 5, 3), np.float32)
    images[2, 1, 1, 0] = value
    with pytest.raises(DeparaError, match=message):
        Probe.from_arrays(images)


def test_other_dtypes_are_refused():
    with pytest.raises(DeparaError, match="images are int64; expected uint8"):
        Probe.from_arrays(np.zeros((4, 5, 5, 3), np.int64))


def test_ids_must_fit(images):
    with pytest.raises(DeparaError, match="7 distinct names"):
        Probe.from_arrays(images, ids=["a"] * 7)
    with pytest.raises(DeparaError, match="7 distinct names, got 2"):
        Probe.from_arrays(images, ids=["a", "b"])


def test_broken_and_pickled_array_files_are_refused(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    np.save(tmp_path / "objects.npy", np.array([{}, None], object), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez_compressed(tmp_path / "damaged.npz", images=np.zeros((5, 9, 9, 3), np.uint8))
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[70:90] = bytes(range(20))
    (tmp_path / "damaged.npz").write_bytes(content)
    for name in ("broken.npz", "objects.npy", "empty.npy", "damaged.npz"):
        with pytest.raises(DeparaError, match=f"{name}'?: not a readable NumPy"):
            load_probe(tmp_path / name)


def test_a_batch_has_at_least_one_image(images):
    with pytest.raises(DeparaError, match="batch_size must be at least 1"):
        next(Probe.from_arrays(images).batches(INPUT, 0))


def test_the_packaged_photographs_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPARA_CACHE", str(tmp_path))
    probe = load_probe("photographs:probe[:24]")
    assert len(probe) == 24
    assert probe.ids[0].startswith("astronaut/y")
    assert probe.thumbnail(0).shape == (32, 32, 3)
    part = load_probe("photographs:probe[12:24]")
    assert part.ids == probe.ids[12:]
    with pytest.raises(UnknownNameError, match="did you mean 'probe'"):
        load_probe("photographs:prob")
    with pytest.raises(DeparaError, match="asks for 481 images, but there are 480"):
        load_probe("photographs", count=481)
