"""Small records of the store: sessions, models, accounts, what is settled, and the sample clock."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

SAMPLE_CLOCK = "sample_clock"


class TrainingRecord(NamedTuple):
    """A saved model as the store knows it; the hash is of its card."""

    model_id: str
    source: str
    trained_at: int
    card_sha256: str


class AccountRecord(NamedTuple):
    """An account and the source of market data it trades on."""

    account: str
    source: str
    opened_at: int


def get_meta(db: sqlite3.Connection, name: str) -> str | None:
    """Give a named value, or None."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(db: sqlite3.Connection, name: str, value: str) -> None:
    """Set a named value."""
    db.execute(
        "INSERT INTO meta VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def save_sessions(db: sqlite3.Connection, sessions: Iterable[tuple[int, int, int]]) -> None:
    """Replace the cached exchange calendar by (day, opens, closes) rows."""
    db.execute("DELETE FROM sessions")
    db.executemany("INSERT INTO sessions VALUES (?,?,?)", sessions)


def load_sessions(
    db: sqlite3.Connection, *, from_day: int = 0
) -> tuple[array[int], array[int], array[int]]:
    """Load the cached exchange calendar from a day on as columns: day, opens, closes."""
    rows = db.execute(
        "SELECT day, opens, closes FROM sessions WHERE day >= ? ORDER BY day", (from_day,)
    ).fetchall()
    return (
        array("q", [row[0] for row in rows]),
        array("q", [row[1] for row in rows]),
        array("q", [row[2] for row in rows]),
    )


def save_training(db: sqlite3.Connection, record: TrainingRecord) -> None:
    """Register a training; the same model may be the outcome of several."""
    db.execute(
        "INSERT INTO trainings (model_id, source, trained_at, card_sha256) VALUES (?,?,?,?)", record
    )


def trainings(db: sqlite3.Connection) -> list[TrainingRecord]:
    """Give the registered trainings, newest first."""
    rows = db.execute(
        "SELECT model_id, source, trained_at, card_sha256 FROM trainings"
        " ORDER BY trained_at DESC, training_id DESC"
    )
    return [TrainingRecord(*row) for row in rows]


def open_account(db: sqlite3.Connection, record: AccountRecord) -> bool:
    """Register an account; tell whether it is new."""
    cursor = db.execute("INSERT OR IGNORE INTO accounts VALUES (?,?,?)", record)
    return cursor.rowcount == 1


def accounts(db: sqlite3.Connection) -> list[AccountRecord]:
    """Give all accounts by name."""
    rows = db.execute("SELECT account, source, opened_at FROM accounts ORDER BY account")
    return [AccountRecord(*row) for row in rows]


def settled_until(db: sqlite3.Connection, account: str) -> dict[str, int]:
    """Give for each symbol the ts_close of the newest bar the account has seen."""
    rows = db.execute("SELECT symbol, ts FROM settled WHERE account = ?", (account,))
    return {symbol: ts for symbol, ts in rows}  # noqa: C416  dict() of a cursor loses the types


def set_settled(db: sqlite3.Connection, account: str, symbol: str, ts: int) -> None:
    """Note the newest bar the account has seen of a symbol."""
    db.execute(
        "INSERT INTO settled VALUES (?,?,?) ON CONFLICT (account, symbol)"
        " DO UPDATE SET ts = excluded.ts",
        (account, symbol, ts),
    )
