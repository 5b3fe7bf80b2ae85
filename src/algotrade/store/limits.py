"""What limits need of the store: how often was ordered, what was refused, changes of limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3


class Placed(NamedTuple):
    """An order that was placed on the running day."""

    symbol: str
    strategy: str
    side: str
    quantity: int
    placed_at: int


class LimitChange(NamedTuple):
    """A limit that was changed: texts as in the file, None where it stood at its default."""

    ts: int
    name: str
    was: str
    became: str
    raised: bool
    reason: str


def orders_since(db: sqlite3.Connection, account: str, since: int) -> list[Placed]:
    """Give the account's orders placed after an instant, oldest first."""
    rows = db.execute(
        "SELECT symbol, strategy, side, quantity, placed_at FROM orders"
        " WHERE account = ? AND placed_at > ? ORDER BY placed_at, key",
        (account, since),
    )
    return [Placed(*row) for row in rows]


def rate_breaches(db: sqlite3.Connection, account: str, since: int) -> int:
    """Count the account's orders refused by R04 or R15 after an instant."""
    row = db.execute(
        "SELECT count(*) FROM decisions WHERE account = ? AND decided_at > ?"
        " AND (instr(code, 'R04') > 0 OR instr(code, 'R15') > 0)",
        (account, since),
    ).fetchone()
    return int(row[0])


def equal_predictions(
    db: sqlite3.Connection, account: str, symbol: str, source: str, before: int, most: int
) -> list[float]:
    """Give p(up) of the newest decided bars of a symbol before one, the newest first."""
    rows = db.execute(
        "SELECT max(p_up) FROM decisions WHERE account = ? AND symbol = ? AND bar_ts < ?"
        " AND model_id = ? AND p_up IS NOT NULL GROUP BY bar_ts ORDER BY bar_ts DESC LIMIT ?",
        (account, symbol, before, source, most),
    )
    return [row[0] for row in rows]


def rejects_in_a_row(db: sqlite3.Connection, account: str, since: int, most: int) -> int:
    """Count the newest orders, placed after an instant, that the broker rejected."""
    rows = db.execute(
        "SELECT (SELECT state FROM order_events WHERE key = o.key ORDER BY seq DESC LIMIT 1)"
        " FROM orders o WHERE o.account = ? AND o.placed_at > ?"
        " ORDER BY o.placed_at DESC, o.key LIMIT ?",
        (account, since, most),
    )
    count = 0
    for (state,) in rows:
        if state != "rejected":
            break
        count += 1
    return count


def newest_record(db: sqlite3.Connection, account: str) -> int:
    """Give when the account's newest ledger entry or order was written down, 0 for none."""
    row = db.execute(
        "SELECT max(coalesce((SELECT recorded_at FROM ledger WHERE account = ?1"
        " ORDER BY seq DESC LIMIT 1), 0), coalesce((SELECT max(placed_at) FROM orders"
        " WHERE account = ?1), 0))",
        (account,),
    ).fetchone()
    return int(row[0])


def last_reset(db: sqlite3.Connection, account: str) -> int:
    """Give when a person last lifted a halt, 0 for never."""
    row = db.execute(
        "SELECT coalesce(max(ts), 0) FROM halts WHERE account = ? AND kind = 'reset'", (account,)
    ).fetchone()
    return int(row[0])


def save_limit_change(db: sqlite3.Connection, change: LimitChange) -> None:
    """Write a change of a limit down."""
    db.execute(
        "INSERT INTO limit_changes (ts, name, was, became, raised, reason) VALUES (?,?,?,?,?,?)",
        change,
    )


def limit_changes(db: sqlite3.Connection) -> list[LimitChange]:
    """Give every change of a limit, oldest first."""
    rows = db.execute(
        "SELECT ts, name, was, became, raised, reason FROM limit_changes ORDER BY change_id"
    )
    return [
        LimitChange(ts, name, was, became, bool(raised), reason)
        for ts, name, was, became, raised, reason in rows
    ]
