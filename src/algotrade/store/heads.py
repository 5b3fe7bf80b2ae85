"""The newest seal that a home has seen, in a small file beside the store.

A store that was put back, or that lost its log, is older than this file; a store that is newer is
what a kill between a commit and this file leaves behind, and is fine.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from algotrade.errors import LedgerError
from algotrade.store.chain import Head, check_all, check_tail, head
from algotrade.store.database import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def watched(db: sqlite3.Connection, store: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Check the newest seal before anything rests on the store; note the newest one afterwards.

    Raises LedgerError where the last commit, or what may change in place, was changed from outside,
    and where the store is older than the note. Without a note, every seal is checked.
    """
    seen = _checked(db, store, say)
    try:
        yield
    finally:
        _note(db, store, seen, say)


def _checked(db: sqlite3.Connection, store: Path, say: Callable[[str], None]) -> Head | None:
    seen = read_head(store)  # before the store is read: that one may only be newer
    with reading(db):
        check_tail(db, seen)
        newest = head(db)
        if seen is None and newest is not None and newest.seq > 1:
            say(f"{heads_file(store)} is missing: checking every commit of the store instead")
            check_all(db)
    return seen


def _note(
    db: sqlite3.Connection, store: Path, seen: Head | None, say: Callable[[str], None]
) -> None:
    """Write the note where it is out of date; a commit stands whether this succeeds or not."""
    try:
        newest = None if db.in_transaction else head(db)
        if newest is not None and newest != seen:
            write_head(store, newest)
    except (sqlite3.Error, OSError) as error:
        say(f"{heads_file(store)} cannot be written: {error}")


def heads_file(store: Path) -> Path:
    """Give the path of the file."""
    return store.with_name("heads")


def read_head(store: Path) -> Head | None:
    """Give what the file says, or None where there is no file; LedgerError where it is garbled."""
    path = heads_file(store)
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except ValueError:
        text = ""
    name, _, rest = text.strip().partition(" ")
    seq, _, digest = rest.partition(" ")
    if name != "store" or not seq.isdigit() or len(digest) != 64:
        raise LedgerError(
            f"{path} cannot be read", hint="algotrade ledger verify; then remove this file"
        )
    return Head(int(seq), digest)


def write_head(store: Path, head: Head) -> None:
    """Note the newest seal, durably and at once; what is older than the note changes nothing."""
    path = heads_file(store)
    partial = path.with_name(f"heads.{os.getpid()}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, f"store {head.seq} {head.hash}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    partial.replace(path)
