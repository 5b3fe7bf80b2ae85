"""Watching: heartbeats and what a watch saw; a connection that never waits long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3


class Heartbeat(NamedTuple):
    """When a process of some kind (watch, check, follow) last finished a look, and what it saw."""

    account: str
    what: str
    ts: int
    pid: int
    level: str


class Watched(NamedTuple):
    """One minute of a watch; money in micro-dollars, losses in bps, None where unknown."""

    account: str
    ts: int
    level: str
    feed: str
    equity: int | None
    profit: int | None
    daily_loss: int | None
    drawdown: int | None
    oldest_s: int | None
    causes: str


def wait_at_most(db: sqlite3.Connection, seconds: float) -> None:
    """Wait no longer than this for other runs, from now on."""
    db.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def changes(db: sqlite3.Connection) -> int:
    """Give a number that is another one once another connection has committed."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def beat(db: sqlite3.Connection, heartbeat: Heartbeat) -> None:
    """Note a heartbeat; time that goes back is noted, too: it was the last."""
    db.execute(
        "INSERT INTO heartbeats VALUES (?,?,?,?,?) ON CONFLICT (account, what)"
        " DO UPDATE SET ts = excluded.ts, pid = excluded.pid, level = excluded.level",
        heartbeat,
    )


def heartbeats(db: sqlite3.Connection, account: str) -> list[Heartbeat]:
    """Give the heartbeats of an account, the newest first."""
    rows = db.execute(
        "SELECT account, what, ts, pid, level FROM heartbeats WHERE account = ? ORDER BY ts DESC",
        (account,),
    )
    return [Heartbeat(*row) for row in rows]


def save_watched(db: sqlite3.Connection, row: Watched) -> None:
    """Add a minute to the history; a second row of the same instant is left out."""
    db.execute(
        "INSERT INTO watched SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10"
        " WHERE NOT EXISTS (SELECT 1 FROM watched WHERE account = ?1 AND ts = ?2)",
        row,
    )


def watched(db: sqlite3.Connection, account: str, *, last: int) -> list[Watched]:
    """Give the newest rows of the history, oldest first."""
    rows = db.execute(
        "SELECT account, ts, level, feed, equity, profit, daily_loss, drawdown, oldest_s, causes"
        " FROM watched WHERE account = ? ORDER BY ts DESC LIMIT ?",
        (account, last),
    ).fetchall()
    return [Watched(*row) for row in reversed(rows)]
