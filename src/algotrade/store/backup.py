"""Backups: a whole and checked copy of the store beside its manifest, and the way back.

A copy is made by `VACUUM INTO` (one read transaction, so it is consistent under load), checked as
`ledger verify` checks, made durable, and only then given its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

from algotrade.errors import AlgotradeError, DiskError, LedgerError
from algotrade.record import NamedTuple
from algotrade.store import chain
from algotrade.store.database import create_store, open_store
from algotrade.store.ledger_check import check_store
from algotrade.store.schema import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 2**20


class Manifest(NamedTuple):
    """What a backup is: its bytes, and the newest commit in it."""

    sha256: str
    size: int
    schema: int
    seq: int
    hash: str
    made_at: int


def manifest_file(backup: Path) -> Path:
    """Give the path of a backup's manifest."""
    return backup.with_name(f"{backup.name}.json")


def write_backup(db: sqlite3.Connection, target: Path, *, made_at: int) -> Manifest:
    """Copy the store to `target`, which must not be there; raise LedgerError if it is not sound."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    try:
        db.execute("VACUUM INTO ?", (str(partial),))
        partial.chmod(0o600)
        with _quietly(partial) as copy:
            for _ in check_store(copy):
                pass
            newest = chain.head(copy) or chain.Head(0, "")
        _sync(partial)
        digest = _sha256(partial)
        made = Manifest(digest, partial.stat().st_size, VERSION, *newest, made_at)
        _write_manifest(manifest_file(target), made)
        partial.replace(target)
        _sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return made


def read_manifest(backup: Path) -> Manifest | None:
    """Give what the manifest says, or None where there is none."""
    path = manifest_file(backup)
    if not path.is_file():
        return None
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise LedgerError(f"{path} is no manifest: {error}", hint="another backup") from error


@contextlib.contextmanager
def checked_copy(backup: Path, place: Path) -> Iterator[sqlite3.Connection]:
    """Copy a backup to `place`, bring its schema up to date, and check all of it."""
    manifest = read_manifest(backup)
    if manifest is not None and _sha256(backup) != manifest.sha256:
        raise LedgerError(
            f"{backup} is not the file that its manifest tells of", hint="another backup"
        )
    for path in (place, *_beside(place)):
        path.unlink(missing_ok=True)
    shutil.copyfile(backup, place)
    place.chmod(0o600)
    with contextlib.closing(create_store(place)) as db:
        for _ in check_store(db):
            pass
        yield db


def set_aside(store: Path, folder: Path) -> None:
    """Copy the store as it lies there, sound or not, with its log, into a folder."""
    folder.mkdir(parents=True, exist_ok=False, mode=0o700)
    for path in (store, *_beside(store)):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
            _sync(folder / path.name)


def put_in_place(copy: sqlite3.Connection, path: Path, store: Path) -> None:
    """Make the store what the checked copy is.

    A store that opens is overwritten in one transaction, so that whoever has it open sees the old
    or the new; what does not open is replaced as a file, its log first.
    """
    try:
        db = open_store(store)
    except (AlgotradeError, sqlite3.Error):
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for old in (store, *_beside(store)):
            old.unlink(missing_ok=True)
        _sync(path)
        path.replace(store)
        _sync(store.parent)
        return
    with contextlib.closing(db):
        copy.backup(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def remove_oldest(folder: Path, pattern: str, keep: int) -> list[Path]:
    """Remove the backups but for the newest `keep`, by name; give those removed."""
    found = sorted(folder.glob(pattern))
    old = found[: max(0, len(found) - keep)]
    for path in old:
        path.unlink()
        manifest_file(path).unlink(missing_ok=True)
    return old


@contextlib.contextmanager
def _quietly(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy that nobody else knows, without leaving a log beside it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def _write_manifest(path: Path, made: Manifest) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(made._asdict(), indent=2) + "\n", encoding="utf-8")
    _sync(partial)
    partial.replace(path)


def _beside(store: Path) -> tuple[Path, Path]:
    return store.with_name(f"{store.name}-wal"), store.with_name(f"{store.name}-shm")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
