"""MobileNets and EfficientNet-Lite: names, namings, the graph format, the published files."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.models import build_model
from depara_jax.models.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from depara_jax.models.layers.convolution import depthwise_conv
from depara_jax.models.mobilenet_v1 import MobileNetV1, MobileNetV1Config
from depara_jax.models.mobilenet_v2 import MobileNetV2, MobileNetV2Config
from depara_jax.models.port import PureForward, flatten_variables, random_variables

SHARED = Path(os.environ.get("DEPARA_SHARED", "nowhere")) / "data"
TINY = MobileNetV1Config(1 / 4, num_classes=3, folded=True, padded_stem=True, output_stride=16)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("taps", "dilation", "padding"), [(3, 1, "same"), (5, 2, "torch")])
def test_shifted_images_and_the_grouped_convolution_are_the_same(
    rng, stride, taps, dilation, padding
):
    x = rng.normal(size=(2, 11, 14, 6)).astype(np.float32)
    kernel = rng.normal(size=(taps, taps, 1, 6)).astype(np.float32)

    def run(x, shifted):
        return depthwise_conv(
            x, kernel, stride=stride, dilation=dilation, padding=padding, shifted=shifted
        )

    want, got = run(x, False), run(x, True)
    assert got.shape == want.shape
    # A sum of at most 25 products in another order.
    np.testing.assert_allclose(got, want, atol=1e-5)
    gradients = [jax.grad(lambda x, s=s: (run(x, s) ** 2).sum())(x) for s in (False, True)]
    np.testing.assert_allclose(*gradients, atol=1e-3, rtol=1e-5)


def test_the_backend_chooses_the_form(rng):
    x, kernel = np.ones((1, 8, 8, 2), np.float32), np.ones((3, 3, 1, 2), np.float32)
    chosen = str(jax.make_jaxpr(lambda x: depthwise_conv(x, kernel))(x))
    assert ("conv_general_dilated" in chosen) == (jax.default_backend() != "cpu")


@pytest.mark.parametrize(
    ("network", "config"),
    [
        (MobileNetV1, MobileNetV1Config(1 / 4, num_classes=3)),
        (MobileNetV1, TINY),
        (MobileNetV2, MobileNetV2Config(1 / 4, num_classes=3)),
        (MobileNetV2, MobileNetV2Config(0.5, None, head=False, output_stride=16, folded=True)),
        (EfficientNetLite, EfficientNetLiteConfig(3, num_classes=3, narrow=1 / 4)),
    ],
)
def test_the_addresses_are_those_that_the_network_returns(network, config):
    variables = random_variables(network, config, jax.random.key(0))
    names = []

    def run(variables, images):
        out = PureForward(network, config)(variables, images)
        names.extend(out)
        return out

    shapes = jax.eval_shape(run, variables, np.zeros((2, 64, 64, 3), np.float32))
    assert tuple(names) == config.layers
    deepest = [n for n in names if n.startswith("blocks.")][-1]
    side = 64 + getattr(config, "padded_stem", False)
    assert shapes[deepest].shape[1] == -(-side // getattr(config, "output_stride", 32))


def graph_file(path, config, seed=0):
    """An archive in the graph format with 8-bit weights, and {our name: float64 array}."""
    rng = np.random.default_rng(seed)
    arrays, ops, want, last = {}, [], {}, 0

    def add(kind, target, kernel_shape, axis, stride, act, source=None):
        nonlocal last
        n_out = kernel_shape[axis]
        steps = rng.integers(0, 256, kernel_shape, np.uint8)
        scale = rng.uniform(0.001, 0.01, n_out).astype(np.float32)
        zero = rng.integers(100, 150, n_out).astype(np.int32)
        bias = rng.integers(-(2**31), 2**31, n_out).astype(np.int32)
        k = len(arrays)
        arrays.update({f"t{k}": steps, f"t{k}_scale": scale, f"t{k}_zp": zero})
        arrays.update(
            {
                f"t{k + 3}": bias,
                f"t{k + 3}_scale": np.float32([1e-6]),
                f"t{k + 3}_zp": np.int32([0]),
            }
        )
        shape = [1] * len(kernel_shape)
        shape[axis] = n_out
        value = (steps.astype(float) - zero.reshape(shape)) * scale.astype(float).reshape(shape)
        kernel = value.transpose(1, 2, 3, 0) if axis == 0 else value.transpose(1, 2, 0, 3)
        want[f"{target}.kernel"] = kernel
        want[f"{target}.bias"] = bias.astype(float) * float(np.float32(1e-6))
        op = {"op": kind, "inputs": [last if source is None else source]}
        op["consts"] = [{"t": k, "axis": axis}, {"t": k + 3, "axis": 0}]
        op |= {"stride": [stride] * 2, "pad": "SAME", "dil": [1, 1], "act": act}
        last += 1
        ops.append(op | {"output": {"id": last, "name": target, "shape": []}})

    arrays["t0"] = np.int32([[0, 0], [0, 1], [0, 1], [0, 0]])
    pad = {"op": "PAD", "inputs": [0], "consts": [{"t": 0}]}
    ops.append(pad | {"output": {"id": 1, "name": "pad", "shape": []}})
    last = 1
    add("CONV_2D", "stem.conv", (config.stem_width, 3, 3, 3), 0, 2, "relu6")
    for k, (n_in, n_out, stride) in enumerate(config.blocks):
        add("DEPTHWISE_CONV_2D", f"blocks.{k}.depthwise.conv", (1, 3, 3, n_in), 3, stride, "relu6")
        add("CONV_2D", f"blocks.{k}.pointwise.conv", (n_out, 1, 1, n_in), 0, 1, "relu6")
    for k in (1, 2):  # heads behind the trunk
        add("CONV_2D", f"head{k}", (5, 1, 1, config.blocks[-1][1]), 0, 1, None, source=last - k + 1)
    text = json.dumps({"input": {}, "outputs": [], "ops": ops}).encode()
    arrays["graph"] = np.frombuffer(text, np.uint8)
    np.savez(path, **arrays)
    return {name: value for name, value in want.items() if not name.startswith("head")}


def test_a_quantised_trunk_is_read_with_its_shape(tmp_path):
    want = graph_file(tmp_path / "pose.npz", TINY)
    model = build_model("mobilenet_v1_0.25", weights=tmp_path / "pose.npz")
    assert model.forward.config == MobileNetV1Config(
        0.25, None, folded=True, padded_stem=True, output_stride=16
    )
    assert model.spec.logits is None
    got = flatten_variables(model.variables)
    assert got.keys() == want.keys()
    for name, value in want.items():
        # float32 of the exact value.
        np.testing.assert_allclose(got[name], value, rtol=1e-7, err_msg=name)


def damaged(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    graph = json.loads(bytes(arrays["graph"]).decode())
    change(graph)
    arrays["graph"] = np.frombuffer(json.dumps(graph).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["ops"][2].update(stride=[2, 2]), "01.depthwise.s2.d1.relu6.kernel"),
        (lambda g: g["ops"][3].update(act="relu"), "02.conv.s1.d1.relu.kernel"),
        (lambda g: g["ops"][3].update(pad="VALID"), "padding SAME"),
        (lambda g: g["ops"][3].pop("consts"), "damaged graph .KeyError: 'consts'"),
        (lambda g: g.pop("ops"), "damaged graph"),
    ],
)
def test_another_structure_is_refused(tmp_path, change, message):
    graph_file(tmp_path / "x.npz", TINY)
    damaged(tmp_path / "x.npz", change)
    with pytest.raises(DeparaError, match=message):
        build_model("mobilenet_v1_0.25", weights=tmp_path / "x.npz")


def test_weights_of_another_width_are_refused(tmp_path):
    graph_file(tmp_path / "x.npz", TINY)
    with pytest.raises(DeparaError, match="46 wrong shape|wrong shape"):
        build_model("mobilenet_v1_0.5", weights=tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MobileNetV1Config(1.0, 0), "num_classes must be at least 1"),
        (lambda: MobileNetV1Config(output_stride=8), "output_stride must be 16 or 32"),
        (lambda: MobileNetV2Config(-1.0), "width positive"),
        (lambda: MobileNetV2Config(output_stride=8), "output_stride must be 16 or 32"),
        (lambda: EfficientNetLiteConfig(5), "size must be 0 to 4"),
        (lambda: EfficientNetLiteConfig(num_classes=0), "num_classes must be at least 1"),
    ],
)
def test_shapes_that_do_not_exist(make, message):
    with pytest.raises(DeparaError, match=message):
        make()


FILES = {
    "mobilenet_v1_0.25_128_quant": ("mobilenet_v1_0.25", 1001, 32),
    "mobilenet_v1_1.0_224_quant_embedding_extractor": ("mobilenet_v1_1.0", None, 32),
    "mobilenet_v1_0.25_224_keras": ("mobilenet_v1_0.25", 1000, 32),
    "tf2_mobilenet_v2_1.0_224_ptq": ("mobilenet_v2_1.0", 1001, 32),
    "mobilenet_v2_1.0_224_inat_bird_quant": ("mobilenet_v2_1.0", 965, 32),
    "deeplabv3_mnv2_dm05_pascal_quant": ("mobilenet_v2_0.5", None, 16),
    "posenet_mnv1_075_353_481": ("mobilenet_v1_0.75", None, 16),
    "mlperf_vww_96_float": ("mobilenet_v1_0.25", 2, 32),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="DEPARA_SHARED does not point to the shared data")
@pytest.mark.parametrize("file", FILES)
def test_the_published_files_fit(file):
    architecture, classes, stride = FILES[file]
    model = build_model(architecture, weights=SHARED / "zoo" / f"{file}.npz")
    assert (model.forward.config.num_classes, model.forward.config.output_stride) == (
        classes,
        stride,
    )
    assert model.feature_shapes()["avgpool"]
