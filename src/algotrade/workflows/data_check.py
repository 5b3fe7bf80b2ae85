"""Judge stored bars: inspect them against the calendar and their splits, and draw coverage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.times import session_date, to_date
from algotrade.store import bars as bar_store
from algotrade.workflows.models import no_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.bars import Bars
    from algotrade.market.calendar import Calendar
    from algotrade.market.quality import Issue, KindCount
    from algotrade.workflows.context import Workspace

WHOLE, HOLED, EMPTY = "█", "▒", "·"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What was inspected and found."""

    symbols: int
    bars: int
    issues: tuple[Issue, ...]
    counts: tuple[KindCount, ...]
    errors: int
    warnings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One symbol's year: a mark for each month, bars stored, sessions without a bar."""

    symbol: str
    year: int
    months: str
    bars: int
    gaps: int


def check_data(ws: Workspace, symbols: Sequence[str], timeframe: str) -> CheckResult:
    """Inspect the stored bars of each symbol, or of all."""
    from algotrade.market.quality import ERROR, WARNING, inspect_bars, shared_gaps, summarise

    histories = _histories(ws, symbols, timeframe)
    calendar = ws.calendar()
    closures = shared_gaps(histories, calendar)
    now = ws.clock.now()
    issues = [
        issue
        for bars in histories
        for issue in inspect_bars(bars, calendar, now=now, closures=closures)
    ]
    return CheckResult(
        symbols=len(histories),
        bars=sum(len(bars) for bars in histories),
        issues=tuple(sorted(issues, key=lambda i: (i.severity != ERROR, i.symbol, i.when))),
        counts=summarise(issues),
        errors=sum(issue.severity == ERROR for issue in issues),
        warnings=sum(issue.severity == WARNING for issue in issues),
    )


def draw_coverage(ws: Workspace, symbols: Sequence[str], timeframe: str) -> list[Coverage]:
    """Give one line a symbol and year: which months are whole, holed or not stored."""
    calendar = ws.calendar()
    return [line for bars in _histories(ws, symbols, timeframe) for line in _years(bars, calendar)]


def _years(bars: Bars, calendar: Calendar) -> list[Coverage]:
    days = {session_date(ts) for ts in bars.ts_open}
    per_year = Counter(session_date(ts).year for ts in bars.ts_open)
    first, last = min(days), max(days)
    sessions: Counter[tuple[int, int]] = Counter()
    have: Counter[tuple[int, int]] = Counter()
    for day in calendar.day:
        session = to_date(day)
        if first <= session <= last:
            month = (session.year, session.month)
            sessions[month] += 1
            have[month] += session in days
    return [
        Coverage(
            symbol=bars.symbol,
            year=year,
            months="".join(_mark(have[year, m], sessions[year, m]) for m in range(1, 13)),
            bars=per_year[year],
            gaps=sum(sessions[year, m] - have[year, m] for m in range(1, 13)),
        )
        for year in range(first.year, last.year + 1)
    ]


def _mark(have: int, sessions: int) -> str:
    return EMPTY if not have else WHOLE if have == sessions else HOLED


def _histories(ws: Workspace, symbols: Sequence[str], timeframe: str) -> list[Bars]:
    names = list(symbols) or bar_store.stored_symbols(ws.db, ws.source, timeframe)
    if not names:
        raise no_bars(ws, "any symbol")
    histories = [bar_store.load_bars(ws.db, ws.source, name, timeframe) for name in names]
    for bars in histories:
        if not len(bars):
            raise no_bars(ws, bars.symbol)
    return histories
