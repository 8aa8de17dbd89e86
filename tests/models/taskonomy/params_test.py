"""Taskonomy's weights from both frameworks, strictly, and the model that they make."""

from pathlib import Path

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import load_model
from depara_jax.models.port import convert, port_model, port_spec, random_variables, variable_shapes
from depara_jax.models.taskonomy import TASKS, TaskonomyConfig, TaskonomyEncoder, schemes
from depara_jax.models.zoo.architectures import ARCHITECTURES, build_model
from depara_jax.weights.readers import READERS, file_sha256
from depara_jax.weights.tf_checkpoint import read_tf_checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "taskonomy_tf"
TINY = TaskonomyConfig(stem_width=3, widths=(1, 2, 2, 3), units=(2, 2, 1, 2))

SHAPE = {"stem_width": 3, "widths": [1, 2, 2, 3], "units": [2, 2, 1, 2]}

_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def port(variables) -> dict[str, np.ndarray]:
    """A port's tensors of variables: the inverse of its rule table, written out by hand."""
    tensors = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        keys = [str(getattr(k, "key", getattr(k, "name", k))) for k in path]
        keys = [k for k in keys if k != "value"]
        *where, kind, field = keys
        if where[0] == "blocks":
            unit = f"layer{int(where[1]) + 1}.{where[2]}"
            index = where[3][-1]
            names = (f"{unit}.conv{index}", f"{unit}.bn{index}")
            if where[3] == "shortcut":
                names = (f"{unit}.downsample.0", f"{unit}.downsample.1")
        else:
            names = {"stem": ("conv1", "bn1"), "compress": ("compress1", "compress_bn")}[where[0]]
        value = np.asarray(leaf)
        if kind == "conv":
            tensors[f"{names[0]}.weight"] = value.transpose(3, 2, 0, 1)
        else:
            tensors[f"{names[1]}.{_NORM[field]}"] = value
            tensors[f"{names[1]}.num_batches_tracked"] = np.int64(1)
    return tensors


def variables_from_tensors(tensors, config, source="weights"):
    return convert(TaskonomyEncoder, config, schemes(config), tensors, source=source)


def load(task, weights, size=256):
    """The tiny network of a task from a file."""
    input = TASKS[task].input(size)
    return build_model(f"taskonomy/{task}", weights=weights, configuration=SHAPE, input=input)


@pytest.fixture(scope="module")
def variables():
    return variables_from_tensors(read_tf_checkpoint(GOLDEN / "pixels"), TINY)


def test_fresh_variables_come_from_their_key():
    one, same, other = (
        random_variables(TaskonomyEncoder, TINY, jax.random.key(k)) for k in (1, 1, 2)
    )
    kernel = [np.asarray(v["stem"]["conv"]["kernel"]) for v in (one, same, other)]
    np.testing.assert_array_equal(kernel[0], kernel[1])
    assert not np.array_equal(kernel[0], kernel[2])
    norm = one["blocks"][1][0]["shortcut"]["norm"]
    assert [float(norm[k][...].mean()) for k in ("scale", "bias", "mean", "var")] == [1, 0, 0, 1]
    drawn = random_variables(TaskonomyEncoder, TaskonomyConfig(), jax.random.key(0))
    deep = np.asarray(drawn["compress"]["conv"]["kernel"])
    assert deep.std() == pytest.approx((2 / (9 * 2048)) ** 0.5, rel=0.02)  # 147,456 draws


def test_a_ports_tensors_come_back(variables, tmp_path):
    path = tmp_path / "curvature.npz"
    np.savez(path, **port(variables))
    model = load("curvature", path, 64)
    assert jax.tree.all(jax.tree.map(np.array_equal, model.variables, variables))
    assert model.name == "taskonomy/curvature"
    assert model.spec.sha256 == file_sha256(path)
    assert model.spec.input == TASKS["curvature"].input(64)


def test_a_port_is_converted_once_and_a_checkpoint_never(
    variables, weights_cache, tmp_path, monkeypatch
):
    np.savez(tmp_path / "curvature.npz", allow_pickle=False, **port(variables))
    first = load("curvature", tmp_path / "curvature.npz")
    (kept,) = weights_cache.iterdir()

    def never(path):
        raise AssertionError(f"{path} was converted again")

    monkeypatch.setitem(READERS, ".npz", never)
    again = load("curvature", tmp_path / "curvature.npz")
    assert (again.spec, again.forward) == (first.spec, first.forward)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.variables, variables))
    # Several files have no one digest.
    assert load("rgb2sfnorm", GOLDEN / "pixels").spec.sha256 is None
    assert list(weights_cache.iterdir()) == [kept]


def test_a_checkpoint_makes_a_model_of_its_task():
    model = load("rgb2sfnorm", GOLDEN / "pixels", 64)
    assert model.spec.task == "rgb2sfnorm"
    shapes = model.feature_shapes()
    assert tuple(shapes) == model.spec.layers == TINY.layers
    assert shapes[model.spec.encoder] == (4, 4, 8)
    assert {len(layers) for _, layers in model.spec.points} == {2 + sum(TINY.units)}


def test_published_network_has_the_papers_shape():
    config = TaskonomyConfig(channels_in=1)
    spec = ARCHITECTURES["taskonomy/colorization"].spec()
    assert spec.input.shape == (256, 256, 1)
    template = variable_shapes(TaskonomyEncoder, config)
    model = port_model(TaskonomyEncoder, config, variables=template, spec=spec)
    shapes = model.feature_shapes()
    assert tuple(shapes) == model.spec.layers
    assert shapes["compress"] == (16, 16, 8)
    assert shapes["pool"] == (64, 64, 64)
    assert shapes["block1.unit2"] == (64, 64, 256)  # the stride is in the last unit
    assert shapes["block1.unit3"] == (32, 32, 256)
    assert shapes["block2.unit4"] == (16, 16, 512)
    assert shapes["block4.unit3"] == (16, 16, 2048)
    assert model.spec.architecture == "taskonomy-resnet50"


@pytest.mark.parametrize(("size", "side"), [(64, 4), (50, 4), (33, 3), (17, 2), (1, 1)])
def test_any_image_size_works(variables, size, side):
    spec = port_spec(TINY, input=TASKS["denoise"].input(size))
    model = port_model(TaskonomyEncoder, TINY, variables=variables, spec=spec)
    shapes = model.feature_shapes()
    assert shapes["compress"] == (side, side, 8)


def test_three_channels_for_colorization_are_told(variables):
    with pytest.raises(DeparaError, match="3 input channels.*colorization alone sees one channel"):
        TASKS["colorization"].check(port(variables), None, "x.pth")


def test_colorization_for_another_task_is_told():
    with pytest.raises(
        DeparaError, match=r"another task's encoder.*1 input channels.*colorization"
    ):
        load("curvature", GOLDEN / "feedforward")


def test_channels_of_task_and_configuration_must_agree():
    with pytest.raises(DeparaError, match=r"takes 3 channel\(s\), but the preprocessing gives 1"):
        ARCHITECTURES["taskonomy/colorization"].spec(TINY)


def test_the_published_file_of_another_task_is_told(variables, tmp_path, monkeypatch):
    path = tmp_path / "normal.npz"
    np.savez(path, **port(variables))
    digest = TASKS["rgb2sfnorm"].sha256
    monkeypatch.setattr("depara_jax.models.zoo.architectures.file_sha256", lambda _: digest)
    assert load("rgb2sfnorm", path).spec.task == "rgb2sfnorm"
    with pytest.raises(DeparaError, match="published encoder of 'rgb2sfnorm'.*not of 'curvature'"):
        load("curvature", path)


def test_missing_unexpected_and_misshapen_tensors_are_listed_together(variables):
    tensors = port(variables)
    del tensors["layer2.1.bn3.running_var"]
    tensors["layer2.2.conv1.weight"] = np.zeros((2, 8, 1, 1), np.float32)
    tensors["compress1.weight"] = tensors["compress1.weight"][:4]
    with pytest.raises(DeparaError) as caught:
        variables_from_tensors(tensors, TINY, source="x.pth")
    message = str(caught.value)
    assert message.startswith("x.pth")
    for part in ("blocks.1.1.conv3.norm.var", "layer2.2.conv1.weight", "compress1.weight"):
        assert part in message


def test_unknown_variables_of_a_checkpoint_are_not_overlooked():
    tensors = read_tf_checkpoint(GOLDEN / "pixels")
    tensors["encoder/block4/unit_3/bottleneck_v1/conv1/weights"] = np.zeros((1, 1, 12, 3))
    with pytest.raises(DeparaError, match=r"1 unexpected: encoder/block4/unit_3"):
        variables_from_tensors(tensors, TINY)


def test_nan_is_refused(variables):
    tensors = port(variables)
    tensors["conv1.weight"] = np.full_like(tensors["conv1.weight"], np.nan)
    with pytest.raises(DeparaError, match=r"NaN.*stem\.conv\.kernel"):
        variables_from_tensors(tensors, TINY)


def test_the_registry_builds_every_task_from_weights():
    names = [name for name in ARCHITECTURES if name.startswith("taskonomy/")]
    assert names == [f"taskonomy/{task}" for task in TASKS]
    spec = ARCHITECTURES["taskonomy/inpainting_whole"].spec()
    assert spec.input.hole == (128, 128)
    assert spec.encoder == "compress"
    with pytest.raises(DeparaError, match="1 input channels.*any other task"):
        build_model("taskonomy/curvature", weights=GOLDEN / "feedforward")
    with pytest.raises(DeparaError, match="missing.*wrong shape"):  # the tiny network
        build_model("taskonomy/curvature", weights=GOLDEN / "pixels")
    with pytest.raises(DeparaError, match="without classes"):
        build_model("taskonomy/curvature", random_seed=0, num_classes=10)
    with pytest.raises(DeparaError, match="takes 1 channel"):
        ARCHITECTURES["taskonomy/colorization"].spec(input=TASKS["curvature"].input())


def test_unknown_task_offers_the_near_ones():
    with pytest.raises(UnknownNameError, match="rgb2depth"):
        load_model("taskonomy/rgb2dept=random:0")


def test_the_twenty_encoders_share_their_programs():
    forwards = {
        build_model(f"taskonomy/{task}", random_seed=0, configuration=SHAPE).forward
        for task in ("curvature", "denoise", "colorization")
    }
    assert len(forwards) == 2
