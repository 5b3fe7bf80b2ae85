"""Orders at a real broker: the broker's own names of them, and its executions, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3


class Execution(NamedTuple):
    """What the broker did, under its own number: shares of an order, or cash that moved.

    key: the order's; None for cash. quantity: signed nano-shares; amount: change of cash.
    seq: of the ledger entry that books it; None where it was not booked.
    """

    execution_id: str
    key: str | None
    ts: int
    symbol: str
    quantity: int
    price: int
    amount: int
    seq: int | None


def name_order(db: sqlite3.Connection, account: str, key: str, broker_id: str) -> None:
    """Note the broker's own name of an order; the same again changes nothing."""
    known = broker_id_of(db, key)
    if known is None:
        db.execute("INSERT INTO broker_orders VALUES (?,?,?)", (key, account, broker_id))
    elif known != broker_id:
        raise LedgerError(
            f"the broker has two orders under the key of order {key[:10]}",
            hint="algotrade risk halt --reason TEXT, then look at the broker's own pages",
        )


def broker_id_of(db: sqlite3.Connection, key: str) -> str | None:
    """Give the broker's own name of an order, or None where it never told one."""
    row = db.execute("SELECT broker_id FROM broker_orders WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def key_of(db: sqlite3.Connection, account: str, broker_id: str) -> str | None:
    """Give the key of the order that the broker calls so, or None where it is not ours."""
    row = db.execute(
        "SELECT key FROM broker_orders WHERE account = ? AND broker_id = ?", (account, broker_id)
    ).fetchone()
    return None if row is None else str(row[0])


def is_known(db: sqlite3.Connection, account: str, execution_id: str) -> bool:
    """Tell whether an execution was written down before."""
    found = db.execute(
        "SELECT 1 FROM executions WHERE account = ? AND execution_id = ?", (account, execution_id)
    )
    return found.fetchone() is not None


def save_execution(db: sqlite3.Connection, account: str, one: Execution) -> None:
    """Write an execution down; a second time is an error of the store."""
    execution_id, *rest = one
    db.execute("INSERT INTO executions VALUES (?,?,?,?,?,?,?,?,?)", (account, execution_id, *rest))


def newest_execution(db: sqlite3.Connection, account: str) -> int | None:
    """Give the time of the newest execution, or None."""
    (newest,) = db.execute(
        "SELECT max(ts) FROM executions WHERE account = ?", (account,)
    ).fetchone()
    return None if newest is None else int(newest)


def filled_of(db: sqlite3.Connection, account: str, key: str) -> tuple[int, int]:
    """Give what the ledger booked of an order: nano-shares, and how many fills."""
    total, count = db.execute(
        "SELECT coalesce(sum(abs(quantity)), 0), count(*) FROM ledger"
        " WHERE account = ? AND kind = 'fill' AND ref >= ? AND ref < ?",
        (account, key + ".", key + "/"),
    ).fetchone()
    return int(total), int(count)


def refused_of(db: sqlite3.Connection, account: str, key: str) -> int:
    """Give what the broker filled of an order and the ledger refused, nano-shares."""
    (total,) = db.execute(
        "SELECT coalesce(sum(abs(quantity)), 0) FROM executions"
        " WHERE account = ? AND key = ? AND seq IS NULL",
        (account, key),
    ).fetchone()
    return int(total)


def keys_with(db: sqlite3.Connection, account: str, detail: str, since: int) -> list[str]:
    """Give the keys of orders of which an event since then has exactly this detail."""
    rows = db.execute(
        "SELECT DISTINCT e.key FROM order_events e JOIN orders o USING (key)"
        " WHERE o.account = ? AND e.detail = ? AND e.ts >= ?",
        (account, detail, since),
    )
    return [str(key) for (key,) in rows]


def last_seq(db: sqlite3.Connection, account: str) -> int:
    """Give the number of the account's newest ledger entry, 0 where there is none."""
    (seq,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM ledger WHERE account = ?", (account,)
    ).fetchone()
    return int(seq)
