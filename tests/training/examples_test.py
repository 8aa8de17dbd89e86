"""Labelled images from arrays and folders."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from depara_jax.data.preprocess import preprocess
from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec
from depara_jax.training import Examples, examples, folder_examples, tfds_examples

PIXELS = np.random.default_rng(7).integers(0, 256, (6, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, rng):
    for name, count in (("dog", 2), ("cat", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_folders_are_classes(folder):
    found = folder_examples(folder, (8, 8))
    assert found.classes == ("cat", "dog")
    assert found.ids == ("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png")
    np.testing.assert_array_equal(found.labels, [0, 0, 0, 1, 1])
    images = found.take(np.array([4, 0]))
    assert images.shape == (2, 8, 8, 3)
    for image, id in zip(images, ("dog/1.png", "cat/0.png"), strict=True):
        with Image.open(folder / id) as file:
            # The probe sets' own preprocessing, without scaling.
            want = preprocess(file, InputSpec(size=(8, 8), scale=(0.0, 255.0)))
        np.testing.assert_array_equal(image, want)


def test_images_that_do_not_fit_into_memory_are_decoded_when_taken(folder, monkeypatch):
    kept = folder_examples(folder, (8, 8))
    monkeypatch.setattr(examples, "_KEEP_BYTES", 0)
    lazy = folder_examples(folder, (8, 8))
    assert lazy.ids == kept.ids
    rows = np.array([3, 1])
    np.testing.assert_array_equal(lazy.take(rows), kept.take(rows))
    (folder / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(DeparaError, match="0.png cannot be read"):
        lazy.take(rows)


def test_subsets(folder):
    part = folder_examples(folder, (8, 8)).subset(np.array([4, 1]))
    assert part.ids == ("dog/1.png", "cat/1.png")
    np.testing.assert_array_equal(part.labels, [1, 0])
    whole = folder_examples(folder, (8, 8))
    np.testing.assert_array_equal(part.take(np.array([1])), whole.take(np.array([1])))


def test_bad_folders_and_labels(folder, tmp_path, rng):
    (folder / "bird").mkdir()
    with pytest.raises(DeparaError, match="class 'bird' has no images"):
        folder_examples(folder, (8, 8))
    with pytest.raises(DeparaError, match="does not exist"):
        folder_examples(tmp_path / "none", (8, 8))
    with pytest.raises(DeparaError, match="holds 0 class folders"):
        folder_examples(folder / "dog", (8, 8))
    images = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(DeparaError, match="image 1 has label 2.*2 classes"):
        Examples.from_arrays(images, [0, 2], "ab")


class DeparaTestClasses(tfds.core.GeneratorBasedBuilder):
    """Six labelled PNG images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(6):
            yield i, {"image": Image.fromarray(PIXELS[i]), "label": i % 2}


def test_tfds_sets_with_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    found = tfds_examples("depara_test_classes", "train[2:]", (5, 5))
    assert found.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.labels, [0, 1, 0, 1])
    images = found.take(np.arange(4))
    assert images.shape == (4, 5, 5, 3)
    want = preprocess(PIXELS[2], InputSpec(size=(5, 5), scale=(0.0, 255.0)))
    np.testing.assert_array_equal(images[0], want)


def test_a_tfds_set_without_labels_is_refused(monkeypatch, tmp_path):
    from depara_jax.data import tfds_photographs

    builder = tfds_photographs.prepared_photographs()
    monkeypatch.setenv("TFDS_DATA_DIR", str(builder.data_path.parents[1]))
    with pytest.raises(DeparaError, match="label|cannot be opened|unknown"):
        tfds_examples("depara_photographs", "probe", (8, 8))
