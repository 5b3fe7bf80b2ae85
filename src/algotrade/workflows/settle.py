"""Settle: book what the market did since the account last looked; splits, dividends, fills."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from algotrade.domain.times import session_day, to_day
from algotrade.store import bars as bar_store
from algotrade.store import journal, records
from algotrade.store.actions import load_dividends
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import Moment
from algotrade.trading.session import moments_of, run_session
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.state import load_state, staked_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.bars import Bars
    from algotrade.domain.actions import Dividend, Split
    from algotrade.domain.orders import Fill


def settle(ws: Workspace) -> tuple[Fill, ...]:
    """Walk the bars that the account has not seen yet, inside the caller's transaction.

    Each symbol is walked from its own newest settled bar, so that it does not matter which
    symbol was fetched first.
    """
    entries = journal.load_entries(ws.db, ws.account)
    waiting = journal.open_orders(ws.db, ws.account)
    opened = entries[0].ts if entries else 0
    settled = records.settled_until(ws.db, ws.account)
    seen = {symbol: settled.get(symbol, opened) for symbol in staked_symbols(entries, waiting)}
    groups = {symbol: _unseen(ws, symbol, ts) for symbol, ts in sorted(seen.items())}
    if not any(groups.values()):
        return ()
    result = run_session(
        moments_of(list(groups.values())),
        state=load_state(ws, until=seen),
        broker=SimulatedBroker(ws.settings.costs(), waiting),
        journal=journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now()),
        decider=None,
    )
    for symbol, group in groups.items():
        if group:
            records.set_settled(ws.db, ws.account, symbol, group[-1].ts)
    return result.fills


def moments_of_bars(
    bars: Bars, splits: Sequence[Split] = (), dividends: Sequence[Dividend] = ()
) -> list[Moment]:
    """Turn bars into moments; an action goes with the first bar on or after its ex-date."""
    days = [session_day(ts) for ts in bars.ts_open]
    splits_at: dict[int, list[Split]] = {}
    for split in splits:
        splits_at.setdefault(bisect_left(days, to_day(split.ex_date)), []).append(split)
    dividends_at: dict[int, list[Dividend]] = {}
    for dividend in dividends:
        dividends_at.setdefault(bisect_left(days, to_day(dividend.ex_date)), []).append(dividend)
    return [
        Moment(
            ts=bars.ts_close[row],
            symbol=bars.symbol,
            ts_open=bars.ts_open[row],
            open=bars.open[row],
            close=bars.close[row],
            volume=bars.volume[row],
            splits=tuple(splits_at.get(row, ())),
            dividends=tuple(dividends_at.get(row, ())),
        )
        for row in range(len(bars))
    ]


def _unseen(ws: Workspace, symbol: str, seen: int) -> list[Moment]:
    bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, after=seen)
    since = session_day(seen)
    return moments_of_bars(
        bars,
        [split for split in bars.splits if to_day(split.ex_date) > since],
        [
            dividend
            for dividend in load_dividends(ws.db, ws.source, symbol)
            if to_day(dividend.ex_date) > since
        ],
    )
