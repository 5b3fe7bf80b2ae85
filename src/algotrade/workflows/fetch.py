"""Fetch: bring bars, splits and dividends into the store; only what is missing is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from algotrade.domain.times import DAY, session_date, session_day, to_date, to_day
from algotrade.errors import DataError, InputError, PlanError, SecretError
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.source import BarSource, Span
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store.database import immediate
from algotrade.workflows.context import DAILY, Workspace, at, ensure_account
from algotrade.workflows.settle import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.bars import Bars, Finding
    from algotrade.domain.orders import Fill

RECHECKED_SESSIONS = 5  # daily bars are corrected for hours and days after the close
_CALENDAR_START = date(1990, 1, 1)
_CALENDAR_AHEAD = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What one symbol's fetch brought; first and last are sessions of all stored bars."""

    symbol: str
    source: str
    new: int
    changed: int
    bars: int
    first: date
    last: date
    actions: int
    rejected: tuple[Finding, ...]
    delayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """The reports of a fetch, and the fills it made possible."""

    reports: tuple[FetchReport, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """Everything a source told about one symbol, complete, before any of it is stored."""

    span: Span
    bars: tuple[Bars, ...]
    rejected: tuple[Finding, ...]
    delayed: bool


def fetch(
    ws: Workspace,
    symbols: Sequence[str],
    *,
    start: date | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> FetchResult:
    """Fetch each symbol whole or not at all, then fill the orders that waited for a price."""
    wanted = list(dict.fromkeys(symbols)) or bar_store.stored_symbols(ws.db, ws.source, DAILY)
    if not wanted:
        raise InputError("no symbol given and none stored", hint="algotrade fetch AAPL")
    calendar = ensure_calendar(ws)
    ws = _start_clock(ws, calendar)
    with immediate(ws.db):
        ensure_account(ws)
    source = make_source(ws, calendar)
    reports = []
    for symbol in wanted:
        progress(symbol)
        reports.append(fetch_symbol(ws, source, symbol, calendar, start=start))
    with immediate(ws.db):
        fills = settle(ws)
    return FetchResult(reports=tuple(reports), fills=fills)


def fetch_symbol(
    ws: Workspace, source: BarSource, symbol: str, calendar: Calendar, *, start: date | None = None
) -> FetchReport:
    """Ask for what is missing of one symbol, all of it first, then store it in one transaction."""
    known = bar_store.find_series(ws.db, ws.source, symbol, DAILY)
    covered = None if known is None else bar_store.covered(ws.db, known)
    now = ws.clock.now()
    last = to_date(calendar.day[calendar.last_closed(now)])
    if start is None:  # older history than is stored is asked for only where somebody asks
        start = _default_start(ws) if covered is None else to_date(covered[0])
    spans = _missing(covered, start, last, calendar)
    answers = _ask_all(ws, source, symbol, spans, covered)
    splits, dividends = source.splits(symbol), source.dividends(symbol)
    if covered is None and not any(len(bars) for answer in answers for bars in answer.bars):
        raise DataError(
            f"{ws.source} has no bars for {symbol} since {spans[0].start}",
            hint="check the symbol, or ask for an earlier --from",
        )
    new = changed = 0
    with immediate(ws.db):
        series = bar_store.series_id(ws.db, ws.source, symbol, DAILY)
        for answer in answers:
            for bars in answer.bars:
                saved = bar_store.save_bars(ws.db, bars, recorded_at=_recorded_at(ws, now))
                new, changed = new + saved.new, changed + saved.changed
            _note_coverage(ws, series, answer, last, now)
        actions = bar_store.save_splits(ws.db, ws.source, symbol, splits, known_at=now)
        actions += bar_store.save_dividends(ws.db, ws.source, symbol, dividends, known_at=now)
    return _report(ws, symbol, answers, new=new, changed=changed, actions=actions)


def make_source(ws: Workspace, calendar: Calendar) -> BarSource:
    """Build the source of market data that the workspace lives on."""
    if ws.simulated:
        from algotrade.market.sample import SampleSource

        return SampleSource(calendar, now=ws.clock.now())
    from algotrade.market.polygon import PolygonSource
    from algotrade.market.polygon_http import PolygonHttp

    key = ws.settings.key
    if key is None:
        raise SecretError(
            "source polygon needs an API key and none is set",
            hint="set POLYGON_API_KEY or MASSIVE_API_KEY, or key_file; or --source sample",
        )
    http = PolygonHttp(
        base=ws.settings.text("api_base"),
        key=key.reveal(),
        rate_per_minute=ws.settings.number("rate"),
        announce=ws.say,
    )
    now = ws.clock.now()
    return PolygonSource(http, calendar, today=session_date(now), now=now, announce=ws.say)


def ensure_calendar(ws: Workspace) -> Calendar:
    """Give the exchange calendar, computing and caching it where it does not reach far enough."""
    today = to_date(ws.clock.now() // DAY)
    cached = ws.calendar()
    if len(cached) and cached.day[-1] >= to_day(today) + 60:
        return cached
    fresh = exchange_calendar(_CALENDAR_START, today + _CALENDAR_AHEAD)
    with immediate(ws.db):
        records.save_sessions(ws.db, zip(fresh.day, fresh.opens, fresh.closes, strict=True))
    return fresh


def _start_clock(ws: Workspace, calendar: Calendar) -> Workspace:
    """Set the sample clock where the workspace has none yet."""
    if not ws.simulated or records.get_meta(ws.db, records.SAMPLE_CLOCK) is not None:
        return ws
    from algotrade.market.sample import opening_now

    now = opening_now(calendar)
    with immediate(ws.db):
        records.set_meta(ws.db, records.SAMPLE_CLOCK, str(now))
    ws.say(f"sample clock starts at the close of {session_date(now)} (algotrade clock)")
    return at(ws, now)


def _default_start(ws: Workspace) -> date:
    if ws.simulated:
        from algotrade.market.sample import first_session

        return first_session()
    today = session_date(ws.clock.now())
    return today - timedelta(days=366 * ws.settings.number("history_years") + 1)


def _missing(
    covered: tuple[int, int] | None, start: date, last: date, calendar: Calendar
) -> list[Span]:
    """Give the spans to ask: before what is covered, and after it with a few sessions again."""
    if start > last:
        raise InputError(
            f"--from {start} is after the last completed session {last}", hint="an earlier date"
        )
    end = last + timedelta(days=1)
    if covered is None:
        return [Span(start=start, end=end)]
    spans = []
    if to_day(start) < covered[0]:
        spans.append(Span(start=start, end=to_date(covered[0])))
    behind = calendar.last_at_or_before(covered[1]) - RECHECKED_SESSIONS + 1
    spans.append(Span(start=to_date(max(covered[0], calendar.day[max(0, behind)])), end=end))
    return spans


def _ask_all(
    ws: Workspace,
    source: BarSource,
    symbol: str,
    spans: Sequence[Span],
    covered: tuple[int, int] | None,
) -> list[_Answer]:
    """Ask for each span; one before what is stored may be refused by the plan, and is told."""
    answers = []
    for span in spans:
        try:
            answers.append(_ask(source, symbol, span))
        except PlanError:
            if covered is None or to_day(span.start) >= covered[0]:
                raise
            ws.say(f"{symbol}: the plan does not include what is before {to_date(covered[0])}")
    return answers


def _ask(source: BarSource, symbol: str, span: Span) -> _Answer:
    pages = list(source.bars(symbol, DAILY, span))
    granted = source.granted_start(symbol)
    start = max(span.start, granted) if granted else span.start
    return _Answer(
        span=Span(start=start, end=span.end),
        bars=tuple(page.bars for page in pages),
        rejected=tuple(finding for page in pages for finding in page.rejected),
        delayed=any(page.delayed for page in pages),
    )


def _note_coverage(ws: Workspace, series: int, answer: _Answer, last: date, now: int) -> None:
    bar_store.save_rejected(ws.db, series, answer.rejected, seen_at=now)
    bar_store.save_coverage(
        ws.db,
        series,
        first_day=to_day(answer.span.start),
        last_day=min(to_day(last), to_day(answer.span.end) - 1),
        asked_at=now,
        bars=sum(len(bars) for bars in answer.bars),
    )


def _recorded_at(ws: Workspace, now: int) -> Callable[[int], int]:
    """In simulated time a bar became known when it closed; in real time, now."""
    return (lambda ts_close: ts_close) if ws.simulated else (lambda _: now)


def _report(
    ws: Workspace, symbol: str, answers: Sequence[_Answer], *, new: int, changed: int, actions: int
) -> FetchReport:
    summary = next(
        found
        for found in bar_store.summaries(ws.db)
        if (found.source, found.symbol) == (ws.source, symbol)
    )
    return FetchReport(
        symbol=symbol,
        source=ws.source,
        new=new,
        changed=changed,
        bars=summary.bars,
        first=to_date(session_day(summary.first)),
        last=to_date(session_day(summary.last)),
        actions=actions,
        rejected=tuple(finding for answer in answers for finding in answer.rejected),
        delayed=any(answer.delayed for answer in answers),
    )
