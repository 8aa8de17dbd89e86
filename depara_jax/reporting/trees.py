"""The task-similarity tree: networks joined by how alike they rank or are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.reporting.style import COLORS, GRAY, INK, check_finite, check_names, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Construction", "similarity_tree", "tree_linkage"]

Construction = Literal["distance", "authors"]
XLABELS = {
    "distance": "distance at which groups join (1 − similarity / self-similarity)",
    "authors": "Euclidean distance between rows at which groups join",
}


def tree_linkage(similarity: Any, *, construction: Construction = "distance") -> np.ndarray:
    """Agglomerative clustering of networks, leaves in the optimal order.

    Args:
      similarity: [m, m]; for "authors" also [m, s], similarities of m targets to s networks, which
        need not be the same.
      construction: "distance": average linkage on d_ij = 1 - s_ij / sqrt(s_ii s_jj), symmetrised (a
        cosine distance, since similarities are inner products). "authors": single linkage on the
        rows as Euclidean features, which is what `task_similarity_tree.m` computes, of 18 targets
        and 20 networks; the distance of i and j then also contains their similarity to themselves.

    Returns:
      scipy's linkage matrix [m - 1, 4].

    Raises:
      DeparaError: not square (with "distance"), fewer than 2 networks, not finite, a
        self-similarity that is not positive.
      UnknownNameError: no such construction.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if construction not in XLABELS:
        raise UnknownNameError("construction", construction, XLABELS)
    size = len(np.atleast_1d(np.asarray(similarity)))
    columns = size if construction == "distance" else None
    matrix = check_finite("similarity", similarity, (size, columns))
    if size < 2:
        raise DeparaError("similarity tree: needs at least 2 networks")
    if construction == "authors":
        return hierarchy.linkage(matrix, method="single", optimal_ordering=True)
    own = np.diagonal(matrix)
    if own.min() <= 0:
        raise DeparaError(
            "similarity tree: a self-similarity is not positive; expected s(G, G) > 0"
        )
    distance = 1 - (matrix + matrix.T) / 2 / np.sqrt(np.outer(own, own))
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.maximum(distance, 0), checks=False)
    return hierarchy.linkage(condensed, method="average", optimal_ordering=True)


def similarity_tree(
    similarity: Any,
    names: Sequence[str],
    *,
    construction: Construction = "distance",
    families: Mapping[str, str] | None = None,
    title: str = "",
) -> "Figure":
    """The tree of networks, as TAM's Fig. 2, names coloured by family.

    Args:
      similarity: [m, m]; [m, s] where the construction takes it.
      names: of the m networks.
      construction: see `tree_linkage`.
      families: name -> family, e.g. "2D", "3D", "semantic"; networks without one are gray.
      title: of the figure.

    Raises:
      DeparaError: as `tree_linkage`; more than 8 families.
      UnknownNameError: a family for a name that is not there.
    """
    from scipy.cluster import hierarchy

    links = tree_linkage(similarity, construction=construction)
    names = check_names("names", names, len(links) + 1)
    colors = family_colors(names, families or {})
    figure, axes = new_figure(7.0, max(2.4, 0.9 + 0.27 * len(names)))
    tree = hierarchy.dendrogram(links, no_plot=True)
    for depths, heights in zip(tree["dcoord"], tree["icoord"], strict=True):
        axes.plot(depths, heights, color=GRAY, linewidth=1.3)
    leaves = tree["leaves"]
    axes.yaxis.tick_right()  # before the labels are coloured, since it swaps them
    # scipy puts leaf i at 5 + 10 i.
    axes.set_yticks(5 + 10 * np.arange(len(leaves)), [names[i] for i in leaves], fontsize=9)
    table = families or {}
    for label, leaf in zip(axes.get_yticklabels(), leaves, strict=True):
        label.set_color(colors.get(table.get(names[leaf], ""), INK))
    axes.set_ylim(0, 10 * len(leaves))
    axes.set_xlim(1.03 * float(links[:, 2].max()) or 1.0, 0)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9, colors=INK)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.set_xlabel(XLABELS[construction], fontsize=9, color=INK)
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    if colors:
        from matplotlib.patches import Patch

        figure.legend(
            handles=[Patch(color=color, label=family) for family, color in colors.items()],
            loc="outside lower center", ncols=min(len(colors), 5), frameon=False, fontsize=9,
        )  # fmt: skip
    return figure


def family_colors(names: Sequence[str], families: Mapping[str, str]) -> dict[str, str]:
    """A colour for every family, in the order of the names."""
    for name in families:
        if name not in names:
            raise UnknownNameError("name in families", name, names)
    order = list(dict.fromkeys(families[name] for name in names if name in families))
    # Black is the colour of names without a family, and yellow is unreadable as text.
    palette = [color for color in COLORS if color not in ("#000000", "#F0E442")] + ["#7F3C8D", GRAY]
    if len(order) > len(palette):
        raise DeparaError(f"families: {len(order)} of them; {len(palette)} can be told apart")
    return dict(zip(order, palette, strict=False))
