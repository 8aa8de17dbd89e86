"""The frame of a study's command: options out of frozen dataclasses, progress, exit codes.

The options of a command are the fields of a frozen dataclass, and those fields of the study's
configuration that it lets a user change: types and defaults are the fields', help is what the
docstring's "Attributes:" say. (simple-parsing does this too, but reads `--targets A,B` as one name,
offers every field of nested configurations, and needs the defaults before it has seen `--quick`.)
"""

import argparse
import contextlib
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import docstring_parser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from depara_jax.errors import DeparaError

STOPPED = 130  # what shells give for SIGINT


# report(line, done, total, note="") moves a line of the display; the note stands behind its name.
Report = Callable[..., None]


def command(
    study: str,
    work: Callable[..., int | None],
    options: Any,
    argv: Sequence[str] | None = None,
    *,
    about: str,
    config: type | None = None,
    fields: Sequence[str] = (),
) -> int:
    """Parses and runs.

    Args:
      study: name of the study's folder.
      work: called as `work(options, console, **changes)`; may return an exit code.
      options: a frozen dataclass, of which an option is made of each field. A field's metadata go
        to `add_argument`.
      argv: arguments; those of the process by default.
      about: what --help says first.
      config: the study's configuration.
      fields: of the configuration, which may be changed: those that are come as `changes`.

    Returns:
      The exit code: what `work` gave, 0 for None, 2 for bad input, 130 when interrupted.
    """
    parser = _Parser(prog=f"python -m experiments.{study}.main", description=about)
    console = Console(highlight=False)
    try:
        _add_options(parser, options, [field.name for field in dataclasses.fields(options)])
        if config is not None:
            _add_options(parser, config, fields, changes=True)
        given = vars(parser.parse_args(argv))
        changes = {name: given.pop(name) for name in fields if name in given}
        return work(options(**given), console, **changes) or 0
    except DeparaError as error:
        sys.stderr.write(f"{study}: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{study}: stopped; what is finished is kept\n")
        return STOPPED


@contextlib.contextmanager
def progress(console: Console, *, keep: bool = True) -> Iterator[Report]:
    """A display of lines with bars; without `keep` a line goes when it is finished."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    lines: dict[str, Any] = {}
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=not keep) as bar:

        def report(line: str, done: int, total: int, note: str = "") -> None:
            if line not in lines:
                lines[line] = bar.add_task(line)
            gone = not keep and done >= total
            bar.update(
                lines[line], description=line + note, completed=done, total=total, visible=not gone
            )

        yield report


class _Parser(argparse.ArgumentParser):
    """Mistakes are one line, as those in files are."""

    def error(self, message: str) -> NoReturn:
        raise DeparaError(f"{message}; see --help")


def _add_options(
    parser: argparse.ArgumentParser, kind: Any, names: Sequence[str], *, changes: bool = False
) -> None:
    """An option for each of the fields; with `changes` one that is not given is absent."""
    hints = typing.get_type_hints(kind)
    said = {
        p.arg_name: p.description or "" for p in docstring_parser.parse(kind.__doc__ or "").params
    }
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name in names:
        field, text = known[name], " ".join(said.get(name, "").split()).rstrip(".")
        default = None if field.default is dataclasses.MISSING else field.default
        kwargs: dict[str, Any] = {"default": argparse.SUPPRESS if changes else default}
        if isinstance(default, bool):
            kwargs["action"] = "store_true"
        else:
            kwargs["required"] = field.default is dataclasses.MISSING and not changes
            kwargs |= reading(hints[name])
            if default is not None:
                shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
                text = f"{text} (default: {shown})"
        if "choices" in field.metadata:  # they are shown in its place
            kwargs.pop("metavar")
        kwargs |= {"help": text.replace("%", "%%"), **field.metadata}
        parser.add_argument(f"--{name.replace('_', '-')}", **kwargs)


def reading(hint: Any) -> dict[str, Any]:
    """How an option of that type is read."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return {"type": lambda text: _listed(text, kind), "metavar": "A,B"}
    metavars = {int: "N", float: "X", Path: "PATH"}
    return {"type": hint, "metavar": metavars.get(hint, "NAME")}


def _listed(text: str, kind: type) -> tuple[Any, ...]:
    """What stands between commas; nothing is an empty list."""
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} ({error})") from error
