"""The sample clock: simulated time, moved by people and by trades, never by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.times import session_date
from algotrade.errors import DataError, InputError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store.database import immediate
from algotrade.workflows.context import DAILY, Workspace, at
from algotrade.workflows.fetch import refresh_symbol
from algotrade.workflows.settle import settle
from algotrade.workflows.sources import open_feed

if TYPE_CHECKING:
    from datetime import date

    from algotrade.domain.orders import Fill


class ClockReport(NamedTuple):
    """Where simulated time stands, how many sessions are left, and what the move filled."""

    now: int
    session: date
    sessions_left: int
    moved: int = 0
    fills: tuple[Fill, ...] = ()


def show_clock(ws: Workspace) -> ClockReport:
    """Tell where simulated time stands."""
    _require_sample(ws)
    from algotrade.market.sample import last_session

    now = ws.clock.now()
    calendar = ws.calendar(now)
    end = calendar.find(last_session())
    left = 0 if end is None else max(0, end - calendar.last_closed(now))
    return ClockReport(now=now, session=session_date(now), sessions_left=left)


def advance_clock(ws: Workspace, sessions: int = 1) -> ClockReport:
    """Move to the close of a later session: reveal its bars, then fill what was waiting.

    The bars come first and the clock last, so that an interrupted move is simply repeated.
    """
    before = show_clock(ws)
    if sessions < 1:
        raise InputError(f"sessions {sessions} is not positive", hint="algotrade clock next 5")
    if sessions > before.sessions_left:
        raise DataError(
            f"the sample has {before.sessions_left} sessions left, {sessions} asked for",
            hint="algotrade demo starts a fresh one; or set an API key for today's market",
        )
    fills: list[Fill] = []
    for _ in range(sessions):
        ws, filled = _next_session(ws)
        fills.extend(filled)
    after = show_clock(ws)
    return ClockReport(
        now=after.now,
        session=after.session,
        sessions_left=after.sessions_left,
        moved=sessions,
        fills=tuple(fills),
    )


def _next_session(ws: Workspace) -> tuple[Workspace, tuple[Fill, ...]]:
    calendar = ws.calendar()
    later = at(ws, calendar.closes[calendar.last_closed(ws.clock.now()) + 1])
    feed = open_feed(later, calendar)
    for symbol in bar_store.stored_symbols(ws.db, ws.source, DAILY):
        refresh_symbol(later, feed, symbol, calendar)
    with immediate(ws.db):
        records.set_meta(ws.db, records.SAMPLE_CLOCK, str(later.clock.now()))
        fills = settle(later)
    return later, fills


def _require_sample(ws: Workspace) -> None:
    if not ws.simulated:
        raise InputError(
            f"source {ws.source} lives in real time; only the sample has a clock",
            hint="algotrade clock --source sample",
        )
    if records.get_meta(ws.db, records.SAMPLE_CLOCK) is None:
        raise DataError("the sample clock is not set yet", hint="algotrade fetch AAPL sets it")
