"""What all pictures share: colours, type, the empty figure, and saving it.

Figures are `matplotlib.figure.Figure` objects without pyplot, so nothing global is opened or left
behind. matplotlib is imported where it is used, to keep `import depara_jax` fast.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import check_writable, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "GRAY", "check_names", "check_plot_path", "new_figure", "save_figure"]

# Okabe and Ito's palette, told apart by people with any common colour blindness; yellow last, since
# it is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
GRAY = "#6B6B6B"
# Markers differ as well, for print without colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#222222"
# Text is drawn as paths and ids are hashed with a fixed salt: the same figure gives the same bytes.
SETTINGS: Any = {
    "svg.hashsalt": "depara_jax",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
}


def new_figure(width: float, height: float, **subplots: Any) -> "tuple[Figure, Any]":
    """An empty figure of that size in inches, with `Figure.subplots(**subplots)`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    return figure, figure.subplots(**subplots)


def tidy(axes: "Axes", *, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Titles, labels, a light grid, and no frame above or to the right."""
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.set_xlabel(xlabel, fontsize=10, color=INK)
    axes.set_ylabel(ylabel, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK)
    axes.grid(True, color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: "Figure", handles: Sequence[Any], *, most: int = 5) -> None:
    """A legend under the panels, at most so many entries a row."""
    columns = min(len(handles), most)
    place = "outside lower center"
    figure.legend(handles=handles, loc=place, ncols=columns, frameon=False, fontsize=9)


def save_figure(figure: "Figure", path: str | Path) -> Path:
    """Writes a figure as PNG or SVG, by the suffix, all at once (never half a file).

    The same figure gives the same bytes: no date, no random ids.

    Returns:
      The path.

    Raises:
      DeparaError: another suffix, a folder that is not there or not writable.
    """
    import matplotlib
    from matplotlib.text import Text

    path = check_plot_path(path)
    kind = path.suffix.lower()[1:]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names are shown as they are, dollar signs too

    def write(file: BinaryIO) -> None:
        with matplotlib.rc_context(SETTINGS):
            figure.savefig(file, format=kind, metadata=metadata, facecolor="white")

    write_atomically(path, write)
    return path


def check_plot_path(path: str | Path) -> Path:
    """The path of a picture, if it can be written.

    Raises:
      DeparaError: a suffix other than .png and .svg, a folder that is not there or not writable.
    """
    path = Path(path)
    check_writable(path, "picture", (".png", ".svg"))
    return path


def check_names(kind: str, names: Sequence[str], count: int) -> list[str]:
    """The names as strings, if there are `count` of them."""
    if len(names) != count:
        raise DeparaError(f"{kind}: {len(names)} names for {count} entries")
    return [str(name) for name in names]


def check_finite(kind: str, values: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """A float array of that shape (None is any length) without NaN or infinity."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DeparaError(f"{kind}: expected numbers ({error})") from error
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or not array.size:
        want = ", ".join("any" if size is None else str(size) for size in shape)
        raise DeparaError(f"{kind}: expected an array of shape [{want}], got {array.shape}")
    if not np.isfinite(array).all():
        raise DeparaError(f"{kind}: {int((~np.isfinite(array)).sum())} values are NaN or infinite")
    return array
