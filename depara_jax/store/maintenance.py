"""Looking after a store: what is damaged, what a dead writer has left."""

from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.store.artefacts import RECORD, DamagedArtefactError, Store, StoreError, _remove
from depara_jax.store.keys import code_version

__all__ = ["collect_garbage", "verify_store"]


def verify_store(store: Store) -> tuple[int, dict[str, str]]:
    """Reads every byte of every artefact.

    Returns:
      (how many are sound, {address: what is wrong with it}).
    """
    sound, damaged = 0, {}
    for address in store.addresses():
        try:
            sound += store.read(address) is not None  # None: removed while we looked
        except DamagedArtefactError as error:
            damaged[address] = str(error)
    return sound, damaged


def collect_garbage(
    store: Store,
    *,
    damaged: bool = False,
    other_code: bool = False,
    dry_run: bool = False,
    no_writers: bool = False,
) -> list[tuple[str, str]]:
    """Removes what no reader will use.

    That is data without a record, left by a writer that died; a living writer holds a lock, and its
    data stays. No file's age is looked at.

    Args:
      store: the store.
      damaged: also remove damaged artefacts (`verify_store` finds them; a sweep replaces those that
        it meets by itself).
      other_code: also remove artefacts made by other versions of the code.
      dry_run: remove nothing.
      no_writers: the caller knows that nobody is writing; object stores have no locks to tell.

    Returns:
      (path, why) of everything that was removed or would be.

    Raises:
      StoreError: an object store, without `no_writers`.
    """
    if not (store.is_local or no_writers or dry_run):
        raise StoreError(
            f"store {store.root}: there are no locks on an object store, so gc cannot tell a dead "
            "writer's data from a living one's; stop all sweeps on it and say --no-writers"
        )
    removed = []
    for folder in store.folders():
        lock = store.locks.held(f"artefact {folder.name}", wait=False)
        with store.explained(), lock as mine:
            if mine:
                removed += _collect(store, folder, damaged, other_code, dry_run)
    return removed


def _collect(
    store: Store, folder: Any, damaged: bool, other_code: bool, dry_run: bool
) -> list[tuple[str, str]]:
    """Cleans one artefact's folder."""
    why, keep = "", {RECORD}
    try:
        record = store.record(folder.name)
        keep |= {record["data"]} if record else set()
        if record and other_code and record["key"]["code"] != code_version():
            why = f"made by other code ({record['key']['code']})"
        elif record and damaged:
            store.read(folder.name)
    except DamagedArtefactError as error:
        if not damaged:
            return []
        why = str(error).partition("is damaged: ")[2] or "damaged"
    if why:
        if not dry_run:
            store.discard(folder.name)
        return [(folder.name, why)]
    rubbish = [path for path in folder.iterdir() if path.name not in keep]
    for path in rubbish if not dry_run else []:
        _remove(path)
        if path.exists():
            raise DeparaError(f"store {store.root}: cannot remove {path}; is it read-only?")
    return [(f"{folder.name}/{path.name}", "half-written") for path in rubbish]
