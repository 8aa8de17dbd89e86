"""For which platform a program is being made: what every choice between two forms asks."""

import contextlib
from collections.abc import Iterator

import jax

from depara_jax.errors import UnknownNameError

__all__ = ["PLATFORMS", "made_for", "platform"]

PLATFORMS = ("cpu", "cuda", "gpu", "rocm", "tpu")  # JAX's names

# Part of the keys of JAX's caches of traced and compiled programs, so that a program made for
# another platform is never taken for one of this machine's, nor the other way about.
_told = jax.make_user_context(None)


def platform() -> str:
    """The platform of the program being made: what `made_for` says, else JAX's default backend.

    Programs are written in one form or another when they are traced, so ask there, not at import.
    """
    return _told.value or jax.default_backend()


@contextlib.contextmanager
def made_for(name: str) -> Iterator[None]:
    """Programs traced inside this context, by this thread, take the forms for that platform.

    Together with `jax.export` or `jax.jit(...).trace(...).lower(lowering_platforms=...)` it makes a
    TPU's program on a machine without one. It moves nothing: what runs inside still runs on JAX's
    default device.

    Args:
      name: one of `PLATFORMS`.

    Raises:
      UnknownNameError: another.

    Example:
      >>> with made_for("tpu"):
      ...     platform()
      'tpu'
    """
    if name not in PLATFORMS:
        raise UnknownNameError("platform", name, PLATFORMS)
    with _told(name):
        yield
