"""The journal in the store: ledger, orders, decisions, marks and halts of an account."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from algotrade.domain.ledger import Entry, Mark, chain_hash
from algotrade.domain.orders import ACCEPTED, OPEN_STATES, Order
from algotrade.errors import LedgerError
from algotrade.store.records import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from typing import Any

    from algotrade.domain.decisions import Decision


class StoreJournal:
    """Write what happens to one account, inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, account: str, *, recorded_at: int) -> None:
        self._db = db
        self._account = account
        self._recorded_at = recorded_at

    def append(self, entry: Entry) -> None:
        """Append one ledger entry as the next link of the account's chain."""
        db, account = self._db, self._account
        last = db.execute(
            "SELECT seq, hash FROM ledger WHERE account = ? ORDER BY seq DESC LIMIT 1", (account,)
        ).fetchone()
        seq, previous = (last[0] + 1, last[1]) if last else (1, "")
        digest = chain_hash(previous, account, seq, self._recorded_at, entry)
        db.execute(
            "INSERT INTO ledger VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (account, seq, self._recorded_at, *_entry_values(entry), previous, digest),
        )
        set_meta(db, _head_name(account), f"{seq} {digest}")

    def record(self, decision: Decision) -> None:
        """Record a decision; a placed order and its first state go with it."""
        import json

        body = asdict(decision)
        order = decision.placed
        prediction = body["prediction"] or {}
        self._db.execute(
            "INSERT INTO decisions (account, strategy, symbol, bar_ts, decided_at, action, reason,"
            " prediction, p_up, model_id, order_key, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                decision.account,
                decision.strategy,
                decision.symbol,
                decision.ts,
                decision.decided_at,
                decision.action,
                decision.reason,
                prediction.get("value"),
                prediction.get("p_up"),
                prediction.get("model_id"),
                order.key if order else None,
                json.dumps(body, separators=(",", ":"), allow_nan=False),
            ),
        )
        if order is not None:
            self._insert_order(order)

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        self._db.execute(
            "INSERT INTO order_events VALUES"
            " (?, (SELECT coalesce(max(seq), 0) + 1 FROM order_events WHERE key = ?), ?, ?, ?)",
            (order.key, order.key, ts, state, detail),
        )

    def mark(self, account: str, mark: Mark) -> None:
        """Record the account's valuation."""
        row = (account, mark.ts, mark.cash, mark.value, mark.contributed)
        self._db.execute("INSERT INTO marks VALUES (?,?,?,?,?)", row)

    def halt(self, account: str, ts: int, cause: str) -> None:
        """Record that trading stops until a person resets it."""
        save_halt(self._db, account, ts=ts, kind="halt", reason=cause)

    def _insert_order(self, order: Order) -> None:
        values = asdict(order)
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self._db.execute(
            f"INSERT INTO orders ({columns}) VALUES ({marks})",
            tuple(values.values()),
        )
        self.order_event(order, order.placed_at, ACCEPTED, "")


_ENTRY_COLUMNS = "ts, kind, ref, symbol, quantity, price, amount, fee, note"
_ORDER_COLUMNS = (
    "o.key, o.account, o.strategy, o.symbol, o.side, o.quantity, o.bar_ts, o.placed_at, o.client_id"
)
_LAST_EVENT = (
    " JOIN order_events e ON e.key = o.key"
    " AND e.seq = (SELECT max(seq) FROM order_events WHERE key = o.key)"
)


class OrderStatus(NamedTuple):
    """An order with its newest state."""

    order: Order
    state: str
    detail: str
    since: int


class StoredDecision(NamedTuple):
    """A decision as it was written down; `body` is its whole content as plain data."""

    decision_id: int
    order_key: str | None
    body: Mapping[str, Any]


def load_entries(db: sqlite3.Connection, account: str) -> list[Entry]:
    """Load the account's ledger in order."""
    rows = db.execute(
        f"SELECT {_ENTRY_COLUMNS} FROM ledger WHERE account = ? ORDER BY seq",
        (account,),
    )
    return [_entry(row) for row in rows]


def verify_chain(db: sqlite3.Connection, account: str) -> int:
    """Recompute the account's hash chain; give the number of entries or raise."""
    previous, expected = "", 1
    rows = db.execute(
        f"SELECT seq, recorded_at, previous, hash, {_ENTRY_COLUMNS}"
        " FROM ledger WHERE account = ? ORDER BY seq",
        (account,),
    )
    for seq, recorded_at, link, digest, *values in rows:
        entry = _entry(tuple(values))
        true = chain_hash(previous, account, seq, recorded_at, entry)
        if seq != expected or link != previous or digest != true:
            raise LedgerError(
                f"ledger of account {account}: entry {seq} does not fit its hash chain",
                hint="the file was changed from outside; restore a backup",
            )
        previous, expected = digest, seq + 1
    head = get_meta(db, _head_name(account))
    if head is not None and head != f"{expected - 1} {previous}":
        raise LedgerError(
            f"ledger of account {account}: entries after {expected - 1} are missing",
            hint="the file was changed from outside; restore a backup",
        )
    return expected - 1


def open_orders(db: sqlite3.Connection, account: str) -> list[Order]:
    """Load the account's orders that no fill or cancellation has ended, oldest first."""
    marks = ",".join("?" * len(OPEN_STATES))
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS} FROM orders o{_LAST_EVENT}"
        f" WHERE o.account = ? AND e.state IN ({marks}) ORDER BY o.placed_at, o.key",
        (account, *OPEN_STATES),
    )
    return [_order(row) for row in rows]


def find_orders(db: sqlite3.Connection, prefix: str) -> list[OrderStatus]:
    """Load the orders whose key begins with `prefix`, at most two of them."""
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS}, e.state, e.detail, e.ts FROM orders o{_LAST_EVENT}"
        " WHERE o.key >= ? AND o.key < ? LIMIT 2",
        (prefix, prefix + "g"),
    )
    return [_status(row) for row in rows]


def orders_on_bar(
    db: sqlite3.Connection, account: str, strategy: str, symbol: str, bar_ts: int, client_id: str
) -> list[OrderStatus]:
    """Load the orders of one identity but for side and quantity, oldest first."""
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS}, e.state, e.detail, e.ts FROM orders o{_LAST_EVENT}"
        " WHERE o.account = ? AND o.strategy = ? AND o.symbol = ? AND o.bar_ts = ?"
        " AND o.client_id = ? ORDER BY o.placed_at, o.key",
        (account, strategy, symbol, bar_ts, client_id),
    )
    return [_status(row) for row in rows]


def fills_of(db: sqlite3.Connection, key: str) -> list[Entry]:
    """Load the ledger entries that filled an order."""
    rows = db.execute(
        f"SELECT {_ENTRY_COLUMNS} FROM ledger l"
        " WHERE l.account = (SELECT account FROM orders WHERE key = ?) AND l.kind = 'fill'"
        " AND l.ref >= ? AND l.ref < ? ORDER BY l.seq",
        (key, key + ".", key + "/"),
    )
    return [_entry(row) for row in rows]


def decision_of(db: sqlite3.Connection, order_key: str) -> StoredDecision:
    """Load the decision that placed an order."""
    row = db.execute(
        "SELECT decision_id, order_key, body FROM decisions WHERE order_key = ?", (order_key,)
    ).fetchone()
    if row is None:
        raise LedgerError(f"order {order_key} has no decision in the store")
    return _decision(row)


def last_decision(db: sqlite3.Connection, account: str, symbol: str) -> StoredDecision | None:
    """Load the newest decision about a symbol, whatever it was."""
    row = db.execute(
        "SELECT decision_id, order_key, body FROM decisions WHERE account = ? AND symbol = ?"
        " ORDER BY decision_id DESC LIMIT 1",
        (account, symbol),
    ).fetchone()
    return None if row is None else _decision(row)


def load_marks(db: sqlite3.Connection, account: str) -> list[Mark]:
    """Load the account's valuations in time order."""
    rows = db.execute(
        "SELECT ts, cash, value, contributed FROM marks WHERE account = ? ORDER BY ts", (account,)
    )
    return [Mark(*row) for row in rows]


def save_halt(db: sqlite3.Connection, account: str, *, ts: int, kind: str, reason: str) -> None:
    """Record a halt or its reset."""
    db.execute(
        "INSERT INTO halts (account, ts, kind, reason) VALUES (?,?,?,?)",
        (account, ts, kind, reason),
    )


def current_halt(db: sqlite3.Connection, account: str) -> str | None:
    """Give why the account is halted, or None."""
    row = db.execute(
        "SELECT kind, reason FROM halts WHERE account = ? ORDER BY halt_id DESC LIMIT 1",
        (account,),
    ).fetchone()
    return None if row is None or row[0] == "reset" else str(row[1])


def _decision(row: tuple[Any, ...]) -> StoredDecision:
    import json

    return StoredDecision(row[0], row[1], json.loads(row[2]))


def _head_name(account: str) -> str:
    """Name the note of the chain's last link, without which a cut tail would not be seen."""
    return f"head:{account}"


def _entry_values(entry: Entry) -> tuple[object, ...]:
    return (
        entry.ts,
        entry.kind,
        entry.ref,
        entry.symbol,
        entry.quantity,
        entry.price,
        entry.amount,
        entry.fee,
        entry.note,
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    names = _ENTRY_COLUMNS.split(", ")
    return Entry(**dict(zip(names, row, strict=True)))


def _order(row: tuple[Any, ...]) -> Order:
    names = [name.removeprefix("o.") for name in _ORDER_COLUMNS.split(", ")]
    return Order(**dict(zip(names, row, strict=True)))


def _status(row: tuple[Any, ...]) -> OrderStatus:
    return OrderStatus(_order(row[:-3]), row[-3], row[-2], row[-1])
