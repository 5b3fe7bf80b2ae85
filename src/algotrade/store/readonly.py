"""The read-only door: a connection that cannot write, whatever SQL a person types through it."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING

from algotrade.errors import DiskError, InputError, LedgerError
from algotrade.record import NamedTuple
from algotrade.store.database import BUSY_SECONDS, check_ours, connect, immediate, open_store
from algotrade.store.disk import is_full

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
}
# pragmas that only tell, and those that do without a value: any other could open the door again
_ABOUT = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
_STATES = {"application_id", "user_version", "query_only"}
_NO_WRITING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


class Answer(NamedTuple):
    """What a query gave: names of its columns, rows, and whether more rows were left unread."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    cut: bool


def open_read_only(path: Path, *, say: Callable[[str], None]) -> sqlite3.Connection:
    """Open an existing store for reading; nothing can be written, attached or switched on.

    On a read-only file system the file is read as immutable, which `say` is told; that is refused
    (DiskError) where changes still lie in the write-ahead log, since they would be missed.
    """
    db = _read_only(path, say)
    try:
        for table in ("json_each", "json_tree"):  # they declare themselves at their first use
            db.execute(f"SELECT 1 FROM {table}('[]')").fetchall()
        db.execute("PRAGMA query_only = ON")
        db.set_authorizer(_authorize)
    except BaseException:
        db.close()
        raise
    return db


def open_to_read(
    path: Path, *, say: Callable[[str], None], wait_s: float = BUSY_SECONDS
) -> sqlite3.Connection:
    """Open an existing store for a command that only reads, on a read-only file system, too."""
    try:
        return open_store(path, wait_s=wait_s)
    except sqlite3.OperationalError as error:
        if not _cannot_write(error):
            raise
    return _read_only(path, say)


def note(db: sqlite3.Connection, write: Callable[[], None]) -> bool:
    """Write what a command that only reads notes on the way; tell whether it could be written.

    In a transaction that runs already it is a part of it.
    """
    if db.in_transaction:
        write()
        return True
    try:
        with immediate(db):
            write()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NO_WRITING:
            raise
        return False
    return True


def _read_only(path: Path, say: Callable[[str], None]) -> sqlite3.Connection:
    if not path.is_file():
        raise LedgerError(f"no store at {path}", hint="name the right home with --home")
    try:
        return _opened(path, "ro")
    except sqlite3.OperationalError as error:
        if not _cannot_write(error):
            raise
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise DiskError(
                f"{path} cannot be written here, and has changes in {log.name}",
                hint="make room; or copy both files to where you can write, and open the copy",
            ) from error
    db = _opened(path, "ro&immutable=1")
    say(f"{path} cannot be locked here: read as a file that nobody is writing")
    return db


def run_query(
    db: sqlite3.Connection, sql: str, parameters: Sequence[object] = (), *, limit: int | None = None
) -> Answer:
    """Run one statement of a person on a connection of `open_read_only`; at most `limit` rows.

    Raises InputError with SQLite's own words where the statement is wrong, or would write.
    """
    db.set_progress_handler(lambda: None, _STEPS)  # lets Python see signals in a long query
    try:
        cursor = db.execute(sql, parameters)
        rows = cursor.fetchall() if limit is None else list(islice(cursor, limit + 1))
    except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
        code = getattr(error, "sqlite_errorcode", 1) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code not in _WRONG:
            raise
        raise InputError(f"SQL: {error}", hint=_HINT) from error
    except sqlite3.DataError as error:
        raise InputError(f"SQL: {error}", hint=_HINT) from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_AUTH:
            raise
        raise InputError("SQL: only reading is allowed here", hint=_HINT) from error
    names = tuple(column[0] for column in cursor.description or ())
    cut = limit is not None and len(rows) > limit
    return Answer(names, rows[:limit] if cut else rows, cut)


_HINT = "one SELECT; the views are v_bars, v_orders, v_fills, v_decisions, v_equity"
_STEPS = 100_000
_WRONG = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_RANGE)


def _cannot_write(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in _NO_WRITING or is_full(error)


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    db = connect(path, mode)
    try:
        check_ours(db, path)  # the first read: a file that cannot be locked fails here
    except BaseException:
        db.close()
        raise
    return db


def _authorize(
    action: int, name: str | None, value: str | None, _database: str | None, _source: str | None
) -> int:
    tells = action == sqlite3.SQLITE_PRAGMA and (
        name in _ABOUT or (name in _STATES and value is None)
    )
    return sqlite3.SQLITE_OK if action in _ALLOWED or tells else sqlite3.SQLITE_DENY
