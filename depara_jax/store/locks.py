"""Locks between the processes on one store that need no clock and end with their holder."""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator

__all__ = ["Locks"]


class Locks:
    """Named locks as byte ranges of one file.

    The system releases a process's ranges when it dies, however it dies: nothing has to expire, and
    no clock is read. They work between the hosts of an NFS mount too. Where there is no such file
    system (object stores), or it does not know locks, every lock is granted: artefacts stay whole
    all the same, but two sweeps may compute one unit twice.

    Args:
      path: the file; it is made when the first lock is asked for. None grants everything.
    """

    def __init__(self, path: str | None):
        self._path, self._handle = path, -1
        self._held: dict[int, int] = {}  # position: how often this process holds it

    @contextlib.contextmanager
    def held(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Holds a lock within a `with` block; gives False if it was not to be had.

        Raises:
          OSError: the lock file cannot be opened for writing.
        """
        position = int(hashlib.sha256(name.encode()).hexdigest()[:15], 16)
        if not self._acquire(position, wait):
            yield False
            return
        try:
            yield True
        finally:
            self._release(position)

    def _acquire(self, position: int, wait: bool) -> bool:
        if self._path is None:
            return True
        if self._handle < 0:
            # Kept open: closing any handle of the file would drop all of the process's ranges.
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        if position not in self._held:
            mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
            try:
                fcntl.lockf(self._handle, mode, 1, position)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
        self._held[position] = self._held.get(position, 0) + 1
        return True

    def _release(self, position: int) -> None:
        if self._path is None:
            return
        self._held[position] -= 1
        if not self._held[position]:
            del self._held[position]
            with contextlib.suppress(OSError):
                fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, position)
