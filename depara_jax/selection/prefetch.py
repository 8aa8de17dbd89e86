"""The next batch is decoded while the device computes on this one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
_END = object()


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
