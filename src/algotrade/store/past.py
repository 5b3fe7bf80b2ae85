"""The past in the store: what each decision saw, in the order in which it was written down."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from algotrade.bars import from_rows
from algotrade.domain.times import MICROSECONDS
from algotrade.record import NamedTuple
from algotrade.store.actions import load_splits
from algotrade.store.bars import find_series
from algotrade.store.decisions import load_decisions
from algotrade.store.journal import load_entries, load_marks, load_orders

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from algotrade.bars import Bars
    from algotrade.domain.ledger import Entry, Mark
    from algotrade.domain.orders import Order
    from algotrade.store.decisions import StoredDecision


_BAR = "ts_close, seconds, open, high, low, close, volume"


class Seen(NamedTuple):
    """The last ledger entry, mark and halt that a decision saw; 0 where there was none."""

    ledger_seq: int
    marks_ts: int
    halt_id: int


class Columns(NamedTuple):
    """What the row of a decision says beside its body, and the hash of its grounds twice."""

    p_up: float | None
    source: str | None
    prediction: int | None
    order_key: str | None
    grounds: str | None
    grounds_found: str | None


class PastDecision(NamedTuple):
    """A decision with what it saw; `seen` is None of those stored before this was noted."""

    stored: StoredDecision
    seen: Seen | None
    columns: Columns


class PastEvent(NamedTuple):
    """A state of an order; `after` is the newest decision when it was written down."""

    after: int
    key: str
    seq: int
    ts: int
    state: str


class PastHalt(NamedTuple):
    """A halt or its reset, by number."""

    halt_id: int
    ts: int
    kind: str
    reason: str
    level: str


class Past(NamedTuple):
    """All that was written down of one account; entry i of the ledger has seq i + 1."""

    decisions: list[PastDecision]
    entries: list[Entry]
    events: list[PastEvent]
    orders: Mapping[str, Order]
    marks: list[Mark]
    halts: list[PastHalt]


def load_past(db: sqlite3.Connection, account: str, *, only: StoredDecision | None = None) -> Past:
    """Load all that was written down of one account; its hash chain is checked by the caller.

    only: of the decisions, this one.
    """
    events = db.execute(
        "SELECT coalesce(e.decision_id, 0), e.key, e.seq, e.ts, e.state FROM order_events e"
        " JOIN orders o USING (key) WHERE o.account = ? ORDER BY 1, o.placed_at, e.key, e.seq",
        (account,),
    )
    halts = db.execute(
        "SELECT halt_id, ts, kind, reason, level FROM halts WHERE account = ? ORDER BY halt_id",
        (account,),
    )
    return Past(
        decisions=_decisions(db, account, only),
        entries=load_entries(db, account),
        events=[PastEvent(*row) for row in events],
        orders={order.key: order for order in load_orders(db, account)},
        marks=load_marks(db, account),
        halts=[PastHalt(*row) for row in halts],
    )


def first_bars(
    db: sqlite3.Connection, source: str, symbol: str, timeframe: str, *, after: int, until: int
) -> Bars:
    """Load bars with ts_close in (after, until], each as it was first known."""
    ident = find_series(db, source, symbol, timeframe)
    rows = db.execute(
        f"SELECT {_BAR}, min(known_at) FROM ("
        f"SELECT {_BAR}, known_at FROM bars WHERE series_id = ?1 AND ts_close > ?2"
        f" AND ts_close <= ?3 UNION ALL SELECT {_BAR}, known_at FROM bar_revisions"
        " WHERE series_id = ?1 AND ts_close > ?2 AND ts_close <= ?3)"
        " GROUP BY ts_close ORDER BY ts_close",
        (ident, after, until),
    )
    shaped = (
        (ts - seconds * MICROSECONDS, ts, *prices) for ts, seconds, *prices, _ in rows.fetchall()
    )
    splits = tuple(load_splits(db, source, symbol))
    return from_rows(source, symbol, timeframe, shaped, splits)


def missing_decisions(db: sqlite3.Connection) -> int:
    """Count the decisions that are gone: their numbers leave no gap by themselves."""
    row = db.execute("SELECT coalesce(max(decision_id), 0) - count(*) FROM decisions").fetchone()
    return int(row[0])


def _decisions(
    db: sqlite3.Connection, account: str, only: StoredDecision | None
) -> list[PastDecision]:
    found: dict[str, str] = {
        name: hashlib.sha256(body.encode()).hexdigest()
        for name, body in db.execute("SELECT hash, body FROM grounds")
    }
    rows = db.execute(
        "SELECT ledger_seq, marks_ts, halt_id, p_up, model_id, prediction, order_key, grounds"
        " FROM decisions WHERE account = ?1 AND (?2 IS NULL OR decision_id = ?2)"
        " ORDER BY decision_id",
        (account, only.decision_id if only else None),
    ).fetchall()
    stored = [only] if only else load_decisions(db, account)
    return [
        PastDecision(
            one,
            None if row[0] is None else Seen(*row[:3]),
            Columns(row[3], row[4], row[5], row[6], row[7], found.get(row[7])),
        )
        for one, row in zip(stored, rows, strict=True)
    ]
