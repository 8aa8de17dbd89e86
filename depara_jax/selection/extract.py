"""One walk over the probe set for many graphs at once: node vectors by chunks, edges at the end."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.graph.structure import check_any_map, check_edges
from depara_jax.recipe import Recipe
from depara_jax.selection.features import EdgeBuilder, Slice, plan_passes
from depara_jax.selection.memory import (
    Need,
    batch_within,
    default_batch_size,
    feature_share,
    program_need,
)
from depara_jax.selection.placement import Batch, Placement, put, to_host
from depara_jax.selection.prefetch import ahead
from depara_jax.selection.step import run_step
from depara_jax.selection.upstream import aliased_layers, check_aliases, check_walk
from depara_jax.selection.views import View, common_grid, margins
from depara_jax.spec import InputSpec
from depara_jax.types import Array, ProbeLike

__all__ = ["Extraction", "Progress", "extract"]

FEATURE_LIMIT = 2 << 30
Progress = Callable[[int, int], None]
NodeSink = Callable[[int, list[Float[Array, "k p"]]], None]


class Extraction(NamedTuple):
    """What is left of the walk when the node vectors have gone to the sink.

    Attributes:
      edges: [e] for each graph, or None if the recipe leaves edges out.
      zero_maps: for each graph, how many images have a zero map.
      recipe: with the grid that was used.
    """

    edges: list[Float[Array, " e"]] | None
    zero_maps: tuple[int, ...]
    recipe: Recipe


def extract(
    views: Sequence[View],
    probe: ProbeLike,
    recipe: Recipe,
    sink: NodeSink,
    *,
    batch_size: int | None = None,
    memory_limit: int | None = None,
    feature_limit: int = FEATURE_LIMIT,
    progress: Progress | None = None,
    placement: Placement | None = None,
) -> Extraction:
    """Walks the probe set once, all models in step, so that only one chunk of maps exists.

    Args:
      views: models and layers; the graphs are numbered view by view, layer by layer.
      probe: the images.
      recipe: how.
      sink: called with (position of the first image, node vectors [k, p] of every graph) for every
        chunk; not called if the recipe leaves nodes out.
      batch_size: images a step; by default from the largest input size.
      memory_limit: bytes that the walk may take beside weights and results: fewer images a step and
        a smaller `feature_limit`, see `depara_jax.selection.memory`. Every program is compiled
        once more for each number of images that is tried.
      feature_limit: bytes of features to hold between chunks; beyond it features are computed
        again, see `depara_jax.selection.features`. Turning the largest layer into edges takes up to
        four times its share for a moment.
      progress: called with (steps done, steps in all).
      placement: devices to spread images and parameters over; by default JAX's first.

    Raises:
      DegenerateError: NaN or infinite features or maps, nothing but zero maps, edges that are all
        the same; it names the model, the layer and the images.
      DeparaError: fewer images than the recipe needs, or bugs of the authors' code that the recipe
        asks for and that cannot show here.
    """
    if batch_size is not None and batch_size < 1:
        raise DeparaError(f"batch_size must be at least 1, got {batch_size}")
    check_walk([v.model.spec for v in views], [len(v.walk or v.layers) for v in views], recipe)
    recipe = common_grid(views, recipe)
    names = [name for view in views for name in view.names()]
    if recipe.uses_edges and len(probe) < 3:
        check_edges(jnp.zeros(0), names[0], len(probe))
    if len(probe) < 1:
        raise DeparaError("the probe set is empty; give at least one image")
    batch_size = batch_size or min(default_batch_size(v.model.spec.input, recipe) for v in views)
    if memory_limit is not None:
        feature_limit = feature_share(memory_limit)
    progress = progress or (lambda *_: None)
    walk = _Walk(views, probe, recipe, batch_size, feature_limit, progress, placement)
    if memory_limit is not None:
        walk.shrink_to(memory_limit)
    walk.run(sink)
    return walk.result(names)


class _Walk:
    """The state of one call of `extract`."""

    def __init__(
        self,
        views: Sequence[View],
        probe: ProbeLike,
        recipe: Recipe,
        batch_size: int,
        feature_limit: int,
        progress: Progress,
        placement: Placement | None,
    ):
        self.views, self.probe, self.recipe = views, probe, recipe
        self.placement = placement
        self.margins = margins(views)
        self.batch_size = min(batch_size, len(probe))
        self.variables = [view.model.variables for view in views]
        if placement is not None:
            self.batch_size = placement.batch_size(self.batch_size)
            self.variables = [placement.variables(variables) for variables in self.variables]
        shapes = [_feature_shapes(view) if recipe.uses_edges else {} for view in views]
        pairs = list(zip(views, shapes, strict=True))
        sizes = [math.prod(s[la][1:]) for view, s in pairs if s for la in view.layers]
        self.aliased = [aliased_layers(view.model.spec, s, recipe) for view, s in pairs]
        check_aliases(self.aliased, recipe)
        self.first = [0, *np.cumsum([len(view.layers) for view in views]).tolist()]
        self.builder = EdgeBuilder(
            sizes, len(probe), recipe.edge_normalization, placement=placement
        )
        self.passes = plan_passes(sizes, len(probe), feature_limit) if sizes else ((),)
        self.zero_maps = np.zeros(self.first[-1], int)
        # With accumulate="models": the total of the chunk's maps over the networks so far.
        self.carried: Array | None = None
        self.progress, self.done = progress, 0

    @property
    def steps(self) -> int:
        """Programs that will have been run in the end."""
        return len(self.passes) * math.ceil(len(self.probe) / self.batch_size) * len(self.views)

    def shrink_to(self, memory_limit: int) -> None:
        """Lowers the number of images a step until the first pass, which makes maps too, fits."""
        multiple = 1 if self.placement is None else self.placement.batch_size(1)

        def needs(size: int) -> list[Need]:
            known: dict[Any, Need] = {}
            found = []
            for index, view in enumerate(self.views):
                static, _ = self._program(index, self.passes[0], self.recipe.uses_nodes)
                shapes = jax.tree.map(jnp.shape, self.variables[index])
                input = view.model.spec.input
                key = (static, self.margins[index], input, str(shapes))
                if key not in known:
                    images = jax.ShapeDtypeStruct((size * multiple, *input.shape), jnp.float32)
                    arguments = (*static, self.variables[index], images, None, self.margins[index])
                    known[key] = program_need(run_step, arguments, view.model.spec.name)
                found.append(known[key]._replace(name=view.model.spec.name))
            return found

        most = max(1, self.batch_size // multiple)
        self.batch_size = multiple * batch_within(memory_limit, most, needs)

    def run(self, sink: NodeSink) -> None:
        for number, slices in enumerate(self.passes):
            with_maps = number == 0 and self.recipe.uses_nodes
            self.builder.begin(slices)
            for start, batches in self._chunks():
                vectors, self.carried = [], None
                for index in range(len(self.views)):
                    vectors += self._step(index, start, batches[index], slices, with_maps)
                if with_maps:
                    sink(start, vectors)
            self.builder.finish()

    def result(self, names: Sequence[str]) -> Extraction:
        for name, zeros in zip(names, self.zero_maps, strict=True):
            check_any_map(bool(not self.recipe.uses_nodes or zeros < len(self.probe)), name)
        edges = None
        if self.recipe.uses_edges:
            edges = self.builder.edges()
            for name, values in zip(names, edges, strict=True):
                check_edges(values, name, len(self.probe))
        return Extraction(edges, tuple(int(z) for z in self.zero_maps), self.recipe)

    def _chunks(self) -> Iterator[tuple[int, list[Batch]]]:
        """Each chunk of images as every model sees it; preprocessed once an InputSpec."""
        inputs = list(dict.fromkeys(view.model.spec.input for view in self.views))
        streams = [self._stream(i) for i in inputs]
        start = 0
        for batches in zip(*streams, strict=True):
            by_input = dict(zip(inputs, batches, strict=True))
            yield start, [by_input[view.model.spec.input] for view in self.views]
            start += batches[0].count

    def _stream(self, input: InputSpec) -> Iterator[Batch]:
        if self.placement is not None:
            return self.placement.batches(self.probe, input, self.batch_size)
        # Decoding and resizing are the host's work, which need not wait for the device.
        batches = ahead(self.probe.batches(input, self.batch_size))
        return (put(images, self.batch_size) for images in batches)

    def _step(
        self, index: int, start: int, batch: Batch, slices: Sequence[Slice], maps: bool
    ) -> list[Array]:
        """One model on one chunk: its features go to the builder, its node vectors are returned."""
        view, first, count = self.views[index], self.first[index], batch.count
        mine = tuple(s for s in slices if first <= s.graph < self.first[index + 1])
        self.done += 1
        if not (mine or maps):
            self.progress(self.done, self.steps)
            return []
        static, graphs = self._program(index, mine, maps)
        layers = static[1]
        out = run_step(
            *static, self.variables[index], batch.images, self.carried, self.margins[index]
        )
        if self.recipe.accumulate == "models":
            self.carried = out.total
        self._check(f"{view.model.spec.name}:", layers, start, to_host(out.finite)[:, :count])
        features = dict(zip(graphs, out.features, strict=True))
        self.builder.add(
            start, {s: self._local(features[s.graph])[:count, s.start : s.stop] for s in mine}
        )
        if maps:
            zeros = ~to_host(out.nonzero)[:, :count]
            self.zero_maps[first : first + len(view.layers)] += zeros.sum(axis=1)
        self.progress(self.done, self.steps)
        if view.model.spec.input.channels == "bgr" and self.recipe.channel_reduction == "none":
            # Blue meets blue in the other networks' maps.
            pixels = [self._local(v)[:count].reshape(count, -1, 3) for v in out.vectors]
            return [p[:, :, ::-1].reshape(count, -1) for p in pixels]
        return [self._local(v)[:count] for v in out.vectors]

    def _program(
        self, index: int, slices: Sequence[Slice], maps: bool
    ) -> tuple[tuple[Any, ...], list[int]]:
        """Static arguments of `run_step` for one model, and the graphs whose features it gives."""
        view, first = self.views[index], self.first[index]
        graphs = sorted({s.graph for s in slices if first <= s.graph < self.first[index + 1]})
        # A pass without maps runs no deeper than the features that it is for.
        layers = view.layers if maps else tuple(view.layers[g - first] for g in graphs)
        wanted = tuple(layers.index(view.layers[g - first]) for g in graphs)
        recipe = self.recipe.map_part() if maps else None
        alias = frozenset(layers.index(la) for la in self.aliased[index] if la in layers)
        return (view.model.forward, layers, view.walk or layers, recipe, wanted, alias), graphs

    def _local(self, array: jax.Array) -> Array:
        return array if self.placement is None else self.placement.local(array)

    @staticmethod
    def _check(model: str, layers: Sequence[str], start: int, finite: np.ndarray) -> None:
        for layer, good in zip(layers, finite, strict=True):
            if not good.all():
                bad = start + np.flatnonzero(~good)
                raise DegenerateError(
                    f"{model}{layer}: NaN or infinite values for probe image(s) at position "
                    f"{', '.join(str(b) for b in bad[:5])}; check the weights and the preprocessing"
                )


def _feature_shapes(view: View) -> dict[str, tuple[int, ...]]:
    """Shape of each layer's features for two images; nothing is computed."""
    spec = view.model.spec
    images = jax.ShapeDtypeStruct((2, *spec.input.shape), jnp.float32)
    forward = view.model.forward  # may return any mapping, JAX knows dictionaries
    shapes = jax.eval_shape(lambda v, x: dict(forward(v, x)), view.model.variables, images)
    return {layer: shapes[spec.check_layer(layer)].shape for layer in view.layers}
