"""One host, many devices: graphs do not depend on how many. A process of its own has eight."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs
from depara_jax.walk import Placement, device_mesh
from tests.networks import model, probe

ROOT = Path(__file__).resolve().parent.parent.parent
# Eleven images in steps of four or five: no batch is divisible by eight, features not by anything.
MANY = """
import json, sys
import jax, numpy as np
from depara_jax.recipe import RECIPES
from depara_jax.selection import attribution_graphs, compare_models
from depara_jax.walk import Placement, device_mesh
from tests.networks import model, probe

jax.config.update("jax_default_matmul_precision", "highest")
images, network, out = probe(11), model(0), {}
def walk(recipe, **options):
    graphs = attribution_graphs(
        network, images, RECIPES[recipe], layers=["body", "answer"], batch_size=5, **options
    )
    return {la: (np.asarray(g.nodes), np.asarray(g.edges)) for la, g in graphs.items()}

every = ((1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (2, 4), (1, 8))
whole, cut = 2 << 30, 11 * 4 * 100  # a memory limit that cuts layers into slices, too
for recipe, limit, shapes in (
    ("default", whole, every), ("default", cut, [(4, 2)]), ("depara-task", whole, [(8, 1)])
):
    one = walk(recipe, feature_limit=limit)
    for shape in shapes:
        place = Placement(device_mesh(images=shape[0], parameters=shape[1]))
        many = walk(recipe, feature_limit=limit, placement=place)
        pairs = [p for la in one for p in zip(one[la], many[la], strict=True)]
        worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
        out[f"{recipe} {limit} {shape[0]}x{shape[1]}"] = worst

place = Placement(device_mesh(images=4, parameters=2))
kernel = place.variables(network.variables)["linear"]
out["shards"] = [list(s.data.shape) for s in kernel.addressable_shards]
(batch, *_) = place.batches(images, network.spec.input, 8)
out["images"] = [list(s.data.shape) for s in batch.images.addressable_shards]
out["devices"] = len({s.device for s in batch.images.addressable_shards})
models = [model(i) for i in range(2)]
one = compare_models(models, images, RECIPES["default"]).score
many = compare_models(models, images, RECIPES["default"], placement=place).score
out["similarity"] = float(np.abs(np.asarray(one) - np.asarray(many)).max())
json.dump(out, sys.stdout)
"""


def forced(count: int) -> dict[str, str]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def measured():
    done = subprocess.run(
        [sys.executable, "-c", MANY], env=forced(8), cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_graphs_agree_whatever_the_mesh(measured):
    errors = {name: value for name, value in measured.items() if "x" in name}
    assert len(errors) == 9
    # Relative to the largest entry; sums are associated differently, float32 rounds at 6e-8.
    assert max(errors.values()) < 1e-6, errors
    assert measured["similarity"] < 1e-6


@pytest.mark.slow
def test_the_work_is_really_spread(measured):
    # Four devices along the images, two along the parameters: 2 images each, half the linear map.
    assert measured["devices"] == 8
    assert measured["images"] == [[2, 8, 8, 3]] * 8
    assert measured["shards"] == [[10, 6]] * 8


def test_one_device_is_the_plain_walk():
    images = probe(7)
    for recipe in ("paper", "default"):
        plain = attribution_graphs(model(0), images, RECIPES[recipe], batch_size=3)
        placed = attribution_graphs(
            model(0), images, RECIPES[recipe], batch_size=3, placement=Placement(device_mesh())
        )
        np.testing.assert_allclose(
            placed["answer"].nodes, plain["answer"].nodes, rtol=1e-6, atol=1e-7
        )
        np.testing.assert_allclose(
            placed["answer"].edges, plain["answer"].edges, rtol=1e-6, atol=1e-6
        )


def test_more_devices_than_there_are_is_one_line():
    with pytest.raises(DeparaError, match="64 x 1 devices"):
        device_mesh(images=64)
