"""SIGTERM, which is how schedulers take a machine back: stop within seconds, leave nothing half."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

__all__ = ["EXIT_CODE", "PreemptedError", "preemptible"]

EXIT_CODE = 128 + signal.SIGTERM
GRACE = 5.0


class PreemptedError(Exception):
    """The process was told to stop; no failure of any model."""


@runtime_checkable
class Together(Protocol):
    """What `preemptible` needs of a job; `depara_jax.sweep.job.Job` is one."""

    def tell(self) -> None:
        """Tells all processes to stop."""

    def check(self) -> None:
        """Raises `PreemptedError` at the step that all stop at."""

    def close(self) -> None:
        """The work is over."""


@contextlib.contextmanager
def preemptible(
    *, grace: float = GRACE, job: "Together | None" = None
) -> Iterator[Callable[[], None]]:
    """Turns SIGTERM into a `PreemptedError` at the next step of the walk.

    Gives a function to call between steps. If no step ends within `grace` seconds (a compilation
    can take minutes), the process ends at once: artefacts are whole or not there at any moment, so
    that loses the item in flight and nothing else. Only in the main thread, where Python allows it;
    elsewhere nothing is done.

    Args:
      grace: seconds.
      job: this process's part in a job of several, which stop together; it is told, and gives the
        check.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    told = threading.Event()
    tell = told.set
    if job is not None:
        # The job has a deadline of its own; this one is for when there is no hearing it.
        tell, grace = job.tell, grace + 2.0
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.signal(signal.SIGTERM, lambda *_: None if job else told.set())
    # Python runs handlers between its own instructions only; this pipe is written to at once.
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(read, tell, grace), daemon=True)
    watcher.start()

    def check() -> None:
        if told.is_set():
            raise PreemptedError("told to stop by SIGTERM")

    try:
        yield check if job is None else job.check
    finally:
        if job is not None:
            job.close()
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        os.close(write)  # ends the watcher
        watcher.join()
        os.close(read)


def _watch(read: int, tell: Callable[[], None], grace: float) -> None:
    """Waits for the signal's number, then for the end of the `with` block."""
    while number := os.read(read, 1):
        if number[0] == signal.SIGTERM:
            with contextlib.suppress(Exception):  # a job whose first process has gone
                tell()
            if not _closed_within(read, grace):
                os._exit(EXIT_CODE)
            return


def _closed_within(read: int, seconds: float) -> bool:
    import select

    while select.select([read], [], [], seconds)[0]:
        if not os.read(read, 1):
            return True
    return False
