"""One walk over the probe set for many graphs at once: node vectors by chunks, edges at the end."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError
from depara_jax.graph.structure import check_any_map, check_edges, check_finite
from depara_jax.recipe import Recipe
from depara_jax.spec import InputSpec
from depara_jax.types import Array, ProbeLike
from depara_jax.walk.batches import Batch, batches, chunks
from depara_jax.walk.edges import EdgeBuilder, Slice, plan_passes
from depara_jax.walk.memory import (
    Need,
    batch_within,
    default_batch_size,
    feature_share,
    program_need,
)
from depara_jax.walk.placement import Placement, local, to_host
from depara_jax.walk.step import Program, run_step
from depara_jax.walk.views import View, common_grid, margins

__all__ = ["FEATURE_LIMIT", "Chunk", "Progress", "Walk"]

FEATURE_LIMIT = 2 << 30
Progress = Callable[[int, int], None]


class Chunk(NamedTuple):
    """What one chunk of k images gives; the graphs are numbered view by view, layer by layer.

    Attributes:
      start: position of the first image in the probe set.
      features: [k, d] float32 of every graph's layer, flattened; empty unless the walk is asked for
        features.
      vectors: [k, p] node vectors of every graph; empty if the walk makes no maps.
    """

    start: int
    features: tuple[Float[Array, "k d"], ...]
    vectors: tuple[Float[Array, "k p"], ...]


class Walk:
    """Walks the probe set once, all models in step, so that only one chunk of maps exists.

        walk = Walk([View(model, model.spec.layers)], probe, RECIPES["default"])
        for chunk in walk:
            use(chunk.start, chunk.vectors)
        edges = walk.edges()

    Without a recipe it is forward passes alone, for whoever needs features and no graphs: a fifth
    of the cost. Every iteration walks anew.

    Args:
      views: models and layers; the graphs are numbered view by view, layer by layer.
      probe: the images.
      recipe: how graphs are made; None makes none, and gives features.
      features: give the features of every layer in each chunk, with a recipe too.
      batch_size: images a step; by default from the largest input size.
      memory_limit: bytes that the walk may take beside weights and results: fewer images a step and
        a smaller `feature_limit`, see `depara_jax.walk.memory`. Every program is compiled once more
        for each number of images that is tried.
      feature_limit: bytes of features to hold between chunks for the edges; beyond it features are
        computed again after the last chunk, see `depara_jax.walk.edges`. Turning the largest layer
        into edges takes up to four times its share for a moment.
      progress: called with (steps done, steps in all).
      placement: devices to spread images and parameters over; by default JAX's first.

    Attributes:
      names: of the graphs, "model:layer".
      batch_size: images a step.
      zero_maps: after a walk, for each graph, how many images have a zero map.

    Raises:
      DegenerateError: while walking with a recipe: NaN or infinite features or maps, nothing but
        zero maps, edges that are all the same; it names the model, the layer and the images.
      DeparaError: at once: fewer images than the recipe needs, models whose maps have no common
        vector, or a memory limit that one image passes.
    """

    def __init__(
        self,
        views: Sequence[View],
        probe: ProbeLike,
        recipe: Recipe | None = None,
        *,
        features: bool = False,
        batch_size: int | None = None,
        memory_limit: int | None = None,
        feature_limit: int = FEATURE_LIMIT,
        progress: Progress | None = None,
        placement: Placement | None = None,
    ):
        if batch_size is not None and batch_size < 1:
            raise DeparaError(f"batch_size must be at least 1, got {batch_size}")
        self.names = tuple(name for view in views for name in view.names())
        self._recipe = recipe and common_grid(views, recipe)
        self._with_maps = recipe is not None and recipe.uses_nodes
        self._with_edges = recipe is not None and recipe.uses_edges
        self._with_features = features or recipe is None
        if self._with_edges and len(probe) < 3:
            check_edges(jnp.zeros(0), self.names[0], len(probe))
        if len(probe) < 1:
            raise DeparaError("the probe set is empty; give at least one image")
        self._views, self._probe, self._placement = tuple(views), probe, placement
        self._margins = margins(views)
        self._first = [0, *np.cumsum([len(view.layers) for view in views]).tolist()]
        self._sizes: list[int] = []
        if self._with_edges:
            self._sizes = [size for view in views for size in view.feature_sizes()]
        inputs = [view.model.spec.input for view in views]
        size = batch_size or min(default_batch_size(input, recipe) for input in inputs)
        self.batch_size = min(size, len(probe))
        self._variables = [view.model.variables for view in views]
        if placement is not None:
            self.batch_size = placement.batch_size(self.batch_size)
            self._variables = [placement.variables(one) for one in self._variables]
        limit = feature_limit if memory_limit is None else feature_share(memory_limit)
        passes = plan_passes(self._sizes, len(probe), limit) if self._sizes else ((),)
        self._passes: tuple[tuple[Slice, ...], ...] = passes
        if memory_limit is not None:
            self.batch_size = self._batch_size_within(memory_limit)
        self._progress, self._done = progress or (lambda *_: None), 0
        self.zero_maps: tuple[int, ...] = (0,) * len(self.names)
        self._edges: list[Float[Array, " e"]] | None = None

    @property
    def recipe(self) -> Recipe:
        """How graphs are made, with the grid that is used.

        Raises:
          DeparaError: a walk without a recipe.
        """
        if self._recipe is None:
            raise DeparaError("this walk has no recipe: it gives features, and makes no graphs")
        return self._recipe

    @property
    def steps(self) -> int:
        """Programs that a whole walk runs."""
        return len(self._passes) * math.ceil(len(self._probe) / self.batch_size) * len(self._views)

    def __iter__(self) -> Iterator[Chunk]:
        self._done, self._edges = 0, None
        zero_maps = np.zeros(len(self.names), int)
        normalization = str(self.recipe.edge_normalization) if self._with_edges else "none"
        builder = EdgeBuilder(
            self._sizes, len(self._probe), normalization, placement=self._placement
        )
        inputs = [view.model.spec.input for view in self._views]
        for number, slices in enumerate(self._passes):
            builder.begin(slices)
            for start, of_models in chunks(inputs, self._stream):
                features, vectors = [], []
                for index, batch in enumerate(of_models):
                    given, made, zeros = self._step(
                        index, start, batch, slices, builder, first_pass=number == 0
                    )
                    features += given
                    vectors += made
                    zero_maps[self._first[index] : self._first[index + 1]] += zeros
                if number == 0:
                    yield Chunk(start, tuple(features), tuple(vectors))
            builder.finish()
        self.zero_maps = tuple(int(count) for count in zero_maps)
        for name, count in zip(self.names, self.zero_maps, strict=True):
            check_any_map(not self._with_maps or count < len(self._probe), name)
        if self._with_edges:
            edges = builder.edges()
            for name, values in zip(self.names, edges, strict=True):
                check_edges(values, name, len(self._probe))
            self._edges = edges

    def edges(self) -> list[Float[Array, " e"]]:
        """Edges [n (n - 1) / 2] of every graph, after the last chunk.

        Raises:
          DeparaError: the walk is not at its end, or its recipe makes no edges.
        """
        if not self._with_edges:
            raise DeparaError("walk.edges(): this walk has no recipe that gives edges weight")
        if self._edges is None:
            raise DeparaError("walk.edges(): edges need all images; iterate to the last chunk")
        return self._edges

    def _stream(self, input: InputSpec) -> Iterator[Batch]:
        make = batches if self._placement is None else self._placement.batches
        return make(self._probe, input, self.batch_size)

    def _step(
        self,
        index: int,
        start: int,
        batch: Batch,
        slices: Sequence[Slice],
        builder: EdgeBuilder,
        *,
        first_pass: bool,
    ) -> tuple[tuple[Array, ...], tuple[Array, ...], Any]:
        """One model on one chunk: its features (if asked for), vectors, and counts of zero maps."""
        view, first, count = self._views[index], self._first[index], batch.count
        mine = self._slices_of(index, slices)
        program = self._program(index, mine, first_pass=first_pass)
        self._done += 1
        if not program.layers:
            self._progress(self._done, self.steps)
            return (), (), 0
        out = run_step(program, self._variables[index], batch.images)
        if self._recipe is not None:
            for layer, finite in zip(program.layers, to_host(out.finite)[:, :count], strict=True):
                check_finite(finite, f"{view.model.spec.name}:{layer}", first=start)
        features = {
            program.layers[i]: local(values)[:count]
            for i, values in zip(program.wanted, out.features, strict=True)
        }
        layer_of = {s: view.layers[s.graph - first] for s in mine}
        builder.add(start, {s: features[layer_of[s]][:, s.start : s.stop] for s in mine})
        zeros = (~to_host(out.nonzero)[:, :count]).sum(axis=1) if out.vectors else 0
        self._progress(self._done, self.steps)
        kept = tuple(features.values()) if first_pass and self._with_features else ()
        return kept, tuple(local(v)[:count] for v in out.vectors), zeros

    def _slices_of(self, index: int, slices: Sequence[Slice]) -> list[Slice]:
        return [s for s in slices if self._first[index] <= s.graph < self._first[index + 1]]

    def _program(self, index: int, slices: Sequence[Slice], *, first_pass: bool) -> Program:
        """What one model runs in a pass; no layers if there is nothing to run."""
        view, input = self._views[index], self._views[index].model.spec.input
        graphs = sorted({s.graph - self._first[index] for s in slices})
        layers = tuple(view.layers[graph] for graph in graphs)
        wanted = view.layers if first_pass and self._with_features else layers
        maps = first_pass and self._with_maps
        # A pass without maps runs no deeper than the features that it is for.
        layers = view.layers if maps else wanted
        recipe = self.recipe.map_part() if maps else None
        # Blue meets blue in the other networks' maps.
        whole = recipe is not None and recipe.channel_reduction == "none"
        reverse = input.channels == "bgr" and whole
        return Program(
            view.model.forward, layers, recipe, tuple(layers.index(layer) for layer in wanted),
            self._margins[index] if maps else None, reverse,
        )  # fmt: skip

    def _batch_size_within(self, memory_limit: int) -> int:
        """Fewer images a step, until the first pass, which makes maps too, fits."""
        multiple = 1 if self._placement is None else self._placement.batch_size(1)

        def needs(size: int) -> list[Need]:
            known: dict[Any, Need] = {}
            found = []
            for index, view in enumerate(self._views):
                spec, variables = view.model.spec, self._variables[index]
                mine = self._slices_of(index, self._passes[0])
                program = self._program(index, mine, first_pass=True)
                key = (program, spec.input, str(jax.tree.map(jnp.shape, variables)))
                if key not in known:
                    shape = (size * multiple, *spec.input.shape)
                    images = jax.ShapeDtypeStruct(shape, jnp.float32)
                    known[key] = program_need(program, variables, images, spec.name)
                found.append(known[key]._replace(name=spec.name))
            return found

        most = max(1, self.batch_size // multiple)
        return multiple * batch_within(memory_limit, most, needs)
