"""What several verbs share: options, loading with progress, tables."""

import argparse
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import depara_jax
from depara_jax.errors import DeparaError
from depara_jax.recipe import RECIPES, Recipe, recipe_named

TERMS = ("score", "node", "edge")


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
    """Options of zoo, probe set and recipe."""
    add_zoo_argument(parser)
    parser.add_argument(
        "--probe",
        default="photographs:probe[:200]",
        help="photographs[:SPLIT][[:N]], tfds:NAME:SPLIT[[:N]], an image folder, a list file "
        "(.txt), or an array file (.npy, .npz)",
    )
    parser.add_argument("--images", type=int, help="take this many probe images")
    parser.add_argument("--seed", type=int, help="shuffle before taking --images")
    parser.add_argument("--recipe", default="default", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--lam", type=float, help="weight of the edge term instead of the recipe's")
    parser.add_argument("--grid", type=int, help="resize attribution maps to GRID x GRID pixels")
    parser.add_argument("--batch-size", type=int, help="images a step")
    parser.add_argument(
        "--memory-limit", metavar="SIZE",
        help="what the work may take beside weights and results, such as 800MB or 2GB: fewer "
        "images a step, features in several passes",
    )  # fmt: skip


def read_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the options name."""
    recipe = recipe_named(args.recipe, lam=args.lam)
    return recipe if args.grid is None else recipe.replace(grid=args.grid)


def walk_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `depara_jax.walk.Walk` takes of the options.

    Raises:
      DeparaError: a size that cannot be read.
    """
    limit = args.memory_limit
    size = None if limit is None else read_size("--memory-limit", limit)
    return {"batch_size": args.batch_size, "memory_limit": size}


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


def read_probe(args: argparse.Namespace) -> "depara_jax.Probe":
    """The probe set that the options name."""
    if args.batch_size is not None and args.batch_size < 1:
        raise DeparaError(f"--batch-size must be at least 1, got {args.batch_size}")
    return depara_jax.load_probe(args.probe, count=args.images, seed=args.seed)


@contextlib.contextmanager
def progress_bar(console: Console, label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work of known length; gives what `progress=` takes. Gone when the work is done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    # A log file or a pipe gets no bar.
    options: dict = {"console": console, "transient": True, "disable": not console.is_terminal}
    with Progress(*columns, TimeElapsedColumn(), **options) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_ranking(console: Console, ranking: "depara_jax.Ranking", title: str) -> None:
    """The table of a ranking, best first."""
    rows = [[row[key] for key in ("rank", ranking.kind, *TERMS)] for row in ranking.rows()]
    show_table(console, ranking, title, ("rank", ranking.kind, *TERMS), rows)


def show_table(
    console: Console,
    ranking: "depara_jax.Ranking",
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """A ranking as a table, with notes on ties, zero maps and a common grid below."""
    probe = ranking.probe
    caption = f"{probe['images']} images of {probe['source']}, recipe {ranking.recipe.name}"
    table = Table(title=title, caption=caption, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == ranking.kind else "right")
    for row in rows:
        cells = ["-" if cell is None else cell for cell in row]
        table.add_row(*(f"{c:+.4f}" if isinstance(c, float) else str(c) for c in cells))
    console.print(table)
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
