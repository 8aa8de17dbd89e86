"""Edges of many graphs without holding all features at once.

Features of a shallow layer are large (3.2 million numbers an image for VGG's first), and an edge
needs the features of all images. A plan packs layers, or slices of one layer, into passes whose
features fit a memory limit; the first pass rides along with the attribution maps, further ones are
forward passes. Gram matrices add up over slices, so the result does not depend on the plan.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.graph.structure import edges_from_gram, edges_of, normalize_features
from depara_jax.types import Array
from depara_jax.walk.placement import Placement, to_host

__all__ = ["EdgeBuilder", "Slice", "plan_passes"]

FLOAT_BYTES = 4


class Slice(NamedTuple):
    """Feature entries `start` to `stop` of graph number `graph`."""

    graph: int
    start: int
    stop: int


def plan_passes(
    sizes: Sequence[int], n_images: int, memory_limit: int
) -> tuple[tuple[Slice, ...], ...]:
    """Packs graphs' features into passes of at most `memory_limit` bytes, in order.

    Args:
      sizes: feature entries an image of each graph.
      n_images: images of the probe set.
      memory_limit: bytes of features held at once; at least one entry an image is always held.

    Returns:
      Passes; every entry of every graph is in exactly one slice.
    """
    capacity = max(1, memory_limit // (FLOAT_BYTES * max(n_images, 1)))
    passes: list[list[Slice]] = [[]]
    room = capacity
    for graph, size in enumerate(sizes):
        if size > room and passes[-1]:
            passes.append([])
            room = capacity
        # A layer larger than the whole budget is cut into equal slices, a pass each.
        pieces = math.ceil(size / room)
        bounds = [round(i * size / pieces) for i in range(pieces + 1)]
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            if stop - start > room:
                passes.append([])
                room = capacity
            passes[-1].append(Slice(graph, start, stop))
            room -= stop - start
    return tuple(tuple(p) for p in passes if p)


class EdgeBuilder:
    """Takes features chunk by chunk and pass by pass, and gives edges in the end."""

    def __init__(
        self,
        sizes: Sequence[int],
        n_images: int,
        edge_normalization: str,
        *,
        placement: Placement | None = None,
    ):
        self._placement = placement
        self._sizes, self._n_images = tuple(sizes), n_images
        self._normalization = edge_normalization
        self._grams: dict[int, np.ndarray] = {}
        self._edges: dict[int, Float[Array, " e"]] = {}
        self._held: dict[Slice, np.ndarray] = {}

    def begin(self, slices: Sequence[Slice]) -> None:
        """Makes room for the features of one pass."""
        self._held = {s: np.empty((self._n_images, s.stop - s.start), np.float32) for s in slices}

    def add(self, start: int, features: Mapping[Slice, Array]) -> None:
        """Stores the features of images from position `start` on."""
        for piece, values in features.items():
            count = values.shape[0]
            self._held[piece][start : start + count] = np.asarray(values, np.float32)

    def finish(self) -> None:
        """Ends a pass: its features become Gram matrices or edges, and are let go."""
        for piece in list(self._held):
            held = self._held.pop(piece)
            values = self._placement.entries(held) if self._placement else jnp.asarray(held)
            if piece.stop - piece.start == self._sizes[piece.graph]:
                edges = edges_of(values, edge_normalization=self._normalization)
                self._edges[piece.graph] = jnp.asarray(to_host(edges)) if self._placement else edges
                continue
            # A slice is brought to order 1 before it is squared, and added up in float64.
            scale = float(to_host(jnp.abs(values).max())) or 1.0
            gram = to_host(_gram(values / scale, self._normalization)).astype(np.float64)
            # z-scores are of order 1 whatever the scale was.
            factor = 1.0 if self._normalization == "zscore" else scale**2
            self._grams[piece.graph] = self._grams.get(piece.graph, 0.0) + factor * gram

    def edges(self) -> list[Float[Array, " e"]]:
        """Edges of every graph, once every slice has been through a pass."""
        whole = {g: edges_from_gram(gram) for g, gram in self._grams.items()} | self._edges
        return [whole[graph] for graph in range(len(self._sizes))]


@functools.partial(jax.jit, static_argnums=1)
def _gram(values: Float[Array, "n d"], edge_normalization: str) -> Float[Array, "n n"]:
    values = normalize_features(values, edge_normalization)
    return jnp.matmul(values, values.T, precision=jax.lax.Precision.HIGHEST)
