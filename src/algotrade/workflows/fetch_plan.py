"""What to fetch: which days of a symbol are missing, and in which units they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from algotrade.domain.timeframes import ONE_DAY, STORED
from algotrade.domain.times import session_date, to_date, to_day
from algotrade.errors import InputError
from algotrade.market.source import Span
from algotrade.store import bars as bar_store
from algotrade.store import coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from algotrade.market.calendar import Calendar
    from algotrade.workflows.context import Workspace

RECHECKED_SESSIONS = 5  # daily bars are corrected for hours and days after the close
MINUTE_HISTORY_DAYS = 60  # what a first fetch of minute bars asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to bring: the symbols (none: all stored), since when, and what to ask again.

    full: ask for everything again, and compare. gaps: ask again for sessions without a bar.
    """

    symbols: tuple[str, ...] = ()
    timeframe: str = ONE_DAY
    start: date | None = None
    full: bool = False
    gaps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to ask of one symbol: units of spans; each unit is stored whole or not at all."""

    symbol: str
    timeframe: str
    units: tuple[tuple[Span, ...], ...]
    last: date
    known: bool
    full: bool


def plan_symbol(ws: Workspace, symbol: str, calendar: Calendar, request: FetchRequest) -> Task:
    """Work out which spans of a symbol are missing, and in which units they are stored."""
    if request.timeframe not in STORED:
        raise InputError(
            f"--timeframe {request.timeframe} is not stored: it is made from 1m or 1d on reading",
            hint=f"one of {', '.join(STORED)}",
        )
    last = to_date(calendar.day[calendar.last_closed(ws.clock.now())])
    series = bar_store.find_series(ws.db, ws.source, symbol, request.timeframe)
    spans = coverage.covered_spans(ws.db, series) if series is not None else []
    first = request.start or (to_date(spans[0][0]) if spans else _default_start(ws, request))
    if first > last:
        raise InputError(
            f"--from {first} is after the last completed session {last}", hint="an earlier date"
        )
    days = _missing_days(ws, series, to_day(first), to_day(last), calendar, request)
    return Task(
        symbol=symbol,
        timeframe=request.timeframe,
        units=_units(days, request.timeframe),
        last=last,
        known=bool(spans),
        full=request.full,
    )


def _default_start(ws: Workspace, request: FetchRequest) -> date:
    if ws.simulated:
        from algotrade.market.sample import first_session

        return first_session()
    today = session_date(ws.clock.now())
    if request.timeframe != ONE_DAY:
        return today - timedelta(days=MINUTE_HISTORY_DAYS)
    return today - timedelta(days=366 * ws.settings.number("history_years") + 1)


def _missing_days(
    ws: Workspace,
    series: int | None,
    first: int,
    last: int,
    calendar: Calendar,
    request: FetchRequest,
) -> list[tuple[int, int]]:
    """Give the spans of days to ask: what is not covered, and the last sessions once more."""
    if series is None or request.full:
        return [(first, last)]
    missing = coverage.missing_spans(ws.db, series, first, last)
    if request.gaps:
        gaps = _gap_days(ws, series, first, last, calendar)
        if gaps and request.timeframe == ONE_DAY:  # years of daily bars are one call
            gaps = [(gaps[0][0], gaps[-1][1])]
        missing += gaps
    recheck = calendar.day[max(0, calendar.last_at_or_before(last) - RECHECKED_SESSIONS + 1)]
    spans = coverage.covered_spans(ws.db, series)
    known = max((end for _, end in spans), default=first - 1)
    behind = calendar.day[max(0, calendar.last_at_or_before(known) - RECHECKED_SESSIONS + 1)]
    return _merged([*missing, (max(first, min(recheck, behind)), last)])


def _gap_days(
    ws: Workspace, series: int, first: int, last: int, calendar: Calendar
) -> list[tuple[int, int]]:
    """Give each session without a bar between the first and the last stored one."""
    have = bar_store.stored_days(ws.db, series)
    if not have:
        return []
    low, high = max(first, min(have)), min(last, max(have))
    return [(day, day) for day in calendar.day if low <= day <= high and day not in have]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _units(days: Sequence[tuple[int, int]], timeframe: str) -> tuple[tuple[Span, ...], ...]:
    """Give a symbol's whole span as one unit (daily), or one unit a month (minute)."""
    spans = [Span(start=to_date(a), end=to_date(b + 1)) for a, b in days]
    if timeframe == ONE_DAY:
        return (tuple(spans),)
    return tuple((month,) for span in spans for month in _months(span))


def _months(span: Span) -> list[Span]:
    months, start = [], span.start
    while start < span.end:
        following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        months.append(Span(start=start, end=min(following, span.end)))
        start = following
    return months
