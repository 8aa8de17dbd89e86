"""`depara`: parsing, and the frame that every verb runs in.

A verb is a module with `add_arguments(parser)` and `run(args, console) -> result`: it shows its
tables on `console` and returns a dictionary of plain values. This frame adds `--json`, writes the
result there, and turns a `DeparaError` into one line and exit code 2. A verb whose result may be a
failure has `exit_code(result)` too. What a verb puts under `provenance` (recipe, probe set,
networks, input files) the frame completes with versions, devices, command and times.
"""

import argparse
import importlib
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from depara_jax import __version__
from depara_jax.compilation import keep_compiled_programs
from depara_jax.errors import DeparaError
from depara_jax.files import check_writable, write_atomically

__all__ = ["VERBS", "entry_point", "main"]


class Verb(NamedTuple):
    """A verb's module (imported when it is used, so that `--help` stays fast) and its help line."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "demo": Verb("depara_jax.cli.demo", "model and layer selection on the packaged zoo"),
    "models": Verb("depara_jax.cli.models", "list the networks that can be named"),
    "graph": Verb("depara_jax.cli.graph", "build one model's deep attribution graph"),
    "rank-models": Verb("depara_jax.cli.rank_models", "which network to transfer from"),
    "rank-layers": Verb("depara_jax.cli.rank_layers", "which layer of a network to transfer from"),
    "estimate": Verb("depara_jax.cli.estimate", "other transferability estimators on features"),
    "evaluate": Verb("depara_jax.cli.evaluate", "score a similarity matrix against the truth"),
    "compare": Verb("depara_jax.cli.compare", "two rankings side by side, if they are comparable"),
    "sweep": Verb("depara_jax.cli.sweep", "graphs of many models into a store, survivably"),
    "store": Verb("depara_jax.cli.store", "what a store of graphs holds, and whether it is sound"),
    "index": Verb("depara_jax.cli.index", "the most similar of many stored networks"),
    "plot": Verb("depara_jax.cli.plot", "draw the papers' figures from files of numbers"),
}


def main(argv: Sequence[str] | None = None, *, keep_programs: bool = False) -> int:
    """Runs one verb; returns the exit code (0, 2 for bad input, what the verb says).

    Args:
      argv: arguments without the program's name; by default the command line's.
      keep_programs: keep compiled programs between runs, see `keep_compiled_programs`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if keep_programs:
        keep_compiled_programs()
    parser = _parser(argv)
    args = parser.parse_args(argv)
    if args.verb is None:
        parser.print_help(sys.stderr)
        return 2
    from rich.console import Console

    started = time.monotonic()
    args.command = shlex.join(["depara", *argv])
    # With `--json -` stdout holds JSON alone, so that a pipe can read it.
    # Names of files and networks are shown as they are, brackets and colons too.
    console = Console(stderr=args.json == "-", highlight=False, markup=False, emoji=False)
    try:
        if args.json not in (None, "-"):
            check_writable(args.json, "--json")
        verb = importlib.import_module(VERBS[args.verb].module)
        result = verb.run(args, console)
        if args.json is not None:
            write_json(with_provenance(result, args.command, started), args.json)
    except DeparaError as error:
        sys.stderr.write(f"depara {args.verb}: {' '.join(str(error).split())}\n")
        return 2
    except BrokenPipeError:
        # The reader of the pipe has what it wanted (`depara models | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return verb.exit_code(result) if hasattr(verb, "exit_code") else 0


def entry_point() -> None:
    """The console script."""
    # Only here: who calls `main` in a process of their own has their own settings of JAX.
    sys.exit(main(keep_programs=True))


class _Parser(argparse.ArgumentParser):
    """Bad options are answered with one line, as all bad input; sub-parsers inherit this."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where help is, and exits with 2."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: {line} (see {self.prog} --help)\n")


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="depara",
        description="Which pretrained network, and which of its layers, to transfer from: "
        "deep attribution graphs from a few hundred unlabelled images.",
    )
    parser.add_argument("--version", action="version", version=f"depara_jax {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, verb in VERBS.items():
        child = verbs.add_parser(
            name,
            help=verb.help,
            description=verb.help[0].upper() + verb.help[1:] + ".",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if name in argv:
            importlib.import_module(verb.module).add_arguments(child)
        child.add_argument(
            "--json", metavar="FILE|-",
            help="also write the result as JSON; with -, to stdout, which then holds it alone",
        )  # fmt: skip
    return parser


def with_provenance(result: dict[str, Any], command: str, started: float) -> dict[str, Any]:
    """A verb's result with its provenance made whole; `started` is by `time.monotonic()`."""
    from depara_jax.store.provenance import provenance

    seconds = round(time.monotonic() - started, 3)
    known = {"command": command, "seconds": seconds} | result.get("provenance", {})
    return result | {"provenance": provenance(known)}


def write_json(result: dict[str, Any], target: str) -> None:
    """Writes strict JSON (NaN is refused) to stdout or, all at once, to a file."""
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_atomically(target, lambda file: file.write(text.encode()))
