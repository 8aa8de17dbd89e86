"""Chunks of images as every model sees them, made while the device computes on the one before."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from depara_jax.spec import InputSpec
from depara_jax.types import ProbeLike

__all__ = ["Batch", "ahead", "batches", "chunks", "filled_up"]

Item = TypeVar("Item")
_END = object()


class Batch(NamedTuple):
    """One chunk of images as one model sees it.

    Attributes:
      count: images in it; the rows after them repeat the last one.
      images: [b, h, w, c], b the same for every chunk.
    """

    count: int
    images: jax.Array


def batches(
    probe: ProbeLike, input: InputSpec, size: int, where: jax.sharding.Sharding | None = None
) -> Iterator[Batch]:
    """All images, `size` at a time, where JAX puts arrays by default or where a placement says.

    Decoding and resizing are the host's work, which need not wait for the device.
    """
    for images in ahead(probe.batches(input, size)):
        yield Batch(len(images), jax.device_put(filled_up(images, size), where))


def chunks(
    inputs: Sequence[InputSpec], stream: Callable[[InputSpec], Iterator[Batch]]
) -> Iterator[tuple[int, list[Batch]]]:
    """Each chunk of images for all models: the first image's position, and a batch a model.

    Args:
      inputs: of every model; images are preprocessed once for models of one input.
      stream: batches of one input, of the same number of images for all.
    """
    distinct = list(dict.fromkeys(inputs))
    start = 0
    for one in zip(*map(stream, distinct), strict=True):
        of_input = dict(zip(distinct, one, strict=True))
        yield start, [of_input[input] for input in inputs]
        start += one[0].count


def filled_up(images: np.ndarray, size: int) -> np.ndarray:
    """An odd last batch with its last image repeated, so that no network is compiled anew."""
    if len(images) == size:
        return images
    return np.concatenate([images, np.repeat(images[-1:], size - len(images), 0)])


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order, each made by another thread while the one before is used.

    One item is held beside the one in use. What making an item raises is raised where that item
    would have come; nothing is made after that, or once the iterator is closed.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="depara-prefetch") as worker:
        coming = worker.submit(next, source, _END)
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, source, _END)
            yield item  # type: ignore[misc]  # not the end
