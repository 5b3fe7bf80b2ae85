"""Settle: book what the market did since the account last looked; splits, dividends, fills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.times import session_day, to_day
from algotrade.store import bars as bar_store
from algotrade.store import journal, records
from algotrade.store.actions import load_dividends
from algotrade.trading.broker import RemoteBroker, SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.session import run_session
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.state import load_state, staked_symbols
from algotrade.workflows.waiting import waiting_orders

if TYPE_CHECKING:
    from algotrade.domain.orders import Fill


def settle(ws: Workspace) -> tuple[Fill, ...]:
    """Walk the bars that the account has not seen yet, inside the caller's transaction.

    At a real broker they bring splits and prices alone: orders, fills and cash are the broker's
    to tell (workflows/booking.py). Each symbol is walked from its own newest settled bar, so that
    it does not matter which symbol was fetched first.
    """
    entries = journal.load_entries(ws.db, ws.account)
    waiting = waiting_orders(ws)
    opened = entries[0].ts if entries else 0
    settled = records.settled_until(ws.db, ws.account)
    seen = {symbol: settled.get(symbol, opened) for symbol in staked_symbols(entries, waiting)}
    unseen = [load_history(ws, symbol, after=ts) for symbol, ts in sorted(seen.items())]
    fresh = [history for history in unseen if len(history.bars)]
    if not fresh or not entries:
        return ()
    state = load_state(ws, until=seen)
    if ws.at_broker:
        fresh = [history._replace(dividends=[]) for history in fresh]
        state.orders.clear()  # a split at the broker is the broker's to answer
    result = run_session(
        Market(fresh).turns(state, skip=False),
        state=state,
        broker=RemoteBroker() if ws.at_broker else SimulatedBroker(ws.settings.costs()),
        journal=journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now()),
        decider=None,
    )
    for history in fresh:
        records.set_settled(ws.db, ws.account, history.bars.symbol, history.bars.ts_close[-1])
    return result.fills


def load_history(
    ws: Workspace,
    symbol: str,
    *,
    after: int | None = None,
    until: int | None = None,
    known_at: int | None = None,
) -> History:
    """Load a symbol's bars with the actions that fall among them."""
    bars = bar_store.load_bars(
        ws.db, ws.source, symbol, DAILY, after=after, until=until, known_at=known_at
    )
    since = session_day(after) if after is not None else -1
    last = session_day(bars.ts_open[-1]) if len(bars) else -1
    dividends = load_dividends(ws.db, ws.source, symbol, known_at=known_at)
    return History(
        bars,
        splits=[one for one in bars.splits if since < to_day(one.ex_date) <= last],
        dividends=[one for one in dividends if since < to_day(one.ex_date) <= last],
    )
