"""Quality: what is wrong, or looks wrong, with a symbol's bars; every bar is looked at.

An error says that a bar (or a split) cannot be true: such bars are set aside by `set_aside`. A
warning may be true and wants a look. A note is how the market is: thin stocks miss minutes.

kind               severity  what
not-positive       error     a price of zero or less, or a volume below zero
high-low           error     high or low is inside the range of the other prices
no-session         error     the exchange was closed that day, or the calendar does not reach it
off-grid           error     not at the times that the calendar gives a bar of this timeframe
future             error     complete only after `now`
unsorted           error     earlier than a bar before it
duplicate          error     a second bar of the same time
split-not-followed error     a known split, and the price did not move
late-split         error     a known split, and the price moved on another day nearby
wrong-split        warning   a known split, and the price moved by another ratio (a spin-off too?)
duplicate-split    warning   two known splits within a few days
split-off-session  warning   a known split on a day that is no session
missing-split      warning   the price moved overnight by a simple ratio, and no split is known
ticker-reuse       warning   a long gap, and another price level after it: two companies?
jump               warning   more than 20 % from the close before, splits allowed for
zero-volume        warning   prices, but no shares traded
repeated           warning   a daily bar equal to the one before in all values
gap                warning   sessions without a bar between the first and the last
missing-minutes    note      bars missing in regular hours of sessions that have some
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from algotrade.bars import COLUMNS, Finding
from algotrade.domain.times import DAY, HOUR, iso, session_date, to_date, to_day
from algotrade.market.jumps import price_moves
from algotrade.market.resample import INTRADAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.domain.actions import Split
    from algotrade.market.calendar import Calendar

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

ERROR, WARNING, NOTE = "error", "warning", "note"
SPLIT_ERRORS = ("split-not-followed", "late-split")
SPLIT_KINDS = (*SPLIT_ERRORS, "wrong-split", "duplicate-split", "split-off-session")

_SHARED_BY = 5  # symbols that must agree before a session is taken for a closure


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing that is wrong or wants a look.

    when: the session of a daily bar, else the ISO time at which the bar opens.
    values: the numbers behind the message, by name; dollars, ratios or counts.
    row: index of the bar among those inspected; None where it is not about one bar.
    count: how many bars, sessions or minutes it stands for.
    """

    symbol: str
    when: str
    kind: str
    severity: str
    message: str
    values: tuple[tuple[str, float | str], ...] = ()
    row: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCount:
    """Issues of one kind: how many, for how many bars and symbols, the first and the last."""

    kind: str
    severity: str
    issues: int
    count: int
    symbols: int
    first: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Some of the bars as arrays; `row` is their place among all, `at` that of their session."""

    bars: Bars
    calendar: Calendar
    row: Ints
    columns: Mapping[str, Ints]
    day: Ints
    at: Ints

    def when(self, index: int) -> str:
        """Name a bar."""
        if self.bars.timeframe in INTRADAY:
            return iso(int(self.columns["ts_open"][index]))
        return to_date(int(self.day[index])).isoformat()

    def issue(self, index: int, kind: str, message: str, **values: float | str) -> Issue:
        """Make the warning about one bar."""
        return Issue(
            symbol=self.bars.symbol,
            when=self.when(index),
            kind=kind,
            severity=WARNING,
            message=message,
            values=tuple(values.items()),
            row=int(self.row[index]),
        )


def inspect_bars(
    bars: Bars,
    calendar: Calendar,
    *,
    now: int,
    known_splits: Sequence[Split] | None = None,
    closures: Collection[date] = (),
) -> list[Issue]:
    """Look at every bar and at what lies between them; give what was found, by time.

    now: microseconds UTC. known_splits: without it, those that the bars bear. closures: sessions
    of the calendar on which the exchange stayed closed after all (see `shared_gaps`).
    Jumps, gaps and splits are judged on the bars that have no error of their own.
    """
    if not len(bars):
        return []
    import numpy as np

    look = _look(bars, calendar)
    errors = {kind: flags for kind, flags in _errors(look, now).items() if flags.any()}
    found = [issue for kind, flags in errors.items() for issue in _told(look, kind, flags)]
    if errors:
        look = _kept(look, ~np.logical_or.reduce(list(errors.values())))
    if len(look.row):
        splits = bars.splits if known_splits is None else known_splits
        found += _series_issues(look, sorted(splits, key=lambda s: s.ex_date), closures)
    return sorted(found, key=lambda issue: (issue.when, issue.kind))


def set_aside(bars: Bars, issues: Iterable[Issue]) -> tuple[Bars, tuple[Finding, ...]]:
    """Give the bars that have no error of their own, and a finding for each of the others."""
    wrong: dict[int, list[Issue]] = {}
    for issue in issues:
        if issue.severity == ERROR and issue.row is not None:
            wrong.setdefault(issue.row, []).append(issue)
    if not wrong:
        return bars, ()
    import numpy as np

    keep = np.ones(len(bars), dtype=bool)
    keep[list(wrong)] = False
    columns: dict[str, Any] = {
        name: array("q", bars.numpy(name)[keep].tobytes()) for name in COLUMNS
    }
    findings = tuple(
        Finding(symbol=bars.symbol, when=told[0].when, reason="; ".join(i.message for i in told))
        for _, told in sorted(wrong.items())
    )
    return replace(bars, **columns), findings


def summarise(issues: Iterable[Issue]) -> tuple[KindCount, ...]:
    """Count issues by kind, errors first."""
    by_kind: dict[tuple[str, str], list[Issue]] = {}
    for issue in issues:
        by_kind.setdefault((issue.severity, issue.kind), []).append(issue)
    rank = (ERROR, WARNING, NOTE).index
    return tuple(
        KindCount(
            kind=kind,
            severity=severity,
            issues=len(told),
            count=sum(issue.count for issue in told),
            symbols=len({issue.symbol for issue in told}),
            first=min(issue.when for issue in told),
            last=max(issue.when for issue in told),
        )
        for (severity, kind), told in sorted(
            by_kind.items(), key=lambda item: (rank(item[0][0]), -len(item[1]), item[0][1])
        )
    )


def missing_sessions(bars: Bars, calendar: Calendar) -> list[date]:
    """Give each session without a bar between the first and the last bar."""
    import numpy as np

    at = _present(bars, calendar)
    absent = np.setdiff1d(np.arange(at[0], at[-1] + 1), at) if len(at) else at
    return [to_date(calendar.day[index]) for index in absent.tolist()]


def shared_gaps(panel: Iterable[Bars], calendar: Calendar) -> list[date]:
    """Give the sessions that no symbol has and at least five, all that could, should have.

    Either the exchange was closed and the calendar does not know yet, or the source has a hole.
    """
    import numpy as np

    present = np.zeros(len(calendar), dtype=np.int64)
    expected = np.zeros(len(calendar) + 1, dtype=np.int64)
    for bars in panel:
        at = _present(bars, calendar)
        if len(at):
            present[at] += 1
            expected[at[0]] += 1
            expected[at[-1] + 1] -= 1
    shared = (present == 0) & (np.cumsum(expected[:-1]) >= _SHARED_BY)
    return [to_date(calendar.day[index]) for index in np.flatnonzero(shared).tolist()]


def price_faults(columns: Mapping[str, Ints]) -> dict[str, Flags]:
    """Give by kind which rows no market can have printed."""
    import numpy as np

    opened, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    positive = (opened > 0) & (high > 0) & (low > 0) & (close > 0) & (columns["volume"] >= 0)
    apart = (high < np.maximum(opened, close)) | (low > np.minimum(opened, close)) | (high < low)
    return {"not-positive": ~positive, "high-low": apart & positive}


def _present(bars: Bars, calendar: Calendar) -> Ints:
    """Give the places of the sessions that have a bar."""
    import numpy as np

    at = np.unique(_look(bars, calendar).at)
    return at[at >= 0]


def _look(bars: Bars, calendar: Calendar) -> _Look:
    import numpy as np

    columns = {name: bars.numpy(name) for name in COLUMNS}
    day = (columns["ts_open"] - 5 * HOUR) // DAY
    days = np.frombuffer(calendar.day, dtype=np.int64)
    at = np.minimum(np.searchsorted(days, day), len(days) - 1)
    at = np.where(days[at] == day, at, -1)
    row = np.arange(len(bars))
    return _Look(bars=bars, calendar=calendar, row=row, columns=columns, day=day, at=at)


def _kept(look: _Look, keep: Flags) -> _Look:
    columns = {name: column[keep] for name, column in look.columns.items()}
    row, day, at = look.row[keep], look.day[keep], look.at[keep]
    return replace(look, row=row, columns=columns, day=day, at=at)


def _errors(look: _Look, now: int) -> dict[str, Flags]:
    """Give by kind which bars have that error."""
    import numpy as np

    ts_close = look.columns["ts_close"]
    future = ts_close > now
    told = price_faults(look.columns) | {"no-session": look.at < 0, "future": future}
    told["off-grid"] = _off_grid(look) & (look.at >= 0)
    sound = np.flatnonzero(~np.logical_or.reduce(list(told.values())))
    told |= {kind: np.zeros(len(ts_close), dtype=bool) for kind in ("duplicate", "unsorted")}
    ts_close = ts_close[sound]
    order = np.argsort(ts_close, kind="stable")
    again = sound[order[1:][np.diff(ts_close[order]) == 0]]
    told["duplicate"][again] = True
    told["unsorted"][sound[1:]] = ts_close[1:] < np.maximum.accumulate(ts_close)[:-1]
    told["unsorted"][again] = False
    return told


def _off_grid(look: _Look) -> Flags:
    import numpy as np

    ts_open, ts_close = look.columns["ts_open"], look.columns["ts_close"]
    opens = np.frombuffer(look.calendar.opens, dtype=np.int64)[look.at]
    closes = np.frombuffer(look.calendar.closes, dtype=np.int64)[look.at]
    length = INTRADAY.get(look.bars.timeframe)
    if length is not None:
        regular = (ts_open >= opens) & (ts_open < closes)
        end = np.where(regular, np.minimum(ts_open + length, closes), ts_open + length)
        fits = ((ts_open - opens) % length == 0) & (ts_close == end)
    elif look.bars.timeframe == "1w":  # ends at the close of another session
        fits = (ts_open == opens) & np.isin(ts_close, look.calendar.closes)
    else:
        fits = (ts_open == opens) & (ts_close == closes)
    wrong: Flags = ~fits
    return wrong


def _told(look: _Look, kind: str, flags: Flags) -> Iterator[Issue]:
    for index in flags.nonzero()[0].tolist():
        values = {name: int(column[index]) for name, column in look.columns.items()}
        prices = {name: values[name] / 1e6 for name in ("open", "high", "low", "close", "volume")}
        said = " ".join(f"{name} {prices[name]:.6g}" for name in prices)
        span = f"{iso(values['ts_open'])} to {iso(values['ts_close'])}"
        message = {
            "not-positive": f"{said}: prices must be positive, the volume not negative",
            "high-low": f"{said}: these contradict each other",
            "no-session": f"{session_date(values['ts_open'])} is no session of the calendar",
            "off-grid": f"{span} is not the time of a {look.bars.timeframe} bar",
            "future": f"the bar ends at {iso(values['ts_close'])}, which is still to come",
            "duplicate": f"a second bar that ends at {iso(values['ts_close'])}",
            "unsorted": f"{span} stands after a later bar",
        }[kind]
        yield replace(look.issue(index, kind, message, **prices), severity=ERROR)


def _series_issues(
    look: _Look, splits: Sequence[Split], closures: Collection[date]
) -> Iterator[Issue]:
    """Give what can only be seen from several bars."""
    import numpy as np

    zero = look.columns["volume"] == 0
    for index in np.flatnonzero(zero).tolist():
        yield look.issue(index, "zero-volume", "no shares traded, yet the bar has prices")
    if look.bars.timeframe == "1d" and len(look.row) > 1:
        values = np.stack([look.columns[name] for name in COLUMNS[2:]])
        same = (values[:, 1:] == values[:, :-1]).all(axis=0) & ~zero[1:]
        for index in (np.flatnonzero(same) + 1).tolist():
            yield look.issue(index, "repeated", f"equal to {look.when(index - 1)} in all values")
    if look.bars.timeframe != "1w":
        yield from _gaps(look, {to_day(day) for day in closures})
        yield from _missing_minutes(look)
    for move in price_moves(
        look.day,
        look.at,
        look.columns["open"],
        look.columns["close"],
        splits,
        sessions=look.calendar.day,
    ):
        issue = look.issue(move.bar, move.kind, move.message)
        on_bar = None if move.kind in SPLIT_KINDS else issue.row
        severity = ERROR if move.kind in SPLIT_ERRORS else WARNING
        yield replace(issue, severity=severity, row=on_bar, values=move.values)


def _gaps(look: _Look, closures: Collection[int]) -> Iterator[Issue]:
    """Give the runs of sessions without a bar, between the first bar and the last."""
    import numpy as np

    at = np.unique(look.at)
    days = look.calendar.day
    for index in np.flatnonzero(np.diff(at) > 1).tolist():
        absent = [d for d in days[at[index] + 1 : at[index + 1]] if d not in closures]
        if not absent:
            continue
        first, last = (to_date(day).isoformat() for day in (absent[0], absent[-1]))
        told = first if len(absent) == 1 else f"{first} to {last}"
        yield Issue(
            symbol=look.bars.symbol,
            when=first,
            kind="gap",
            severity=WARNING,
            message=f"no bar for {told} ({len(absent)} sessions)".replace("(1 sessions)", ""),
            values=(("first", first), ("last", last), ("sessions", len(absent))),
            count=len(absent),
        )


def _missing_minutes(look: _Look) -> Iterator[Issue]:
    """Count the bars that regular hours lack, in sessions that have some, first bar to last."""
    length = INTRADAY.get(look.bars.timeframe)
    if length is None:
        return
    import numpy as np

    ts_open, at = look.columns["ts_open"], np.unique(look.at)
    opens = np.maximum(np.frombuffer(look.calendar.opens, dtype=np.int64)[at], ts_open[0])
    last = look.columns["ts_close"][-1]
    closes = np.minimum(np.frombuffer(look.calendar.closes, dtype=np.int64)[at], last)
    expected = np.maximum(0, -((opens - closes) // length))
    place = np.searchsorted(at, look.at)
    regular = (ts_open >= opens[place]) & (ts_open < closes[place])
    absent = expected - np.bincount(place[regular], minlength=len(at))
    total, worst = int(absent.sum()), int(absent.argmax())
    if total <= 0:
        return
    day = to_date(look.calendar.day[at[worst]]).isoformat()
    yield Issue(
        symbol=look.bars.symbol,
        when=day,
        kind="missing-minutes",
        severity=NOTE,
        message=f"{total} of {int(expected.sum())} bars of regular hours are missing, most on"
        f" {day} ({int(absent[worst])}); minutes without a trade have none",
        values=(("expected", int(expected.sum())), ("worst", day), ("most", int(absent[worst]))),
        count=total,
    )
