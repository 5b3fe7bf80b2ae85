"""Backup and restore: a checked copy of the store, and the way back to one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.clock import SystemClock
from algotrade.domain.times import iso
from algotrade.errors import AlgotradeError, InputError, LedgerError, shown
from algotrade.record import NamedTuple
from algotrade.store import backup as backup_store
from algotrade.store import chain, database, heads, records

if TYPE_CHECKING:
    import sqlite3

    from algotrade.config import Settings
    from algotrade.store.backup import Manifest
    from algotrade.workflows.context import Workspace

PATTERN = "algotrade-*.db"


class BackupResult(NamedTuple):
    """A backup that was made, and the older ones that were removed for it."""

    path: Path
    manifest: Manifest
    removed: tuple[Path, ...]


class RestoreResult(NamedTuple):
    """A backup that was put in place; `aside` holds what was there before."""

    path: Path
    head: chain.Head
    aside: Path | None


def backup(ws: Workspace, file: str | None) -> BackupResult:
    """Copy the store to a file, or into `backups/`, where the newest `backup.keep` are kept."""
    now = SystemClock().now()
    folder = ws.settings.home / "backups"
    stamp = "".join(letter for letter in iso(now) if letter.isalnum())
    target = Path(file).absolute() if file else folder / f"algotrade-{stamp}.db"
    if target.exists():
        raise InputError(f"{shown(str(target))} is there already", hint="name another file")
    if file and not target.parent.is_dir():
        raise InputError(f"no folder {shown(str(target.parent))}", hint="is its disk mounted?")
    made = backup_store.write_backup(ws.db, target, made_at=now)
    keep = ws.settings.number("backup.keep")
    removed = () if file or not keep else backup_store.remove_oldest(folder, PATTERN, keep)
    return BackupResult(target, made, tuple(removed))


def restore(settings: Settings, file: str, reason: str) -> RestoreResult:
    """Check a backup whole, set aside what is there, and put the backup in its place.

    A backup that lacks commits this home has seen, or its manifest, needs a reason, which is
    sealed in the store.
    """
    path, store = Path(file).absolute(), settings.store
    if not path.is_file():
        raise InputError(f"no backup at {shown(str(path))}", hint="algotrade restore FILE")
    if store.exists() and path.samefile(store):
        raise InputError(
            f"{shown(str(path))} is the store itself, and no backup of it",
            hint="algotrade backup makes one; algotrade restore FILE",
        )
    if backup_store.read_manifest(path) is None and not reason.strip():
        name = backup_store.manifest_file(path).name
        raise InputError(
            f"{path.name} has no manifest {name} beside it: nobody can tell whether it is whole",
            hint="bring both files; or --reason TEXT restores it all the same",
        )
    store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = store.with_name("restoring.db")
    with database.sqlite_errors(path), contextlib.ExitStack() as held:
        held.enter_context(database.lock(store.with_suffix(".lock"), what="the store"))
        held.callback(_remove, place)
        copy = held.enter_context(backup_store.checked_copy(path, place))
        for record in records.accounts(copy):
            name = f"{record.account.replace(':', '-')}.lock"
            held.enter_context(
                database.lock(store.with_name(name), what=f"account {record.account}")
            )
        lost = _lost(store, copy)
        if lost and not reason.strip():
            raise InputError(f"this backup {lost}", hint="--reason TEXT restores it all the same")
        aside = _set_aside(store)
        with database.immediate(copy):
            chain.seal(copy, note=f"restored {path.name}: {reason}".rstrip(": "))
        newest = chain.head(copy)
        assert newest is not None  # noqa: S101  it was made above
        backup_store.put_in_place(copy, place, store)
        heads.write_head(store, newest)
    return RestoreResult(path, newest, aside)


def _lost(store: Path, copy: sqlite3.Connection) -> str | None:
    """Tell which commits would be lost, as far as this home can know."""
    newest = chain.head(copy) or chain.Head(0, "")
    try:
        seen = heads.read_head(store)
    except LedgerError:
        return "may be older than what this home has seen (data/heads cannot be read)"
    known = [seen] if seen else []
    with (
        contextlib.suppress(AlgotradeError, *database.STORE_ERRORS),
        contextlib.closing(database.open_store(store)) as db,
    ):
        known += [found] if (found := chain.head(db)) else []
    for one in known:
        if not chain.has(copy, one):
            return f"ends at commit {newest.seq} and lacks commit {one.seq} of this home"
    return None


def _set_aside(store: Path) -> Path | None:
    if not store.exists():
        return None
    stamp = "".join(letter for letter in iso(SystemClock().now()) if letter.isalnum())
    folder = store.parent / f"replaced-{stamp}"
    number = 0
    while folder.exists():
        number += 1
        folder = store.parent / f"replaced-{stamp}-{number}"
    backup_store.set_aside(store, folder)
    return folder


def _remove(place: Path) -> None:
    for path in (place, *place.parent.glob(f"{place.name}-*")):
        path.unlink(missing_ok=True)
