"""Room on the disk: a reserve that is given up so that what was sent already can be written down.

A full disk must not keep the ledger from learning what became of an order. The reserve lies beside
the store; the write that needs it frees it, and new orders are refused until it is back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESERVE_BYTES = 2**20
ENOUGH_BYTES = 64 * 2**20  # less than this is too little for new orders
Made = TypeVar("Made")


class DiskState(NamedTuple):
    """Bytes that are free where the store lies, and whether the reserve is there, whole."""

    free: int
    reserve: bool

    @property
    def enough(self) -> bool:
        """Tell whether there is room for new orders."""
        return self.reserve and self.free >= ENOUGH_BYTES


def reserve_file(store: Path) -> Path:
    """Give the path of the reserve."""
    return store.with_name("reserve")


def look_at_disk(store: Path) -> DiskState:
    """Look at the room beside the store."""
    found = os.statvfs(store.parent)
    try:
        size = reserve_file(store).stat().st_size
    except FileNotFoundError:
        size = 0
    return DiskState(found.f_bavail * found.f_frsize, size >= RESERVE_BYTES)


def keep_reserve(store: Path) -> None:
    """Make the reserve where it is missing and there is room; a disk without room is left alone."""
    state = look_at_disk(store)
    if state.reserve or state.free < ENOUGH_BYTES:
        return
    path = reserve_file(store)
    with contextlib.suppress(OSError):  # read-only, or full after all: `look_at_disk` will tell
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, RESERVE_BYTES)
            os.fsync(handle)
        finally:
            os.close(handle)


def write_at_any_cost(store: Path, write: Callable[[], Made]) -> Made:
    """Write what must be known: a fill, a halt, the outcome of an order that was sent.

    Where the disk is full the reserve is freed and the write is tried once more; `write` is a whole
    transaction, or opens the store. An error of the disk itself is never tried again.
    """
    try:
        return write()
    except sqlite3.OperationalError as error:
        if not is_full(error) or not free_reserve(store):
            raise
    return write()


def is_full(error: sqlite3.OperationalError) -> bool:
    """Tell whether there was no room, be it for the index of the log that opening makes."""
    code = error.sqlite_errorcode
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def free_reserve(store: Path) -> bool:
    """Give up the reserve; tell whether it was there."""
    try:
        reserve_file(store).unlink()
    except OSError:
        return False
    return True
