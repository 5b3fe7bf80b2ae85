"""The journal in the store: ledger, orders, decisions, marks and halts of an account."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from algotrade.domain.ledger import Entry, Mark, Stretch, chain_hash
from algotrade.domain.orders import ACCEPTED, NEW, OPEN_STATES, Order, check_arrow
from algotrade.domain.risk import HALTED
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple
from algotrade.store.decisions import save_decisions
from algotrade.store.records import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from typing import Any

    from algotrade.domain.decisions import Decision
    from algotrade.store.decisions import Grounds


class StoreJournal:
    """Write what happens to one account, inside the caller's transaction."""

    def __init__(
        self,
        db: sqlite3.Connection,
        account: str,
        *,
        recorded_at: int,
        first_state: str = ACCEPTED,
    ) -> None:
        """Write at a time; orders begin as accepted, or as intents that are still to be sent."""
        self._db = db
        self._first_state = first_state
        self._account = account
        self._recorded_at = recorded_at
        self._grounds: dict[Grounds, str] = {}
        self._held_back: list[Decision] = []
        self._together = False
        self.decisions: list[Decision] = []

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Hold decisions back until something else is written or all are made; then write them.

        The rows are the same as one by one; SQLite only starts fewer statements.
        """
        self._together = True
        try:
            yield
            self._write()
        finally:
            self._together = False
            self._held_back.clear()

    def append(self, entry: Entry) -> None:
        """Append one ledger entry as the next link of the account's chain."""
        self._write()
        db, account = self._db, self._account
        last = db.execute(
            "SELECT seq, hash FROM ledger WHERE account = ? ORDER BY seq DESC LIMIT 1", (account,)
        ).fetchone()
        seq, previous = (last[0] + 1, last[1]) if last else (1, "")
        digest = chain_hash(previous, account, seq, self._recorded_at, entry)
        db.execute(
            "INSERT INTO ledger VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (account, seq, self._recorded_at, *entry, previous, digest),
        )
        set_meta(db, _head_name(account), f"{seq} {digest}")

    def record(self, decision: Decision, before: int | None = None) -> None:
        """Record a decision; a placed order and its first state go with it."""
        del before
        self.decisions.append(decision)
        self._held_back.append(decision)
        if not self._together:
            self._write()

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order, if its life has such a step."""
        self._write()
        check_arrow(order.key, order_state(self._db, order.key), state)
        self._db.execute(
            "INSERT INTO order_events VALUES"
            " (?1, (SELECT coalesce(max(seq), 0) + 1 FROM order_events WHERE key = ?1), ?2, ?3, ?4,"
            " (SELECT max(decision_id) FROM decisions))",
            (order.key, ts, state, detail),
        )

    def mark(self, account: str, stretch: Stretch) -> None:
        """Record valuations of the account."""
        self._write()
        rows = ((account, *mark) for mark in stretch.marks())
        self._db.executemany("INSERT INTO marks VALUES (?,?,?,?,?)", rows)

    def halt(self, account: str, ts: int, cause: str, level: str = HALTED) -> None:
        """Record that trading stops, or may only reduce, until a person resets it."""
        self._write()
        save_halt(self._db, account, ts=ts, kind="halt", reason=cause, level=level)

    def _write(self) -> None:
        """Write the decisions held back, the orders they placed and the first state of each."""
        if not self._held_back:
            return
        made, self._held_back = self._held_back, []
        numbers = save_decisions(self._db, made, self._grounds)
        placed = [(one.placed, n) for one, n in zip(made, numbers, strict=True) if one.placed]
        self._db.executemany(_INSERT_ORDER, [order for order, _ in placed])
        self._db.executemany(
            "INSERT INTO order_events VALUES (?, 1, ?, ?, '', ?)",
            [(order.key, order.placed_at, self._first_state, number) for order, number in placed],
        )


_ENTRY_COLUMNS = "ts, kind, ref, symbol, quantity, price, amount, fee, note"
_ORDER_FIELDS = (
    *("key", "account", "strategy", "symbol", "side", "quantity", "bar_ts", "placed_at"),
    *("client_id", "type", "limit_price", "stop_price", "time_in_force"),
)
_INSERT_ORDER = (
    f"INSERT INTO orders ({', '.join(_ORDER_FIELDS)}) VALUES ({','.join('?' * len(_ORDER_FIELDS))})"
)
_ORDER_COLUMNS = ", ".join(f"o.{name}" for name in _ORDER_FIELDS)
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


def load_entries(db: sqlite3.Connection, account: str) -> list[Entry]:
    """Load the account's ledger in order."""
    rows = db.execute(
        f"SELECT {_ENTRY_COLUMNS} FROM ledger WHERE account = ? ORDER BY seq",
        (account,),
    )
    return [_entry(row) for row in rows]


def entry_hash(db: sqlite3.Connection, account: str, seq: int) -> str | None:
    """Give the hash that ties an entry to all before it, or None."""
    row = db.execute(
        "SELECT hash FROM ledger WHERE account = ? AND seq = ?", (account, seq)
    ).fetchone()
    return None if row is None else str(row[0])


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
                hint="the file was changed from outside; algotrade restore FILE",
            )
        previous, expected = digest, seq + 1
    head = get_meta(db, _head_name(account))
    if head is not None and head != f"{expected - 1} {previous}":
        raise LedgerError(
            f"ledger of account {account}: entries after {expected - 1} are missing",
            hint="the file was changed from outside; algotrade restore FILE",
        )
    return expected - 1


def order_state(db: sqlite3.Connection, key: str) -> str:
    """Give the newest state of an order; NEW where it has none."""
    row = db.execute(
        "SELECT state FROM order_events WHERE key = ? ORDER BY seq DESC LIMIT 1", (key,)
    ).fetchone()
    return NEW if row is None else str(row[0])


def open_orders(db: sqlite3.Connection, account: str) -> list[OrderStatus]:
    """Load the account's orders that have not ended, in the order in which they were placed."""
    marks = ",".join("?" * len(OPEN_STATES))
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS}, e.state, e.detail, e.ts FROM orders o{_LAST_EVENT}"
        f" WHERE o.account = ? AND e.state IN ({marks})"
        " ORDER BY o.placed_at,"
        " (SELECT decision_id FROM order_events WHERE key = o.key AND seq = 1), o.key",
        (account, *OPEN_STATES),
    )
    return [_status(row) for row in rows]


def find_orders(db: sqlite3.Connection, prefix: str) -> list[OrderStatus]:
    """Load the orders whose key begins with `prefix`, at most two of them."""
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS}, e.state, e.detail, e.ts FROM orders o{_LAST_EVENT}"
        " WHERE o.key >= ? AND o.key < ? LIMIT 2",
        (prefix, prefix + "g"),
    )
    return [_status(row) for row in rows]


def load_orders(db: sqlite3.Connection, account: str) -> list[Order]:
    """Load every order of the account, oldest first."""
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS} FROM orders o WHERE o.account = ? ORDER BY o.placed_at, o.key",
        (account,),
    )
    return [_order(row) for row in rows]


def all_orders(db: sqlite3.Connection, account: str) -> list[OrderStatus]:
    """Load every order of the account with its newest state, oldest first."""
    rows = db.execute(
        f"SELECT {_ORDER_COLUMNS}, e.state, e.detail, e.ts FROM orders o{_LAST_EVENT}"
        " WHERE o.account = ? ORDER BY o.placed_at,"
        " (SELECT decision_id FROM order_events WHERE key = o.key AND seq = 1), o.key",
        (account,),
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


def load_marks(db: sqlite3.Connection, account: str) -> list[Mark]:
    """Load the account's valuations in time order."""
    rows = db.execute(
        "SELECT ts, cash, value, contributed FROM marks WHERE account = ? ORDER BY ts", (account,)
    )
    return [Mark(*row) for row in rows]


def save_halt(
    db: sqlite3.Connection, account: str, *, ts: int, kind: str, reason: str, level: str = HALTED
) -> None:
    """Record a halt, of either level, or its reset."""
    db.execute(
        "INSERT INTO halts (account, ts, kind, reason, level) VALUES (?,?,?,?,?)",
        (account, ts, kind, reason, level),
    )


class HaltRow(NamedTuple):
    """The newest halt that no person has lifted."""

    reason: str
    level: str
    ts: int


def standing_halt(db: sqlite3.Connection, account: str) -> HaltRow | None:
    """Give the account's newest halt of either level, or None where trading is allowed."""
    row = db.execute(
        "SELECT kind, reason, level, ts FROM halts WHERE account = ? ORDER BY halt_id DESC LIMIT 1",
        (account,),
    ).fetchone()
    return None if row is None or row[0] == "reset" else HaltRow(*row[1:])


def current_halt(db: sqlite3.Connection, account: str) -> str | None:
    """Give why the account is halted, or None; one that may reduce is not."""
    found = standing_halt(db, account)
    return found.reason if found is not None and found.level == HALTED else None


def _head_name(account: str) -> str:
    """Name the note of the chain's last link, without which a cut tail would not be seen."""
    return f"head:{account}"


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry._make(row)


def _order(row: tuple[Any, ...]) -> Order:
    return Order(**dict(zip(_ORDER_FIELDS, row, strict=True)))


def _status(row: tuple[Any, ...]) -> OrderStatus:
    return OrderStatus(_order(row[:-3]), row[-3], row[-2], row[-1])
