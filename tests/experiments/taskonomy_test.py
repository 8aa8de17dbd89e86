"""The Taskonomy experiment end to end on tiny random networks, stopped and continued."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from depara_jax.data import Probe
from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.taskonomy import TASKS, TaskonomyConfig
from depara_jax.selection import compare_models
from experiments.taskonomy import main, pool, results
from experiments.taskonomy.config import PROBE_SETS, ExperimentConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "papers"
TINY = ExperimentConfig(
    recipes=("depara-task", "tam"),
    estimators=("dds",),
    size=32,
    network=TaskonomyConfig(stem_width=3, widths=(2, 2), units=(1, 1), strides=(2, 1)),
    chunk=3,
    batch=2,
)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def probe() -> Probe:
    draws = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    return Probe.from_arrays(
        np.stack([np.asarray(Image.fromarray(d).resize((40, 40))) for d in draws])
    )


@pytest.fixture(scope="module")
def models():
    return pool.random_pool(TINY)


@pytest.fixture(scope="module")
def finished(models, probe, tmp_path_factory):
    """The folder and summary of a run."""
    output = tmp_path_factory.mktemp("run")
    weights = {model.spec.task: str(i) for i, model in enumerate(models)}
    return output, weights, main.run(models, probe, TINY, weights, output, "coco", QUIET)


def test_similarities_are_those_of_the_library(finished, models, probe):
    """Cells joined give what one walk over all images gives."""
    output, _, summary = finished
    want = compare_models(models, probe, TINY.recipe("depara-task"))
    assert want.names == tuple(f"taskonomy/{task}" for task in TASKS)
    with np.load(output / "similarity.npz") as found:
        assert tuple(found["names"]) == tuple(TASKS)
        # Sums of float32 products in another order.
        for key, matrix in (("", want.score), ("_V", want.node)):
            np.testing.assert_allclose(found[f"depara-task{key}"], matrix, atol=1e-5)
        np.testing.assert_allclose(found["depara-task_E"], want.edge, atol=1e-5)
        np.testing.assert_array_equal(found["tam"], found["depara-task_V"])
    assert set(summary["methods"]) == {
        "depara-task",
        "depara-task V",
        "depara-task E",
        "tam",
        "dds",
    }
    assert summary["methods"]["tam"]["hits"][-1] == 90  # all 19 sources hold all 5 relevant ones
    assert {path.name for path in output.glob("curves.*")} == {"curves.png", "curves.svg"}


def test_a_stopped_run_goes_on_where_it_was(finished, models, probe):
    output, weights, summary = finished
    paths = sorted((output / "cells").glob("*.npz"))
    assert len(paths) == 3
    kept = {path: path.stat().st_mtime_ns for path in (paths[0], paths[2])}
    paths[1].unlink()
    again = main.run(models, probe, TINY, weights, output, "coco", QUIET)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert again["methods"] == summary["methods"]
    assert again["table1"] == summary["table1"]


def test_another_lambda_needs_no_new_cells(finished, models, probe):
    output, weights, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (output / "cells").glob("*.npz")}
    other = dataclasses.replace(TINY, lam=3.0)
    main.run(models, probe, other, weights, output, None, QUIET)
    assert {p: p.stat().st_mtime_ns for p in (output / "cells").glob("*.npz")} == before
    with np.load(output / "similarity.npz") as found:
        score = found["depara-task_V"] + 3.0 * found["depara-task_E"]
        np.testing.assert_allclose(found["depara-task"], score, rtol=1e-12)  # float64


def test_a_folder_of_another_run_is_refused(finished, models, probe):
    output, weights, _ = finished
    with pytest.raises(DeparaError, match=r"another configuration: run\.weights\.curvature"):
        main.run(models, probe, TINY, weights | {"curvature": "x"}, output, None, QUIET)
    with pytest.raises(
        DeparaError, match=r"another configuration: run\.images is 7, not 5; run\.probe"
    ):
        main.run(models, probe.subset(range(5)), TINY, weights, output, None, QUIET)


def test_a_run_of_an_earlier_format_is_refused_in_a_line(tmp_path, models, probe):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "00000.npz").touch()
    (tmp_path / "run.json").write_text('{"digest": "0", "probe": "1", "images": 7}')
    with pytest.raises(DeparaError, match="an earlier format; name a new or an empty folder"):
        main.run(models, probe, TINY, {}, tmp_path, None, QUIET)


def test_published_maps_score_the_published_table():
    """TAM's gradient * input affinities, from its figure, give DEPARA-V's row of Table 1."""
    with np.load(GOLDEN / "tam_affinity_taskonomy_probe.npz") as figure:
        rows = results.table1({"V": figure["gradient_times_input"]}, tuple(TASKS), "taskonomy")
    printed = PROBE_SETS["taskonomy"].table1["DEPARA-V"]
    assert round(rows[0]["P@1"], 2) == printed[0]
    assert round(rows[0]["P@5"], 2) == printed[1]
    assert rows[2] == {"method": "DEPARA-V (printed)", "P@1": printed[0], "P@5": printed[1]}
    assert "class_places" not in rows[0]["targets"]
    assert len(rows[0]["targets"]) == 17


def test_printed_table_is_the_golden_one():
    golden = json.loads((GOLDEN / "depara_table1.json").read_text())
    for name, probe_set in PROBE_SETS.items():
        printed = list(probe_set.table1.values())
        assert [p[0] for p in printed] == golden[name]["avgP@1"]
        assert [p[1] for p in printed] == golden[name]["avgP@5"]


def test_ground_truth_is_the_authors():
    order = np.load(GOLDEN / "sort_gt.npy")
    known = results.truth(tuple(TASKS))
    np.testing.assert_array_equal(known.rows, order[:, 0])
    np.testing.assert_array_equal(known.order, order[:, 1:])


def test_weights_are_found_by_any_of_their_names(tmp_path):
    for task in list(TASKS.values())[:17]:
        (tmp_path / f"{task.torch_name}_encoder-{task.sha256}.pth").touch()
    (tmp_path / "class_1000.npz").touch()
    (tmp_path / "class_scene_encoder.safetensors").touch()
    with pytest.raises(DeparaError, match=r"lacks 1 of 20.*inpainting_whole \(inpainting_encoder"):
        pool.find_weights(tmp_path)
    (tmp_path / "inpainting_whole").mkdir()
    (tmp_path / "inpainting_whole" / "model.permanent-ckpt.index").touch()
    found = pool.find_weights(tmp_path)
    assert list(found) == list(TASKS)
    assert found["rgb2sfnorm"].name.startswith("normal_encoder-")
    assert found["inpainting_whole"].name == "model.permanent-ckpt"
    (tmp_path / "curvature.npz").touch()
    with pytest.raises(DeparaError, match="2 files for 'curvature'"):
        pool.find_weights(tmp_path)


def test_lists_with_paths_of_another_machine_are_resolved(tmp_path):
    (tmp_path / "darden_rgb").mkdir()
    image = tmp_path / "darden_rgb" / "point_1_view_0_domain_rgb.png"
    image.touch()
    name = "darden_rgb/point_1_view_0_domain_rgb.png"
    lines = [name, "", f"/disk2/sj/dataset/taskonomy/{name}"]
    assert pool.list_images(lines, tmp_path, "imlist.txt") == [image.resolve()] * 2
    with pytest.raises(DeparaError, match=r"imlist\.txt: 1 of 3 images.*nowhere"):
        pool.list_images([*lines, "nowhere/at_all.png"], tmp_path, "imlist.txt")


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main.main(["--output", str(tmp_path)]) == 2
    assert "give --weights FOLDER and --images FOLDER" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="depara-task"):
        ExperimentConfig(recipes=("depara-tsk",))
    with pytest.raises(UnknownNameError, match="svcca"):
        ExperimentConfig(estimators=("svca",))


@pytest.mark.slow
def test_the_dry_run_makes_every_file(tmp_path):
    assert main.main(["--dry-run", "--output", str(tmp_path), "--probe-set", "taskonomy"]) == 0
    summary = json.loads((tmp_path / "results.json").read_text())
    assert summary["images"] == main.DRY_RUN_IMAGES
    assert {"paper", "default V", "svcca", "rsa-centred"} <= set(summary["methods"])
    assert min(summary["seconds_a_model_and_image"].values()) > 0
    assert "| DEPARA-E (printed) | 0.82 | 0.75 |" in (tmp_path / "table1.md").read_text()


def test_a_pool_is_loaded_from_a_folder_of_checkpoints(tmp_path):
    """Nineteen tasks with the golden RGB network, colorization with the one of one channel."""
    for task in TASKS:
        source = "feedforward" if task == "colorization" else "pixels"
        (tmp_path / task).mkdir()
        for path in (GOLDEN.parent / "taskonomy_tf").glob(f"{source}.*"):
            name = path.name.replace(source, "model.permanent-ckpt")
            (tmp_path / task / name).write_bytes(path.read_bytes())
    shape = TaskonomyConfig(stem_width=3, widths=(1, 2, 2, 3), units=(2, 2, 1, 2))
    found = pool.find_weights(tmp_path)
    models = pool.load_pool(found, dataclasses.replace(TINY, network=shape))
    assert [model.spec.task for model in models] == list(TASKS)
    assert [model.spec.input.n_channels for model in models].count(1) == 1
    digests = {pool.weights_digest(path) for path in found.values()}
    assert len(digests) == 2


def test_probe_images_come_from_a_folder_and_its_list(tmp_path, rng):
    (tmp_path / "images").mkdir()
    for name in "abcd":
        pixels = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    listed = tmp_path / "imlist.txt"
    listed.write_text("c.png\na.png\nd.png\n")
    got = pool.probe_of(tmp_path / "images", listed, None)
    assert [Path(id).name for id in got.ids] == ["c.png", "a.png", "d.png"]
    listed.write_text("c.png\na.png\nd.png\nbehind_the_count.png\n")
    assert len(pool.probe_of(tmp_path / "images", listed, 3)) == 3
    with pytest.raises(DeparaError, match="does not exist"):
        pool.probe_of(tmp_path / "images", tmp_path / "nothing.txt", None)
    assert len(pool.probe_of(tmp_path / "images", None, None)) == 4
    assert len(pool.probe_of(tmp_path / "images", None, 3)) == 3
