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
from depara_jax.selection.placement import Batch, Placement, put, to_host
from depara_jax.selection.step import run_step
from depara_jax.selection.upstream import aliased_layers, check_aliases, check_walk
from depara_jax.types import Array, ModelLike, ProbeLike

__all__ = [
    "Extraction",
    "Progress",
    "View",
    "common_grid",
    "default_batch_size",
    "extract",
    "margins",
]

DEFAULT_MEMORY_LIMIT = 2 << 30
Progress = Callable[[int, int], None]
Margins = tuple[tuple[int, int], tuple[int, int]]
NodeSink = Callable[[int, list[Float[Array, "k p"]]], None]


class View(NamedTuple):
    """A model and those of its layers that become graphs.

    Attributes:
      model: the network.
      layers: addresses of the graphs' layers.
      walk: with a recipe that accumulates, all layers whose maps are added up, in that order, the
        graphs' among them; by default `layers`.
    """

    model: ModelLike
    layers: tuple[str, ...]
    walk: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """One name a graph."""
        return [f"{self.model.spec.name}:{layer}" for layer in self.layers]


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


def default_batch_size(input: Any) -> int:
    """Images a step: 128 of 32 x 32 pixels, 10 of 224 x 224, in proportion between."""
    height, width = input.size
    return int(min(128, max(2, 2**19 // (height * width))))


def common_grid(views: Sequence[View], recipe: Recipe) -> Recipe:
    """The recipe with the grid that these models need.

    Models of one input shape and crop keep it. Otherwise all maps are resized to the smallest input
    side among them, unless the recipe names a grid; where models crop the photograph differently,
    each map is first put back at its place (see `margins`).

    Raises:
      DeparaError: inputs of different channels, whose maps have no common vector.
    """
    inputs = {view.model.spec.input for view in views}
    if not recipe.uses_nodes or len({(i.shape, _short_side(i)) for i in inputs}) == 1:
        return recipe
    if len({i.n_channels for i in inputs}) > 1 and recipe.channel_reduction == "none":
        raise DeparaError(
            "the models take images of different channels, so their attribution maps have no "
            "common vector; use a recipe with channel_reduction='mean'"
        )
    if recipe.grid is None and len({(i.size, _short_side(i)) for i in inputs}) > 1:
        return recipe.replace(grid=min(min(i.size) for i in inputs), name=recipe.name)
    return recipe


def margins(views: Sequence[View]) -> list[Margins | None]:
    """For each model, the rows and columns around its crop of the photograph's central square.

    This is the inverse of the models' preprocessing, T^-1 of "Deep Model Transferability from
    Attribution Maps": an input of 224 pixels, cropped from a photograph resized to 256, lies 16
    pixels inside the central square of 256. Maps get these margins, as zeros, before they are
    resized to the common grid, so that a pixel of the grid is the same place of the photograph for
    every model. `None` for all where every model sees the same part.
    """
    found: list[Margins | None] = []
    for view in views:
        input = view.model.spec.input
        around = [_short_side(input) - side for side in input.size]
        top, left = (a // 2 for a in around)
        found.append(((top, around[0] - top), (left, around[1] - left)))
    parts = {
        tuple(side / _short_side(view.model.spec.input) for side in view.model.spec.input.size)
        for view in views
    }
    return found if len(parts) > 1 else [None] * len(views)


def _short_side(input: Any) -> int:
    """The photograph's shorter side after resizing."""
    return max(input.size) if input.resize is None else input.resize


def extract(
    views: Sequence[View],
    probe: ProbeLike,
    recipe: Recipe,
    sink: NodeSink,
    *,
    batch_size: int | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
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
      memory_limit: bytes of features to hold between chunks; beyond it features are computed again,
        see `depara_jax.selection.features`. Turning the largest layer into edges takes up to four
        times its share for a moment.
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
    batch_size = batch_size or min(default_batch_size(v.model.spec.input) for v in views)
    progress = progress or (lambda *_: None)
    walk = _Walk(views, probe, recipe, batch_size, memory_limit, progress, placement)
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
        memory_limit: int,
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
        self.passes = plan_passes(sizes, len(probe), memory_limit) if sizes else ((),)
        self.zero_maps = np.zeros(self.first[-1], int)
        # With accumulate="models": the total of the chunk's maps over the networks so far.
        self.carried: Array | None = None
        chunks = math.ceil(len(probe) / self.batch_size)
        self.progress, self.done = progress, 0
        self.steps = len(self.passes) * chunks * len(views)

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

    def _stream(self, input: Any) -> Iterator[Batch]:
        if self.placement is not None:
            return self.placement.batches(self.probe, input, self.batch_size)
        batches = self.probe.batches(input, self.batch_size)
        return (put(images, self.batch_size) for images in batches)

    def _step(
        self, index: int, start: int, batch: Batch, slices: Sequence[Slice], maps: bool
    ) -> list[Array]:
        """One model on one chunk: its features go to the builder, its node vectors are returned."""
        view, first = self.views[index], self.first[index]
        mine = tuple(s for s in slices if first <= s.graph < self.first[index + 1])
        self.done += 1
        if not (mine or maps):
            self.progress(self.done, self.steps)
            return []
        graphs = sorted({s.graph for s in mine})
        # A pass without maps runs no deeper than the features that it is for.
        layers = view.layers if maps else tuple(view.layers[g - first] for g in graphs)
        wanted = tuple(layers.index(view.layers[g - first]) for g in graphs)
        count = batch.count
        recipe = self.recipe.map_part() if maps else None
        alias = frozenset(layers.index(la) for la in self.aliased[index] if la in layers)
        out = run_step(
            view.model.forward, layers, view.walk or layers, recipe, wanted, alias,
            self.variables[index], batch.images, self.carried, self.margins[index],
        )  # fmt: skip
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
