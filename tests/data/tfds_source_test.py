"""Named TFDS datasets: small ones of our own, a mocked one, and every kind of bad input."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from depara_jax.data import load_probe, tfds_source
from depara_jax.errors import DeparaError, UnknownNameError

PIXELS = np.random.default_rng(7).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


def features():
    return {"image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png")}


class Small(tfds.core.GeneratorBasedBuilder):
    """Twenty PNG images, in order."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features()), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 12), "test": self._generate_examples(12, 20)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": Image.fromarray(PIXELS[i])}


class DeparaTestImages(Small):
    """As above."""


class DeparaTestConfigs(Small):
    """With two configurations."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="plain", version="1.0.0"),
        tfds.core.BuilderConfig(name="fancy", version="1.0.0"),
    ]


class DeparaTestArrays(Small):
    """Yields arrays, which TFDS encodes with TensorFlow."""

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": PIXELS[i]}


class DeparaTestLabels(Small):
    """Without an image."""

    def _info(self):
        labels = tfds.features.FeaturesDict({"label": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=labels)

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"label": i}


class DeparaTestPairs(Small):
    """With two images, neither of which is the image."""

    def _info(self):
        pair = tfds.features.FeaturesDict(
            {"left": features()["image"], "right": features()["image"]}
        )
        return tfds.core.DatasetInfo(builder=self, features=pair)

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"left": Image.fromarray(PIXELS[i]), "right": Image.fromarray(PIXELS[i])}


class DeparaTestTensor(Small):
    """The image as an unencoded tensor, and a name of its own for each record."""

    def _info(self):
        both = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(6, 5, 3), dtype=np.uint8),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=both, disable_shuffling=True)

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": PIXELS[i], "id": f"image {i}"}


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_dataset_is_prepared_and_read_in_order(capsys):
    probe = load_probe("tfds:depara_test_images:test")
    assert len(probe) == 8
    np.testing.assert_array_equal([probe.thumbnail(i) for i in range(8)], PIXELS[12:])
    assert probe.ids[1] == "tfds:depara_test_images:test/000001"
    assert capsys.readouterr().out == ""
    assert load_probe("tfds:depara_test_images:test[:5]").ids == probe.ids[:5]
    part = load_probe("tfds:depara_test_images:train[3:7]")
    np.testing.assert_array_equal(part.thumbnail(0), PIXELS[3])


def test_a_dataset_that_was_prepared_elsewhere_is_found(data_dir, monkeypatch):
    load_probe("tfds:depara_test_images:test")
    monkeypatch.setattr(DeparaTestImages, "_generate_examples", None)
    assert len(load_probe("tfds:depara_test_images:1.0.0:train")) == 12


def test_images_are_decoded_by_pillow_whatever_tfds_would_take(monkeypatch):
    def refuse(self, example):
        raise AssertionError("decoded by TFDS")

    monkeypatch.setattr(tfds.features.Image, "decode_example_np", refuse)
    np.testing.assert_array_equal(
        load_probe("tfds:depara_test_images:test").thumbnail(7), PIXELS[19]
    )


def test_tensors_and_names_of_records_are_used():
    probe = load_probe("tfds:depara_test_tensor:train")
    assert probe.ids[:2] == ("image 0", "image 1")
    np.testing.assert_array_equal(probe.thumbnail(11), PIXELS[11])


def test_a_mocked_catalogue_dataset():
    with tfds.testing.mock_data(num_examples=5):
        probe = load_probe("tfds:mnist:test")
    assert len(probe) == 5
    assert probe.thumbnail(0).shape == (28, 28, 3)


def test_an_unknown_dataset_is_answered_with_near_ones():
    with pytest.raises(UnknownNameError, match="'cifra10'; did you mean 'cifar10'"):
        load_probe("tfds:cifra10:test")


def test_an_unknown_configuration_is_answered_with_near_ones():
    with pytest.raises(UnknownNameError, match="'plan'; did you mean 'plain'"):
        load_probe("tfds:depara_test_configs/plan:test")
    assert len(load_probe("tfds:depara_test_configs/plain:test")) == 8


def test_an_unknown_version_is_named():
    with pytest.raises(DeparaError, match="'depara_test_images:9.9.9' cannot be opened"):
        load_probe("tfds:depara_test_images:9.9.9:test")


def test_an_unknown_or_missing_split_is_named():
    with pytest.raises(UnknownNameError, match="'tests'; did you mean 'test'"):
        load_probe("tfds:depara_test_images:tests")
    with pytest.raises(UnknownNameError, match="'dev'; known: train, test"):
        load_probe("tfds:depara_test_images:train+dev")
    with pytest.raises(DeparaError, match="give a split, such as tfds:depara_test_images:train"):
        load_probe("tfds:depara_test_images")
    with pytest.raises(DeparaError, match="split 'test.3:99.' cannot be read"):
        load_probe("tfds:depara_test_images:test[3:99]")


def test_more_images_than_the_split_has():
    with pytest.raises(DeparaError, match="asks for 9 images, but there are 8"):
        load_probe("tfds:depara_test_images:test[:9]")


def test_what_needs_tensorflow_to_be_prepared_says_what_to_do():
    with pytest.raises(DeparaError, match="tfds build depara_test_arrays --file_format=array_reco"):
        load_probe("tfds:depara_test_arrays:test")


def test_a_dataset_without_an_image_or_with_several_is_refused():
    with pytest.raises(DeparaError, match="no image feature among label"):
        load_probe("tfds:depara_test_labels:test")
    with pytest.raises(DeparaError, match="2 image features among left, right"):
        load_probe("tfds:depara_test_pairs:test")


def test_another_file_format_is_refused(data_dir):
    load_probe("tfds:depara_test_images:test")
    info = data_dir / "depara_test_images" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DeparaError, match="another format than array_record"):
        load_probe("tfds:depara_test_images:test")


@pytest.mark.parametrize("error", [OSError("no network\nat all"), ValueError("checksums")])
def test_a_failing_download_is_one_line(monkeypatch, error):
    def fail(self, **kwargs):
        raise error

    monkeypatch.setattr(DeparaTestImages, "download_and_prepare", fail)
    with pytest.raises(DeparaError, match="cannot be prepared here.*TFDS_DATA_DIR") as caught:
        load_probe("tfds:depara_test_images:test")
    assert "\n" not in str(caught.value)


def test_a_record_that_is_no_image_is_named():
    with pytest.raises(DeparaError, match="test/7 cannot be decoded"):
        tfds_source._decode(b"not an image", "test/7")
