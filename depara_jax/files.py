"""Files as the whole package reads and writes them: outputs whole or not at all, arrays unpickled.

Whatever is wrong with a file is a `DeparaError` of one line that names it.
"""

import contextlib
import io
import os
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from depara_jax.errors import DeparaError

__all__ = ["cache_root", "check_writable", "load_arrays", "write_atomically"]

# What numpy, zipfile and zlib raise for files that are damaged in their many ways, MemoryError for
# a header that promises more than there is; encryption, and a format that Pillow does not know, are
# RuntimeErrors.
DAMAGE = (
    OSError, ValueError, EOFError, LookupError, TypeError, SyntaxError, ArithmeticError,
    MemoryError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
# Open files of this process: replacing one would leave its other users with the old file.
OPEN_FILES = ("/dev/fd/", "/dev/std", "/proc/")


def cache_root() -> Path:
    """What can be made again is kept here: `$DEPARA_CACHE`, or `~/.cache/depara_jax`."""
    return Path(os.environ.get("DEPARA_CACHE") or "~/.cache/depara_jax").expanduser()


def check_writable(path: str | os.PathLike[str], option: str, suffixes: Sequence[str] = ()) -> None:
    """Refuses an output file that could not be written, before the work.

    A temporary file is made beside it and removed, since permissions alone do not tell (root, and
    file systems such as /proc). Pipes are not opened, for their reader would see the end.

    Args:
      path: the file.
      option: what messages call it, e.g. "--json".
      suffixes: one of which the name must end in, in either case; none for any name.

    Raises:
      DeparaError: another suffix, or a place that cannot be written to.
    """
    path = os.fspath(path)
    if suffixes and os.path.splitext(path)[1].lower() not in suffixes:
        raise DeparaError(f"{option} {path}: expected a name that ends in {' or '.join(suffixes)}")
    with _explained(f"{option} {path}"):
        mode = _mode(path)
        if mode is not None and not (_is_stream(mode) or stat.S_ISREG(mode)):
            raise OSError(None, "it is not a file")
        if mode is not None and not os.access(path, os.W_OK):
            raise OSError(None, "no permission")
        if not _written_in_place(path, mode):
            handle, temporary = _temporary(os.path.realpath(path))
            os.close(handle)
            os.unlink(temporary)


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all: readers see the old one or the new one, never a part.

    Links are followed. Pipes and devices are written to, not replaced. A file that is replaced
    keeps its permissions; a new one gets the usual ones (umask).

    Args:
      path: the file.
      write: called once with a binary file to write to.

    Raises:
      DeparaError: the file cannot be written.
      BrokenPipeError: the reader of a pipe has gone.
    """
    path = os.fspath(path)
    with _explained(path):
        mode = _mode(path)
        if _written_in_place(path, mode):
            content = io.BytesIO()  # archives and pictures need to seek, a pipe cannot
            write(content)
            with open(path, "ab") as file:
                file.write(content.getbuffer())
            return
        target = os.path.realpath(path)
        handle, temporary = _temporary(target)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise


def load_arrays(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    choose: Callable[[list[str]], str] | None = None,
) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or the arrays of an .npz file by name; pickles are refused.

    The content decides which of the two it is, not the suffix.

    Args:
      path: the file.
      name: what messages call it; by default the path.
      choose: from the names in an archive, the one to return the array of; the others are not read.

    Raises:
      DeparaError: the file is missing, damaged, too large for the memory or of another kind.
    """
    try:
        with open(path, "rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if choose is not None:
                return _member(loaded, choose(loaded.files))
            return {key: _member(loaded, key) for key in loaded.files}
    except DeparaError:
        raise
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        if "pickle" in reason:  # numpy advises to trust the file
            reason = "it is something else, or holds Python objects, which could run code"
        raise DeparaError(
            f"{name or repr(os.fspath(path))}: not a readable NumPy array file (.npy, .npz): "
            f"{reason[:200] or type(error).__name__}"
        ) from error


def _member(archive: Any, key: str) -> np.ndarray:
    value = archive[key]
    if not isinstance(value, np.ndarray):  # numpy gives other members of the archive as bytes
        raise ValueError(f"{key} in it is not an array")
    return value


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns what the system says into one line."""
    try:
        yield
    except (DeparaError, BrokenPipeError):
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeparaError(
            f"{name}: cannot write there ({reason}); name a file in an existing folder"
        ) from error


def _mode(path: str) -> int | None:
    """Kind and permissions of what the path leads to, None if there is nothing yet."""
    if not os.path.basename(path):
        raise OSError(None, "it names no file")
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _is_stream(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _written_in_place(path: str, mode: int | None) -> bool:
    return mode is not None and (_is_stream(mode) or os.path.abspath(path).startswith(OPEN_FILES))


def _temporary(target: str) -> tuple[int, str]:
    """A new empty file beside the target, with the permissions that the umask leaves."""
    name = os.path.join(os.path.dirname(target), f".depara-{uuid.uuid4().hex}.tmp")
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), name
