"""Look over the whole store: file, seals, ledgers, orders, grounds and kept runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from algotrade.domain.ledger import imbalance, replay
from algotrade.domain.money import format_usd
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple
from algotrade.store import chain
from algotrade.store.journal import load_entries, verify_chain
from algotrade.store.records import accounts
from algotrade.store.runs import check_run

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# what is wrong with an order, and how one such is found
_FILLED = (
    "(SELECT coalesce(sum(abs(l.quantity)), 0) FROM ledger l WHERE l.account = o.account"
    " AND l.kind = 'fill' AND l.ref >= o.key || '.' AND l.ref < o.key || '/')"
)
_ORDERS = {
    "more was filled than asked": f"SELECT o.key FROM orders o WHERE o.quantity < {_FILLED}",
    "is filled, and its fills are not all of it": "SELECT o.key FROM orders o"
    f" JOIN order_events e USING (key) WHERE e.state = 'filled' AND o.quantity <> {_FILLED}",
    "has no first state": "SELECT key FROM orders WHERE key NOT IN"
    " (SELECT key FROM order_events WHERE seq = 1)",
    "is decided and not written": "SELECT order_key FROM decisions WHERE order_key IS NOT NULL"
    " AND order_key NOT IN (SELECT key FROM orders)",
}


class Checked(NamedTuple):
    """One thing that was looked over, how many were found, and of which account."""

    what: str
    found: int
    account: str = ""


def check_store(db: sqlite3.Connection) -> Iterator[Checked]:
    """Check everything, one thing after another; raise LedgerError at the first that is wrong."""
    yield Checked("pages of the file", check_file(db))
    yield Checked("commits sealed", chain.check_all(db))
    for record in accounts(db):
        yield Checked("entries", _check_account(db, record.account), record.account)
    yield Checked("orders", _check_orders(db))
    yield Checked("grounds of decisions", _check_grounds(db))
    yield Checked("kept runs", _check_runs(db))


def check_file(db: sqlite3.Connection) -> int:
    """Let SQLite check every page, index and constraint; give the number of pages."""
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise LedgerError(f"the file is damaged: {found}", hint="algotrade restore FILE")
    return int(db.execute("PRAGMA page_count").fetchone()[0])


def _check_account(db: sqlite3.Connection, account: str) -> int:
    """Check the chain, that postings add up to nothing, and positions by another sum."""
    count = verify_chain(db, account)
    portfolio = replay(load_entries(db, account))
    missing = imbalance(portfolio)
    if missing:
        raise LedgerError(f"ledger of account {account} is off by {format_usd(missing)} USD")
    rebuilt = dict(
        db.execute(
            "SELECT symbol, sum(quantity) FROM ledger WHERE account = ?"
            " AND kind NOT IN ('deposit', 'withdrawal', 'dividend') GROUP BY symbol"
            " HAVING sum(quantity) <> 0 AND symbol <> ''",
            (account,),
        )
    )
    held = {symbol: position.quantity for symbol, position in portfolio.positions.items()}
    if rebuilt != held:
        raise LedgerError(f"positions of account {account} are {held}, rebuilt {rebuilt}")
    return count


def _check_orders(db: sqlite3.Connection) -> int:
    for what, query in _ORDERS.items():
        wrong = db.execute(query).fetchone()
        if wrong is not None:
            raise LedgerError(f"order {wrong[0][:10]} {what}", hint=chain.HINT)
    return int(db.execute("SELECT count(*) FROM orders").fetchone()[0])


def _check_grounds(db: sqlite3.Connection) -> int:
    count = 0
    for name, body in db.execute("SELECT hash, body FROM grounds"):
        count += 1
        if hashlib.sha256(body.encode()).hexdigest() != name:
            raise LedgerError(f"grounds {name[:10]} do not have this hash", hint=chain.HINT)
    return count


def _check_runs(db: sqlite3.Connection) -> int:
    names = [name for (name,) in db.execute("SELECT run_id FROM runs ORDER BY number")]
    for name in names:
        check_run(db, name)
    return len(names)
