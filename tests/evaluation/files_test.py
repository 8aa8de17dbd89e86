"""Files of similarities and ground truths, each format and each fault."""

import json

import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.evaluation import load_array, load_ground_truth, load_matrix

NAMES = ["a", "b", "c"]
AFFINITY = np.array([[0.0, 1.0, 2.0], [5.0, 0.0, np.nan]])


def same_truth(truth):
    assert truth.targets == ("a", "b")
    assert truth.candidates == ("a", "b", "c")
    np.testing.assert_array_equal(truth.order, [[2, 1], [0, -1]])


def test_affinities_from_every_format(tmp_path):
    np.savez(tmp_path / "t.npz", values=AFFINITY, targets=NAMES[:2], sources=NAMES)
    same_truth(load_ground_truth(f"{tmp_path}/t.npz:values"))
    same_truth(load_ground_truth(tmp_path / "t.npz"))
    (tmp_path / "t.csv").write_text("target,a,b,c\na,0,1,2\nb,5,0,\n")
    same_truth(load_ground_truth(tmp_path / "t.csv"))
    table = {"targets": ["a", "b"], "candidates": NAMES, "affinity": [[0, 1, 2], [5, 0, None]]}
    (tmp_path / "t.json").write_text(json.dumps(table))
    same_truth(load_ground_truth(tmp_path / "t.json"))


def test_rankings_from_every_format(tmp_path):
    rows = [[0, 2, 1], [1, 0, 2]]
    np.save(tmp_path / "t.npy", rows)
    np.savez(tmp_path / "t.npz", order=rows, names=NAMES)
    (tmp_path / "t.csv").write_text("a,c,b\nb,a,c\n")
    (tmp_path / "ids.csv").write_text("0,2,1\n1,0,2\n")
    (tmp_path / "t.json").write_text(json.dumps([["a", "c", "b"], ["b", "a", "c"]]))
    named = {"candidates": NAMES, "rows": [["a", "c", "b"], ["b", "a", "c"]]}
    (tmp_path / "named.json").write_text(json.dumps(named))
    for name in ("t.npy", "t.npz", "t.csv", "ids.csv", "t.json", "named.json"):
        truth = load_ground_truth(tmp_path / name, candidates=NAMES)
        assert truth.targets == ("a", "b"), name
        np.testing.assert_array_equal(truth.order, [[2, 1], [0, 2]], err_msg=name)


def test_square_affinities_without_names(tmp_path):
    np.save(tmp_path / "t.npy", np.eye(3) + np.arange(3))
    truth = load_ground_truth(tmp_path / "t.npy")
    assert truth.targets == truth.candidates == ("0", "1", "2")


def test_matrices_from_every_format(tmp_path):
    values = np.arange(9.0).reshape(3, 3)
    np.save(tmp_path / "s.npy", values)
    np.savez(tmp_path / "s.npz", other=np.eye(2), s=values, names=NAMES)
    (tmp_path / "s.json").write_text(json.dumps({"names": NAMES, "similarity": values.tolist()}))
    (tmp_path / "s.csv").write_text("model,a,b,c\na,0,1,2\nb,3,4,5\nc,6,7,8\n")
    for name, rows in (("s.npy", None), ("s.npz:s", NAMES), ("s.json", NAMES), ("s.csv", NAMES)):
        matrix = load_matrix(f"{tmp_path}/{name}")
        np.testing.assert_array_equal(matrix.values, values, err_msg=name)
        assert (matrix.rows and list(matrix.rows)) == rows, name
    np.testing.assert_array_equal(load_array(f"{tmp_path}/s.npz:other"), np.eye(2))
    np.testing.assert_array_equal(load_array(f"{tmp_path}/s.npy"), values)


def write_faulty(folder):
    np.savez(folder / "two.npz", x=np.eye(2), y=np.eye(2))
    np.save(folder / "cube.npy", np.zeros((2, 2, 2)))
    np.save(folder / "wide.npy", np.zeros((2, 3)))
    np.save(folder / "object.npy", np.array([{}], object), allow_pickle=True)
    (folder / "broken.npz").write_bytes(b"not a zip")
    (folder / "plain.npz").write_bytes((folder / "cube.npy").read_bytes())
    (folder / "broken.json").write_text("{")
    (folder / "other.json").write_text('{"x": 1}')
    (folder / "empty_row.json").write_text("[[]]")
    (folder / "ragged.csv").write_text("target,a,b\na,1\n")
    (folder / "words.csv").write_text("target,a,b\na,1,many\n")
    (folder / "empty.csv").write_text("\n")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\xff")
    (folder / "note.txt").write_text("hello")
    (folder / "long_cell.csv").write_text("target,a\na," + "1" * 200_000)
    (folder / "zip.npy").write_bytes((folder / "two.npz").read_bytes())
    (folder / "digits.json").write_text("[[" + "1" * 5000 + "]]")
    (folder / "deep.json").write_text("[" * 100_000)
    many = "9" * 400
    (folder / "overflow.json").write_text(f'{{"affinity": [[0, {many}]]}}')
    (folder / "candidates.json").write_text('{"rows": [["a", "b"]], "candidates": 5}')
    (folder / "targets.json").write_text('{"affinity": [[1, 2], [2, 1]], "targets": 5}')
    (folder / "names.json").write_text('{"similarity": [[1, 2], [2, 1]], "names": 5}')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.npy", "no such file"),
        ("two.npz", "holds 2 arrays of numbers"),
        ("two.npz:z", "unknown array"),
        ("cube.npy", r"got shape \(2, 2, 2\)"),
        ("cube.npy:x", "only an .npz"),
        ("wide.npy", "without names"),
        ("object.npy", "not a readable NumPy"),
        ("broken.npz", "not a readable NumPy"),
        ("plain.npz", "holds a single array"),
        ("broken.json", "not readable JSON"),
        ("other.json", "expected a list of rows"),
        ("empty_row.json", "non-empty lists"),
        ("ragged.csv", "has 2 cells, the header 3"),
        ("words.csv", "expected rows of numbers"),
        ("empty.csv", "empty"),
        ("binary.csv", "not readable as CSV"),
        ("long_cell.csv", "not readable as CSV"),
        ("zip.npy", "an archive of arrays; name it .npz"),
        ("digits.json", "not readable JSON"),
        ("deep.json", "not readable JSON"),
        ("overflow.json", "expected rows of numbers"),
        ("candidates.json", "'candidates' must be a list of names"),
        ("targets.json", "'targets' must be a list of names"),
        ("note.txt", "expected a file .npy"),
    ],
)
def test_faulty_truths_name_the_file(tmp_path, name, message):
    write_faulty(tmp_path)
    with pytest.raises(DeparaError, match=message) as caught:
        load_ground_truth(f"{tmp_path}/{name}")
    assert name.split(":")[0] in str(caught.value)


@pytest.mark.parametrize("candidates", [["a", "b"], None])
@pytest.mark.parametrize("entry", ["Infinity", "NaN", "9" * 400, "[]"])
def test_entries_that_are_no_ids_are_refused(tmp_path, entry, candidates):
    (tmp_path / "t.json").write_text(f"[[0, 1], [1, {entry}]]")
    with pytest.raises(DeparaError, match="candidate"):
        load_ground_truth(tmp_path / "t.json", candidates=candidates)


def test_faulty_matrices_name_the_file(tmp_path):
    write_faulty(tmp_path)
    for name, message in (("cube.npy", "expected a matrix"), ("other.json", "'similarity'"),
        ("names.json", "'names' must be a list"), ("zip.npy", "name it .npz"),
    ):  # fmt: skip
        with pytest.raises(DeparaError, match=message):
            load_matrix(tmp_path / name)
    with pytest.raises(DeparaError, match="expected an array"):
        load_array(tmp_path / "other.json")
    with pytest.raises(UnknownNameError, match="known: x, y"):
        load_array(f"{tmp_path}/two.npz:zzz")
