"""The file: opening it, refusing what is not ours, transactions, and the lock between runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from algotrade.clock import monotonic, sleep
from algotrade.errors import DiskError, LedgerError, LockedError, SettingsError, shown
from algotrade.store.chain import seal
from algotrade.store.schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlite_utils.db import Database

BUSY_SECONDS = 30.0
_TURN_SECONDS = 0.002
STORE_ERRORS = (sqlite3.Error, OSError)  # for those that do not know SQLite
_RUN_DIGESTS = 6  # the schema since which kept runs have a digest
_SMALL = ("accounts", "settled", "meta", "halts", "moved")
_GROWING = ("ledger", "orders", "order_events", "marks")
_GROWN = 4_000  # rows of them; a check of so many takes some 5 ms
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -65536",
    "PRAGMA recursive_triggers = ON",
)


def open_store(path: Path, *, wait_s: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open an existing store; a missing, foreign, older or newer file is an error.

    wait_s: how long this connection waits for other runs.
    """
    if not path.is_file():
        raise LedgerError(
            f"no store at {path}", hint="algotrade fetch AAPL creates one; or name it with --home"
        )
    db = connect(path, "rw", wait_s=wait_s)
    try:
        check_ours(db, path)
        for pragma in _PRAGMAS:
            db.execute(pragma)
    except BaseException:
        db.close()
        raise
    return db


def create_store(path: Path) -> sqlite3.Connection:
    """Open the store, creating and migrating it where needed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and _version_of(path) == VERSION:
        return open_store(path)
    with lock(path.with_suffix(".lock"), what="the store's schema"):
        if path.exists():
            _migrate(path)
        else:
            _make(path)
    return open_store(path)


def _make(path: Path) -> None:
    """Make a new store beside its place and move it there: it is whole or it is not there."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _migrate(fresh, create=True)
    fresh.replace(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def immediate(
    db: sqlite3.Connection, *, wait_s: float | None = None
) -> Iterator[sqlite3.Connection]:
    """Run one write transaction, sealed; all or nothing, never 'locked' after it has begun.

    wait_s: wait no longer than this for another run that is writing, from now on.
    """
    if wait_s is not None:
        db.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")
    _begin(db)
    try:
        yield db
        seal(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _begin(db: sqlite3.Connection) -> None:
    """Begin to write, asking often for a turn, as long as the connection's busy_timeout.

    SQLite asks ten times a second: among runs that write without pause one may never get its turn.
    """
    (wait_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    deadline = monotonic() + wait_ms / 1000
    db.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() >= deadline:
                    raise
            else:
                return
            sleep(_TURN_SECONDS)
    finally:
        db.execute(f"PRAGMA busy_timeout = {wait_ms}")


@contextlib.contextmanager
def reading(db: sqlite3.Connection) -> Iterator[None]:
    """See one moment of the store throughout, in the caller's transaction if there is one."""
    is_ours = not db.in_transaction
    if is_ours:
        db.execute("BEGIN")
    try:
        yield
    finally:
        if is_ours and db.in_transaction:
            db.execute("COMMIT")


def check_tables(db: sqlite3.Connection) -> None:
    """Look for damage in the small tables of the journal; raise LedgerError.

    A journal that has grown, and decisions, are left to seals and `ledger verify`: that would take
    longer than the command. Bars are left to `data check`.
    """
    (grown,) = db.execute("SELECT coalesce(max(n), 0) FROM trail").fetchone()
    for table in _SMALL if grown > _GROWN else (*_SMALL, *_GROWING):
        found = db.execute(f"PRAGMA quick_check({table})").fetchone()[0]
        if found != "ok":
            raise LedgerError(
                f"table {table} is damaged: {shown(found)}", hint="algotrade restore FILE"
            )


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's own errors into ours: full disk, corruption, another run at work."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except UnicodeDecodeError as error:
        raise LedgerError(
            f"{path} is not a readable store: garbled text", hint="algotrade restore FILE"
        ) from error
    except OSError as error:
        raise DiskError(
            f"{error.filename or path}: {error.strerror or error}", hint="check disk and rights"
        ) from error


@contextlib.contextmanager
def lock(path: Path, *, what: str, wait_s: float = BUSY_SECONDS) -> Iterator[None]:
    """Hold the lock file; the kernel frees it whatever happens to the process."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise LockedError(
                        f"another run holds {what} (waited {wait_s:g} s)",
                        hint="try again when it has ended",
                    ) from None
                sleep(0.02)
        yield
    finally:
        os.close(handle)


def connect(path: Path, mode: str, *, wait_s: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Connect to a file in a mode of SQLite's URIs, `rw` for example; nothing is checked."""
    quoted = path.resolve().as_uri()
    return sqlite3.connect(f"{quoted}?mode={mode}", uri=True, timeout=wait_s, isolation_level=None)


def _connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    return connect(path, "rwc" if create else "rw")


def _version_of(path: Path) -> int:
    """Give the schema's version of a file that is ours; any other, an empty one too, is refused."""
    with contextlib.closing(_connect(path)) as db:
        return _checked_version(db, path)


def _is_blank(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()


def check_ours(db: sqlite3.Connection, path: Path) -> None:
    """Raise where the file is not a store of ours, or of another schema than this program's."""
    version = _checked_version(db, path)
    if version < VERSION:
        raise SettingsError(
            f"the store {path} has schema {version}, this program needs {VERSION}",
            hint="algotrade init brings it up to date",
        )


def _checked_version(db: sqlite3.Connection, path: Path) -> int:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerError(
            f"{path} is not a store of algotrade", hint="name the right home with --home"
        )
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise SettingsError(
            f"the store {path} has schema {version}, newer than this program's {VERSION}",
            hint="update algotrade",
        )
    return version


def _migrate(path: Path, *, create: bool = False) -> None:
    """Bring the file up to date in one transaction; a file with foreign content is refused."""
    import sqlite_utils

    with contextlib.closing(_connect(path, create=create)) as db:
        path.chmod(0o600)
        with immediate(db):
            done = 0 if create and _is_blank(db) else _checked_version(db, path)
            migrations = sqlite_utils.Migrations("algotrade")
            for number, statements in enumerate(MIGRATIONS, start=1):
                migrations(name=f"{number:04d}")(_runner(statements()))
            migrations.apply(sqlite_utils.Database(db, use_counts_table=False))
            if done < VERSION:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
                if VERSION >= _RUN_DIGESTS:
                    from algotrade.store.runs import digest_older_runs

                    digest_older_runs(db)


def _runner(script: str) -> Callable[[Database], None]:
    def run(database: Database) -> None:
        for statement in statements_of(script):
            database.conn.execute(statement)

    return run


def statements_of(script: str) -> list[str]:
    """Split a script into statements; executescript would commit the open transaction."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current.strip())
            current = ""
    return [statement for statement in statements if statement]


_DISK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_GARBLED = ("no such table", "no such column", "Could not decode to UTF-8", "malformed")


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LockedError(f"another run is writing to {path}", hint="try again when it has ended")
    if code in _DISK:
        return DiskError(
            f"the store {path} cannot be written: {error}", hint="check disk and rights"
        )
    if code in _CORRUPT or str(error).startswith(_GARBLED):
        return LedgerError(
            f"{path} is not a readable store: {error}", hint="algotrade restore FILE"
        )
    return error
