"""The timing scripts run to the end at a small size, and both sides compute the same numbers."""

import json
import operator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import attribution, encoder, index, precision, sweep
from experiments.benchmarks.common import interleaved, peak_mb, script
from experiments.benchmarks.machine import product_floor


def line(capsys, module, *arguments):
    """The one JSON line that a script prints."""
    assert module.main(list(arguments)) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert len(printed) == 1
    return json.loads(printed[0])


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("module", [attribution, encoder])
def test_both_sides_give_the_same_maps_and_every_figure_is_there(capsys, module):
    pytest.importorskip("torch", reason="the peers need PyTorch: the [torch] extra")
    got = line(capsys, module, "--quick")
    # float32 gradients through many layers, against another order of sums.
    assert got["largest_difference"] < 1e-3
    keys = {"ratio_vs_pytorch", "images_per_s", "floor_share", "compile_s", "peak_mb", "versions"}
    assert keys <= set(got)
    assert got["gflop"] > 0
    assert set(got["seconds"]) >= {"ours", "pytorch"}


def test_a_script_has_the_options_of_what_it_measures(capsys):
    def measure(
        images: int = 4, folder: Path | None = None, all: bool = False, quick: bool = False
    ):
        yield {"images": images, "folder": str(folder), "all": all}
        yield {"quick": quick}

    main = script(measure, {"images": 2}, about="What it is.")
    assert main(["--folder", "there", "--all"]) == 0
    assert main(["--quick", "--images", "9"]) == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"images": 4, "folder": "there", "all": True}
    assert lines[1] == {"quick": False}
    assert lines[2] == {"images": 2, "folder": "None", "all": False}
    assert lines[3] == {"quick": True}
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "What it is." in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("module", "options"), [
    (index, ["--quick", "--images", "6", "--queries", "3"]), (sweep, ["--quick"]),
])  # fmt: skip
def test_each_measurement_is_a_line(module, options, capsys, tmp_path):
    with jax.numpy_dtype_promotion("standard"):  # as the script runs
        assert module.main([*options, "--folder", str(tmp_path / "work")]) == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    keys = set().union(*lines)
    expected = {
        index: {"error_bound", "recall_at_10_reranked", "query_by_name_ms_90%", "s_median"},
        sweep: {"unit_cpu_s", "nothing_to_add_s", "sweep_hours", "index_gb"},
    }
    assert expected[module] <= keys


def test_the_floor_counts_every_product_and_its_operations():
    def function(x, w):
        y = jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.jit(jnp.matmul)(y.reshape(2, -1), jnp.ones((8 * 8 * 5, 7))).sum()

    got = product_floor(jax.grad(function), jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5)))
    # The gradient of a linear function is its transpose alone: nothing of the forward pass.
    convolution = 2 * (2 * 8 * 8 * 3) * (3 * 3 * 5)
    product = 2 * (2 * 8 * 8 * 5) * 7
    assert got["gflop"] * 1e9 == pytest.approx(convolution + product)
    assert got["floor_s"] >= 0


def test_calls_take_turns_and_the_first_run_is_kept_apart():
    order = []
    times = interleaved(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, {"a": 3, "b": 1}
    )
    assert order == ["a", "b", "a", "b", "a", "a"]
    assert times["a"]["runs"] == 3
    assert times["b"]["runs"] == 1
    assert np.isfinite(times["a"]["median_s"])


@pytest.mark.slow
def test_less_precision_changes_similarities_little_and_the_more_the_fewer_the_bits(capsys):
    with jax.numpy_dtype_promotion("standard"):  # as the script runs
        got = line(capsys, precision, "--quick")["recipes"]["paper"]
    errors = [got[name]["node_largest"] for name in ("tf32", "bfloat16", "storage")]
    assert 0 < errors[0] < errors[1] < 0.02
    assert errors[2] < 0.02
    assert got["storage"]["seconds_ratio"] > 0


def test_rounding_reaches_every_product_and_its_gradient(rng):
    def program(w, x):
        return jax.grad(lambda x: (jax.nn.relu(x @ w) ** 2).sum())(x)

    w, x = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((4, 5), (3, 4)))
    short_w, short_x = (jax.lax.reduce_precision(a, 8, 7) for a in (w, x))
    y = jax.nn.relu(short_x @ short_w)
    want = jax.lax.reduce_precision(2 * y, 8, 7) @ short_w.T
    # float32 sums of five products.
    np.testing.assert_allclose(precision._rounding(program, 7)(w, x), want, rtol=1e-5)


def test_the_peak_is_that_of_a_process_with_what_it_held():
    small, large = (peak_mb(operator.mul, b"x", count) for count in (1, 100_000_000))
    # Pages that are written; the processes are the same but for them.
    assert small > 5
    assert large > small + 90
