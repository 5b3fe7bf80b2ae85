"""The state to decide from, rebuilt from the store; and how far behind its data are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.ledger import Entry, replay
from algotrade.domain.risk import HALTED
from algotrade.domain.times import session_day, to_date
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.trading.state import Halted, TradingState, opening_state
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.waiting import waiting_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from algotrade.domain.orders import OpenOrder


def load_state(
    ws: Workspace,
    symbols: Iterable[str] = (),
    *,
    now: int | None = None,
    until: Mapping[str, int] | None = None,
    known: Mapping[str, int] | None = None,
) -> TradingState:
    """Rebuild the account's state from the store, with prices of what it has a stake in.

    The ledger's hash chain is checked first: nothing is decided on a changed one.

    now: instant whose session's loss is counted; without it, the session of the newest mark.
    until: for each symbol the newest bar to take a price from; without it, the newest there is.
    known: prices that need not be looked up.
    """
    journal.verify_chain(ws.db, ws.account)
    entries = journal.load_entries(ws.db, ws.account)
    waiting = waiting_orders(ws)
    marks = journal.load_marks(ws.db, ws.account)
    prices = dict(known or {})
    for symbol in sorted({*symbols, *staked_symbols(entries, waiting)} - {*prices}):
        last = until.get(symbol) if until else ws.clock.now()
        newest = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=last, last=1)
        if len(newest):
            prices[symbol] = newest.close[-1]
    return opening_state(
        ws.account,
        entries,
        open_orders=waiting,
        marks=marks,
        prices=prices,
        now=now or (marks[-1].ts if marks else ws.clock.now()),
        **halted_by(journal.standing_halt(ws.db, ws.account))._asdict(),
    )


def halted_by(row: journal.HaltRow | None) -> Halted:
    """Give what the newest halt in the ledger means for the state."""
    if row is None:
        return Halted()
    if row.level == HALTED:
        return Halted(halt=row.reason, halted_since=row.ts)
    return Halted(reducing=row.reason, halted_since=row.ts)


def staked_symbols(entries: Iterable[Entry], waiting: Iterable[OpenOrder]) -> set[str]:
    """Give the symbols that are held or have an order waiting."""
    return {*replay(entries).positions, *(one.order.symbol for one in waiting)}


def stale_sessions(ws: Workspace, bar_ts: int | None) -> int | None:
    """Count the completed sessions that are missing after a bar; None without a bar."""
    if bar_ts is None:
        return None
    calendar = ws.calendar(bar_ts)
    have = calendar.find(to_date(session_day(bar_ts)))
    return None if have is None else max(0, calendar.last_closed(ws.clock.now()) - have)
