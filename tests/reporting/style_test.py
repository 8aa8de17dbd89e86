"""Saving figures: by suffix, whole, and the same bytes every time."""

import pytest
from matplotlib.figure import Figure

from depara_jax import reporting
from depara_jax.errors import DeparaError
from depara_jax.reporting.style import new_figure, tidy


def draw():
    figure, axes = new_figure(3.0, 2.0)
    axes.plot([0, 1], [1, 0], label="line")
    axes.fill_between([0, 1], [0, 0], [1, 1], alpha=0.2)  # a clip path, whose id could be random
    tidy(axes, title="title", xlabel="x", ylabel="y")
    return figure


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, suffix):
    first = reporting.save_figure(draw(), tmp_path / f"a{suffix}")
    second = reporting.save_figure(draw(), str(tmp_path / f"b{suffix}"))
    assert first.read_bytes() == second.read_bytes()
    # A second save of one figure too: constrained layout must not drift.
    figure = draw()
    reporting.save_figure(figure, first)
    once = first.read_bytes()
    reporting.save_figure(figure, first)
    assert first.read_bytes() == once


def test_formats_follow_the_suffix(tmp_path):
    assert reporting.save_figure(draw(), tmp_path / "a.PNG").read_bytes()[:4] == b"\x89PNG"
    text = reporting.save_figure(draw(), tmp_path / "a.svg").read_text()
    assert "<svg" in text
    assert "<dc:date>" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.PNG", "a.svg"]


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.jpg", "missing/a.png"])
def test_other_paths_are_refused(tmp_path, name):
    with pytest.raises(DeparaError, match=r"ends in .png or .svg|existing folder"):
        reporting.save_figure(draw(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    path = reporting.save_figure(draw(), tmp_path / "a.png")
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(DeparaError, match="disk full"):
        reporting.save_figure(draw(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["$\\foo{$", "$\\x$", "5$ and 6$", "\\$a$"])
def test_dollar_signs_are_no_formulas(tmp_path, name):
    figure, axes = new_figure(3.0, 2.0)
    axes.plot([0, 1], [1, 0], label=name)
    axes.set_xticks([0, 1], [name, "b"])
    axes.legend()
    tidy(axes, title=name)
    assert reporting.save_figure(figure, tmp_path / "a.svg").stat().st_size > 0


def test_nothing_is_left_with_pyplot():
    draw()
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
