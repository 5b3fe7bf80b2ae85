"""Fetch: bring bars, splits and dividends into the store; only what is missing is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from algotrade.domain.timeframes import ONE_DAY
from algotrade.domain.times import DAY, session_date, session_day, to_date, to_day
from algotrade.errors import AlgotradeError, DataError, InputError, PlanError
from algotrade.market.source import Span
from algotrade.store import actions as action_store
from algotrade.store import bars as bar_store
from algotrade.store import coverage, records
from algotrade.store.database import immediate
from algotrade.workflows.context import Workspace, at, ensure_account
from algotrade.workflows.fetch_board import Board
from algotrade.workflows.fetch_plan import FetchRequest, Task, plan_symbol
from algotrade.workflows.settle import settle
from algotrade.workflows.sources import Feed, ensure_calendar, open_feed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from algotrade.bars import Bars, Finding
    from algotrade.domain.actions import Dividend, Split
    from algotrade.domain.orders import Fill
    from algotrade.market.calendar import Calendar
    from algotrade.market.source import BarSource, PlannedCall
    from algotrade.workflows.fetch_board import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What one symbol's fetch brought; first and last are sessions of all stored bars.

    gaps: sessions between them without a bar (daily), or None.
    """

    symbol: str
    source: str
    timeframe: str
    new: int
    changed: int
    bars: int
    first: date
    last: date
    gaps: int | None
    actions: int
    rejected: tuple[Finding, ...]
    delayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """The reports of a fetch, the symbols that failed, and the fills it made possible."""

    reports: tuple[FetchReport, ...]
    failures: tuple[tuple[str, AlgotradeError], ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """Everything a source told about one span, complete, before any of it is stored."""

    span: Span
    bars: tuple[Bars, ...]
    rejected: tuple[Finding, ...]
    delayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    """What storing changed."""

    new: int = 0
    changed: int = 0
    actions: int = 0
    told: bool = False  # splits and dividends were asked for
    rejected: tuple[Finding, ...] = ()
    delayed: bool = False


def fetch(
    ws: Workspace, request: FetchRequest, *, progress: Callable[[Progress], None] = lambda _: None
) -> FetchResult:
    """Fetch each unit whole or not at all, then fill the orders that waited for a price.

    A symbol that cannot be had does not keep the others waiting; a provider that is down does.
    """
    calendar = ensure_calendar(ws)
    ws = _start_clock(ws, calendar)
    tasks = [plan_symbol(ws, name, calendar, request) for name in _wanted(ws, request)]
    board = Board(progress)
    feed = open_feed(ws, calendar, on_wait=board.waits)
    board.start(feed, {task.symbol: _calls(ws, feed, task) for task in tasks})
    reports, failures = [], []
    for task in tasks:
        try:
            reports.append(fetch_symbol(ws, feed, task, calendar, board))
        except (DataError, PlanError) as error:
            failures.append((task.symbol, error))
            board.skip(task.symbol)
    fills: tuple[Fill, ...] = ()
    if reports:
        with immediate(ws.db):
            ensure_account(ws)
            fills = settle(ws)
    _look_at_drift(ws, request, reports)
    return FetchResult(reports=tuple(reports), failures=tuple(failures), fills=fills)


def _look_at_drift(ws: Workspace, request: FetchRequest, reports: Sequence[FetchReport]) -> None:
    """Note how far the input of the model in use has drifted, where bars have come."""
    came = [one.symbol for one in reports if one.new]
    if request.timeframe == ONE_DAY and came and records.trainings(ws.db):
        from algotrade.workflows.models import note_drift

        note_drift(ws, came)


def plan_calls(ws: Workspace, request: FetchRequest) -> list[tuple[str, PlannedCall]]:
    """Give the calls that `fetch` would begin with; none where the source is built in."""
    calendar = ensure_calendar(ws, save=False)
    planner = open_feed(ws, calendar).planner
    if planner is None:
        return []
    calls: list[tuple[str, PlannedCall]] = []
    for name in _wanted(ws, request):
        task = plan_symbol(ws, name, calendar, request)
        for span in (span for unit in task.units for span in unit):
            calls += [(name, call) for call in planner.plan(name, task.timeframe, span)]
        if _actions_due(ws, task):
            calls += [(name, call) for call in planner.plan_actions(name)]
    return calls


def _calls(ws: Workspace, feed: Feed, task: Task) -> list[int]:
    """Give how many calls each unit is expected to take."""
    if feed.planner is None:
        return [0] * len(task.units)
    plan, symbol = feed.planner.plan, task.symbol
    calls = [
        sum(call.pages for span in unit for call in plan(symbol, task.timeframe, span))
        for unit in task.units
    ]
    calls[0] += len(feed.planner.plan_actions(symbol)) if _actions_due(ws, task) else 0
    return calls


def fetch_symbol(
    ws: Workspace, feed: Feed, task: Task, calendar: Calendar, board: Board
) -> FetchReport:
    """Ask for each unit, all of it first, then store it in one transaction."""
    saved = _Saved()
    for unit in task.units:
        board.doing(f"{task.symbol} {unit[0].start:%Y-%m}" if len(task.units) > 1 else task.symbol)
        answers = _ask_all(ws, feed.source, task, unit)
        saved = _added(saved, _store(ws, feed.source, task, answers, told=saved.told))
        board.step(task.symbol)
    return _report(ws, task, calendar, saved)


def refresh_symbol(ws: Workspace, feed: Feed, symbol: str, calendar: Calendar) -> FetchReport:
    """Bring one stored symbol's daily bars up to date."""
    task = plan_symbol(ws, symbol, calendar, FetchRequest())
    return fetch_symbol(ws, feed, task, calendar, Board(lambda _: None))


def _wanted(ws: Workspace, request: FetchRequest) -> list[str]:
    names = list(dict.fromkeys(request.symbols))
    names = names or bar_store.stored_symbols(ws.db, ws.source, request.timeframe)
    if not names:
        raise InputError("no symbol given and none stored", hint="algotrade fetch AAPL")
    return names


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


def _ask_all(ws: Workspace, source: BarSource, task: Task, unit: Sequence[Span]) -> list[_Answer]:
    """Ask for each span; one before what is stored may be refused by the plan, and is told."""
    answers = []
    for span in unit:
        try:
            answers.append(_ask(source, task, span))
        except PlanError:
            if not task.known or span.end > task.last:
                raise
            ws.say(f"{task.symbol}: the plan does not include what is before {span.end}")
    return answers


def _ask(source: BarSource, task: Task, span: Span) -> _Answer:
    pages = list(source.bars(task.symbol, task.timeframe, span))
    granted = source.granted_start(task.symbol)
    start = max(span.start, granted) if granted else span.start
    return _Answer(
        span=Span(start=start, end=span.end),
        bars=tuple(page.bars for page in pages),
        rejected=tuple(finding for page in pages for finding in page.rejected),
        delayed=any(page.delayed for page in pages),
    )


def _store(
    ws: Workspace, source: BarSource, task: Task, answers: Sequence[_Answer], *, told: bool
) -> _Saved:
    """Store a unit with the actions that belong to it, in one transaction.

    told: the actions were asked for in this fetch and came with an earlier unit.
    """
    if not task.known and task.timeframe == ONE_DAY and not any(map(_has_bars, answers)):
        raise DataError(
            f"{ws.source} has no bars for {task.symbol}",
            hint="check the symbol, or ask for an earlier --from",
        )
    actions = None if told else _ask_actions(ws, source, task, answers)
    now = ws.clock.now()
    saved = _Saved(
        told=told or actions is not None,
        rejected=tuple(finding for answer in answers for finding in answer.rejected),
        delayed=any(answer.delayed for answer in answers),
    )
    with immediate(ws.db):
        series = bar_store.series_id(ws.db, ws.source, task.symbol, task.timeframe)
        for bars in (bars for answer in answers for bars in answer.bars):
            report = bar_store.save_bars(ws.db, bars, recorded_at=_recorded_at(ws, now))
            saved = replace(
                saved, new=saved.new + report.new, changed=saved.changed + report.changed
            )
        for answer in answers:
            _note(ws, series, answer, task, now)
        if actions is not None:
            saved = replace(saved, actions=_save_actions(ws, task, actions, now))
    return saved


def _has_bars(answer: _Answer) -> bool:
    return any(len(bars) for bars in answer.bars) or bool(answer.rejected)


def _note(ws: Workspace, series: int, answer: _Answer, task: Task, now: int) -> None:
    bar_store.save_rejected(ws.db, series, answer.rejected, seen_at=now)
    first = to_day(answer.span.start)
    last = min(to_day(task.last), to_day(answer.span.end) - 1)
    if first <= last:
        count = sum(len(bars) for bars in answer.bars)
        coverage.note_covered(ws.db, series, first, last, asked_at=now, bars=count)


_Actions = tuple["list[Split]", "list[Dividend]"]


def _ask_actions(
    ws: Workspace, source: BarSource, task: Task, answers: Sequence[_Answer]
) -> _Actions | None:
    """Ask for splits and dividends, unless nothing is new since they were asked for."""
    stored = bar_store.summary(ws.db, ws.source, task.symbol, task.timeframe)
    newest = stored.last if stored else 0
    fresh = any(len(b) and b.ts_close[-1] > newest for answer in answers for b in answer.bars)
    if not fresh and not _actions_due(ws, task):
        return None
    return source.splits(task.symbol), source.dividends(task.symbol)


def _actions_due(ws: Workspace, task: Task) -> bool:
    asked = records.get_meta(ws.db, _actions_name(ws, task.symbol))
    return task.full or asked is None or int(asked) < to_day(task.last)


def _save_actions(ws: Workspace, task: Task, actions: _Actions, now: int) -> int:
    splits, dividends = actions
    known_at = _action_known_at(ws, now)
    changed = action_store.save_splits(ws.db, ws.source, task.symbol, splits, known_at=known_at)
    changed += action_store.save_dividends(
        ws.db, ws.source, task.symbol, dividends, known_at=known_at
    )
    records.set_meta(ws.db, _actions_name(ws, task.symbol), str(to_day(task.last)))
    return changed


def _actions_name(ws: Workspace, symbol: str) -> str:
    return f"actions:{ws.source}:{symbol}"


def _recorded_at(ws: Workspace, now: int) -> Callable[[int], int]:
    """In simulated time a bar became known when it closed; in real time, now."""
    return (lambda ts_close: ts_close) if ws.simulated else (lambda _: now)


def _action_known_at(ws: Workspace, now: int) -> Callable[[int], int]:
    """In simulated time an action became known when its ex-date began; in real time, now."""
    return (lambda ex_day: ex_day * DAY) if ws.simulated else (lambda _: now)


def _added(one: _Saved, other: _Saved) -> _Saved:
    return _Saved(
        new=one.new + other.new,
        changed=one.changed + other.changed,
        actions=one.actions + other.actions,
        told=one.told or other.told,
        rejected=one.rejected + other.rejected,
        delayed=one.delayed or other.delayed,
    )


def _report(ws: Workspace, task: Task, calendar: Calendar, saved: _Saved) -> FetchReport:
    summary = bar_store.summary(ws.db, ws.source, task.symbol, task.timeframe)
    if summary is None:
        raise DataError(
            f"{ws.source} has no bars for {task.symbol}",
            hint="check the symbol, or ask for an earlier --from",
        )
    first, last = to_date(session_day(summary.first)), to_date(session_day(summary.last))
    gaps = None
    if task.timeframe == ONE_DAY:
        low, high = calendar.find(first), calendar.find(last)
        gaps = None if low is None or high is None else high - low + 1 - summary.bars
    return FetchReport(
        symbol=task.symbol,
        source=ws.source,
        timeframe=task.timeframe,
        new=saved.new,
        changed=saved.changed,
        bars=summary.bars,
        first=first,
        last=last,
        gaps=gaps,
        actions=saved.actions,
        rejected=saved.rejected,
        delayed=saved.delayed,
    )
