"""`depara store`: what a store holds, whether it is sound, and what can go."""

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

import depara_jax
from depara_jax.errors import DeparaError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "action", choices=("ls", "verify", "gc"),
        help="ls: list the artefacts; verify: read every byte (exit code 3 if any is damaged); "
        "gc: remove what writers that died have left",
    )  # fmt: skip
    parser.add_argument("store", help="the folder of a store, or gs://BUCKET/FOLDER")
    parser.add_argument("--damaged", action="store_true", help="gc: also damaged artefacts")
    parser.add_argument(
        "--other-code", action="store_true", help="gc: also those made by other versions of code"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="gc: say what would be removed, remove nothing"
    )
    parser.add_argument(
        "--no-writers", action="store_true",
        help="gc: nobody is writing; object stores need this promise, for they have no locks",
    )  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Lists, verifies or cleans the store."""
    options = ("damaged", "other_code", "dry_run", "no_writers")
    given = [f"--{name.replace('_', '-')}" for name in options if getattr(args, name)]
    if given and args.action != "gc":
        raise DeparaError(f"{', '.join(given)} serves `depara store gc`, not {args.action}")
    store = depara_jax.store.Store(args.store)
    return {"ls": _ls, "verify": _verify, "gc": _gc}[args.action](store, args, console)


def exit_code(result: dict[str, Any]) -> int:
    """3 if something in the store is damaged."""
    return 3 if result.get("damaged") else 0


def _ls(store: Any, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    rows, damaged = [], []
    for address in store.addresses():
        try:
            record = store.record(address)
        except depara_jax.store.DamagedArtefactError as error:
            damaged.append({"address": address, "reason": str(error)})
            continue
        if record is not None:
            rows.append(_row(address, record))
    table = Table(caption=f"{len(rows)} artefacts in {store.root}")
    for column in ("address", "kind", "model", "layer", "probe", "shapes", "code"):
        table.add_column(column, overflow="fold")
    for row in rows:
        shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in row["shapes"].items())
        cells = [row["address"][:12], row["kind"], row["model"], row["layer"], row["probe"][:12]]
        table.add_row(*cells, shapes, row["code"])
    console.print(table)
    for entry in damaged:
        console.print(entry["reason"])
    return {"store": str(store.root), "artefacts": rows, "damaged": damaged}


def _row(address: str, record: dict[str, Any]) -> dict[str, Any]:
    key, info = record["key"], record["info"]
    return {
        "address": address,
        "kind": key["kind"],
        "model": info.get("model", ""),
        "layer": key["layer"],
        "recipe": info.get("recipe", {}).get("name"),
        "probe": key["probe"],
        "shapes": {name: entry["shape"] for name, entry in record["arrays"].items()},
        "content": record["content"],
        "code": key["code"],
        "provenance": record["provenance"],
    }


def _verify(store: Any, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    sound, damaged = depara_jax.store.verify_store(store)
    console.print(f"{sound} artefacts sound, {len(damaged)} damaged")
    for reason in damaged.values():
        console.print(reason)
    entries = [{"address": address, "reason": reason} for address, reason in damaged.items()]
    return {"store": str(store.root), "sound": sound, "damaged": entries}


def _gc(store: Any, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    removed = depara_jax.store.collect_garbage(
        store, damaged=args.damaged, other_code=args.other_code, dry_run=args.dry_run,
        no_writers=args.no_writers,
    )  # fmt: skip
    for path, why in removed:
        console.print(f"{'would remove' if args.dry_run else 'removed'} {path}: {why}")
    console.print(f"{len(removed)} {'to remove' if args.dry_run else 'removed'}")
    entries = [{"path": path, "reason": why} for path, why in removed]
    return {"store": str(store.root), "dry_run": args.dry_run, "removed": entries}
