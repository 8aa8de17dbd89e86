"""What several verbs share: options, loading with progress, tables."""

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypedDict

from depara_jax.errors import DeparaError
from depara_jax.recipe import RECIPES, Recipe, recipe_named

if TYPE_CHECKING:
    from rich.console import Console

    from depara_jax.data import Probe
    from depara_jax.selection import Ranking

__all__ = [
    "add_action",
    "add_method_arguments",
    "add_zoo_argument",
    "heading",
    "progress_bar",
    "read_probe",
    "read_recipe",
    "read_size",
    "show_notes",
    "show_ranking",
    "split",
    "walk_options",
]


def add_zoo_argument(parser: argparse.ArgumentParser) -> None:
    """`--zoo`."""
    parser.add_argument(
        "--zoo",
        default="mini",
        help="a packaged zoo, a TOML manifest of your own, or a folder with a zoo.toml "
        "(docs/models.md)",
    )


def add_action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    """A sub-verb, with its own `--json`: the frame's would need to come before the sub-verb."""
    child = actions.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    child.add_argument(
        "--json", metavar="FILE|-", default=argparse.SUPPRESS, help="also write the result"
    )
    return child


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of probe set and recipe."""
    parser.add_argument(
        "--probe",
        default="photographs:probe[:200]",
        help="photographs[:SPLIT][[:N]], tfds:NAME:SPLIT[[:N]], an image folder, a list file "
        "(.txt), or an array file (.npy, .npz)",
    )
    parser.add_argument("--images", type=int, default=None, help="take this many probe images")
    parser.add_argument("--seed", type=int, default=None, help="shuffle before taking --images")
    parser.add_argument("--recipe", default="default", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument(
        "--lam", type=float, default=None, help="weight of the edge term instead of the recipe's"
    )
    parser.add_argument(
        "--grid", type=int, default=None, help="resize attribution maps to GRID x GRID pixels"
    )
    parser.add_argument("--batch-size", type=int, default=None, help="images a step")
    parser.add_argument(
        "--memory-limit", default=None, metavar="SIZE",
        help="what the work may take beside weights and results, such as 800MB or 2GB: fewer "
        "images a step, features in several passes",
    )  # fmt: skip


def read_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the options name."""
    recipe = recipe_named(args.recipe, lam=args.lam)
    return recipe if args.grid is None else recipe.replace(grid=args.grid)


class WalkOptions(TypedDict):
    """What `depara_jax.walk.Walk` takes of the options."""

    batch_size: int | None
    memory_limit: int | None


def walk_options(args: argparse.Namespace) -> WalkOptions:
    """Reads them.

    Raises:
      DeparaError: a size that cannot be read.
    """
    options = WalkOptions(batch_size=args.batch_size, memory_limit=None)
    if args.memory_limit is not None:
        options["memory_limit"] = read_size("--memory-limit", args.memory_limit)
    return options


def read_size(option: str, text: str) -> int:
    """Bytes of "800MB", "1.5 GB" or a plain number.

    Raises:
      DeparaError: anything else, or nothing above 0.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?)B?\s*", text, re.IGNORECASE)
    power = "kmgt".find(match.group(2).lower()) + 1 if match and match.group(2) else 0
    size = round(float(match.group(1)) * 1000**power) if match else 0
    if size < 1:
        raise DeparaError(f"{option} {text!r}: expected a size above 0 such as 800MB or 2GB")
    return size


def read_probe(args: argparse.Namespace) -> "Probe":
    """The probe set that the options name."""
    from depara_jax.data import load_probe

    if args.batch_size is not None and args.batch_size < 1:
        raise DeparaError(f"--batch-size must be at least 1, got {args.batch_size}")
    return load_probe(args.probe, count=args.images, seed=args.seed)


@contextlib.contextmanager
def progress_bar(console: "Console", label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work of known length; gives what `progress=` takes. Gone when the work is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    # A log file or a pipe gets no bar.
    options: dict = {"console": console, "transient": True, "disable": not console.is_terminal}
    with Progress(*columns, TimeElapsedColumn(), **options) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def heading(ranking: "Ranking") -> str:
    """One line that says what a ranking is of."""
    probe = ranking.probe
    return f"{probe['images']} images of {probe['source']}, recipe {ranking.recipe.name}"


def show_ranking(console: "Console", ranking: "Ranking", title: str) -> None:
    """The table of a ranking, with notes on ties, zero maps and a common grid."""
    from rich.table import Table

    table = Table(title=title, caption=heading(ranking), title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column(ranking.kind)
    for column in ("score", "node", "edge"):
        table.add_column(column, justify="right")
    for row in ranking.rows():
        numbers = [row[key] for key in ("score", "node", "edge")]
        shown = ["-" if number is None else f"{number:+.4f}" for number in numbers]
        table.add_row(str(row["rank"]), row[ranking.kind], *shown)
    console.print(table)
    show_notes(console, ranking)


def show_notes(console: "Console", ranking: "Ranking") -> None:
    """Lines under a ranking's table: ties, zero maps, a common grid."""
    for group in ranking.ties:
        console.print(f"tied: {', '.join(group)}")
    zeros = ranking.with_zero_maps
    if zeros and ranking.recipe.uses_nodes:
        listed = ", ".join(f"{name} {count}" for name, count in zeros.items())
        console.print(f"zero attribution maps (counted as cosine 0): {listed}")
    if ranking.recipe.grid is not None:
        console.print(f"attribution maps compared at {ranking.recipe.grid} x {ranking.recipe.grid}")


def split(text: str | None, option: str, *, what: str = "nothing") -> list[str] | None:
    """Names of a comma-separated option, None if it is not given.

    Raises:
      DeparaError: it is given and names nothing.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise DeparaError(
            f"{option} {text!r} names {what}; name at least one, with commas between them"
        )
    return names
