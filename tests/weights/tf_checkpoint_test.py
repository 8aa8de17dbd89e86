"""The reader of TensorFlow checkpoints, on files that TensorFlow wrote.

They come from golden/make_taskonomy_tf.py.
"""

import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.weights.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint

GOLDEN = Path(__file__).parent.parent / "golden" / "taskonomy_tf"


@pytest.fixture
def copy(tmp_path):
    """A copy of the golden's `kinds` that a test may damage."""
    for path in GOLDEN.glob("kinds.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "kinds"


def test_every_dtype_comes_back():
    got = read_tf_checkpoint(GOLDEN / "kinds")
    want = {
        "half": np.array([1.5, -2], np.float16),
        "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
        "flags": np.array([True, False]),
        "step": np.array(1 << 40, np.int64),
        "double": np.arange(3.0),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert set(got) == set(want)  # without the string tensor "text"
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        assert got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


def test_prefix_index_and_data_file_name_the_same_checkpoint():
    for name in ("pixels", "pixels.index", "pixels.data-00000-of-00001"):
        assert is_tf_checkpoint(GOLDEN / name)
        assert "encoder/conv1/weights" in read_tf_checkpoint(GOLDEN / name)
    assert not is_tf_checkpoint(GOLDEN / "outputs.npz")


def test_names_and_shapes_of_many_blocks_of_the_index():
    got = read_tf_checkpoint(GOLDEN / "pixels")
    assert list(got) == sorted(got)
    assert got["encoder/conv1/weights"].shape == (7, 7, 3, 3)
    assert got["encoder/block1/unit_1/bottleneck_v1/conv2/weights/Adam_1"].shape == (3, 3, 1, 1)
    assert got["global_step"] == 0
    variance = got["compress1/BatchNorm/moving_variance"]
    assert ((variance >= 0.5) & (variance <= 1.5)).all()  # as the script drew it


def test_partitioned_variables_are_refused():
    with pytest.raises(DeparaError, match="'split' is stored in partitions"):
        read_tf_checkpoint(GOLDEN / "partitioned")


def test_missing_files_are_named(copy):
    with pytest.raises(DeparaError, match=r"no 'nothing\.index'"):
        read_tf_checkpoint(copy.parent / "nothing")
    Path(f"{copy}.data-00000-of-00001").unlink()
    with pytest.raises(DeparaError, match=r"data-00000-of-00001' is missing"):
        read_tf_checkpoint(copy)


def test_truncated_data_is_noticed(copy):
    data = Path(f"{copy}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-20])  # the string, which is not read, lies last
    with pytest.raises(DeparaError, match="cut short"):
        read_tf_checkpoint(copy)


# In the block of entries, in the footer's handle of the index block (after that of the empty
# metaindex block, of three bytes), in the magic number.
@pytest.mark.parametrize("position", [0, 40, 100, -45, -1])
def test_a_damaged_byte_of_the_index_is_noticed(copy, position):
    index = Path(f"{copy}.index")
    content = bytearray(index.read_bytes())
    content[position] ^= 0x55
    index.write_bytes(content)
    with pytest.raises(DeparaError, match=r"kinds\.index"):
        read_tf_checkpoint(copy)


def test_another_file_is_no_index(copy):
    Path(f"{copy}.index").write_bytes(b"not a table, but long enough to hold a footer" * 2)
    with pytest.raises(DeparaError, match="no magic number"):
        read_tf_checkpoint(copy)
