"""The errors that a user can cause. Each names the input, what was expected, and what to do.

The command line turns every `DeparaError` into one line and exit code 2; anything else is a bug of
ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable

__all__ = ["DeparaError", "DegenerateError", "UnknownNameError"]


class DeparaError(ValueError):
    """Bad input: a file, a name, a shape or a value that the library cannot use."""


class DegenerateError(DeparaError):
    """Input that is well formed but for which the quantity asked for is undefined."""


class UnknownNameError(DeparaError):
    """A name that is not among the known ones; the message offers the near ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = ""):
        known = list(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            answer = "did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif len(known) <= 40:
            answer = "known: " + (", ".join(known) or "none")
        else:
            answer = f"known: {', '.join(known[:40])}, and {len(known) - 40} more"
        super().__init__(f"unknown {kind} {name!r}; {answer}" + (f" ({hint})" if hint else ""))
        self.kind, self.name, self.near = kind, name, tuple(near)
