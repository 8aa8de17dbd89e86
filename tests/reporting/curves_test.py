"""What the curves show: lines, labels, data."""

import numpy as np
import pytest

from depara_jax.errors import DeparaError
from depara_jax.reporting import layer_curve, precision_recall

KS = np.array([1, 2, 3])


def by_label(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def pair(rng):
    return rng.random(3), np.sort(rng.random(3))


def test_each_method_is_in_each_panel_with_its_numbers(rng):
    curves = {"TAM": pair(rng), "DEPARA": pair(rng)}
    random, oracle = pair(rng), pair(rng)
    figure = precision_recall(curves, ks=KS, random=random, oracle=oracle, title="all")
    left, middle, right = figure.axes
    everything = {**curves, "random": random, "oracle": oracle}
    for axes in (left, middle, right):
        assert set(by_label(axes)) == set(everything)
    for name, (precision, recall) in everything.items():
        np.testing.assert_array_equal(by_label(left)[name].get_ydata(), precision)
        np.testing.assert_array_equal(by_label(left)[name].get_xdata(), KS)
        np.testing.assert_array_equal(by_label(middle)[name].get_ydata(), recall)
        np.testing.assert_array_equal(by_label(right)[name].get_xdata(), recall)
        np.testing.assert_array_equal(by_label(right)[name].get_ydata(), precision)
    assert [axes.get_ylabel() for axes in figure.axes] == ["P@K", "R@K", "P@K"]
    assert right.get_xlabel() == "R@K"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["oracle", "random", "TAM", "DEPARA"]
    assert figure.get_suptitle() == "all"


def test_methods_differ_in_colour_and_marker(rng):
    figure = precision_recall({str(i): pair(rng) for i in range(8)}, ks=KS)
    lines = figure.axes[0].get_lines()
    assert len({line.get_color() for line in lines}) == 8
    assert len({line.get_marker() for line in lines}) == 8


def test_a_band_spans_the_interval(rng):
    curve = pair(rng)
    figure = precision_recall({"a": curve}, ks=KS, bands={"a": (curve[0] - 0.1, curve[0] + 0.2)})
    (band,) = figure.axes[0].collections
    box = band.get_datalim(figure.axes[0].transData)
    # The path holds the very numbers given.
    np.testing.assert_allclose([box.y0, box.y1], [curve[0].min() - 0.1, curve[0].max() + 0.2])


def test_bad_curves_are_refused(rng):
    with pytest.raises(DeparaError, match="no curves"):
        precision_recall({}, ks=KS)
    with pytest.raises(DeparaError, match=r"curve 'a': expected an array of shape \[3\]"):
        precision_recall({"a": (np.zeros(2), np.zeros(3))}, ks=KS)
    with pytest.raises(DeparaError, match="NaN"):
        precision_recall({"a": (np.full(3, np.nan), np.zeros(3))}, ks=KS)


LAYERS = ["conv1", "conv2", "fc"]


def test_layer_curve_shows_terms_score_and_pick():
    figure = layer_curve(LAYERS, [0.4, 0.9, 0.8], [0.1, 0.2, 0.3], [0.3, 0.7, 0.5], title="net")
    (axes,) = figure.axes
    lines = by_label(axes)
    np.testing.assert_array_equal(lines["V (nodes)"].get_ydata(), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(lines["E (edges)"].get_ydata(), [0.3, 0.7, 0.5])
    np.testing.assert_array_equal(lines["SIM = V + λE"].get_ydata(), [0.4, 0.9, 0.8])
    assert [label.get_text() for label in axes.get_xticklabels()] == LAYERS
    assert axes.get_title("left") == "net"
    assert axes.get_title("right") == "picked: conv2"


def test_layer_curve_without_a_term():
    lines = by_label(layer_curve(LAYERS, [0.4, 0.9, 0.8], None, [0.3, 0.7, 0.5]).axes[0])
    assert "V (nodes)" not in lines
    assert "SIM" in lines


def test_accuracies_have_an_axis_of_their_own():
    figure = layer_curve(
        LAYERS, [1.0, 2.0, 3.0], accuracy={"10%": [50, np.nan, 70], "1%": [20, 30, 40]}, best="fc"
    )
    axes, twin = figure.axes
    assert set(by_label(twin)) == {"accuracy, 10%", "accuracy, 1%"}
    np.testing.assert_array_equal(by_label(twin)["accuracy, 1%"].get_ydata(), [20, 30, 40])
    assert twin.get_ylabel() == "accuracy after transfer (%)"
    assert axes.get_title("right") == "picked: fc"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["SIM", "accuracy, 10%", "accuracy, 1%"]


def test_bad_layers_are_refused():
    with pytest.raises(DeparaError, match=r"score: expected an array of shape \[3\]"):
        layer_curve(LAYERS, [1.0, 2.0])
    with pytest.raises(DeparaError, match=r"V \(nodes\)"):
        layer_curve(LAYERS, [1.0, 2.0, 3.0], [1.0])
    with pytest.raises(DeparaError, match="best='x' is not among"):
        layer_curve(LAYERS, [1.0, 2.0, 3.0], best="x")
    with pytest.raises(DeparaError, match="at least one number"):
        layer_curve(LAYERS, [1.0, 2.0, 3.0], accuracy={"a": [np.nan] * 3})
    with pytest.raises(DeparaError, match="1 values are NaN"):
        layer_curve(LAYERS, [1.0, np.nan, 3.0])
