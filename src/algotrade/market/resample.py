"""Resampling: longer bars out of shorter ones, by regular sessions in New York.

Minute bars become 5m, 15m, 30m, 1h and 1d bars counted from the session's opening; what trades
before the opening or after the close (13:00 on half days) is left out, so a 1d bar made here is
not the official one. Daily bars become weeks, Monday to Sunday. A bucket ends at its nominal end or
at the session's close, whichever is first; a bucket without a bar is absent.

Only whole sessions share one share basis: where a split falls inside a week, the bars before it are
brought into the shares of the week's last bar (prices and volumes rounded half-even), and the split
is dated from the week's opening, so that adjustment of the weeks before it stays right.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from algotrade.bars import Bars
from algotrade.domain.money import divide_half_even
from algotrade.domain.timeframes import ONE_DAY, TIMEFRAMES, seconds_of
from algotrade.domain.times import DAY, HOUR, MICROSECONDS, session_date, to_day
from algotrade.errors import DataError, InputError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from algotrade.domain.actions import Split
    from algotrade.market.calendar import Calendar

    Ints = NDArray[np.int64]
    Columns = dict[str, Ints]

INTRADAY = {  # timeframes shorter than a session, and their lengths
    timeframe: seconds_of(timeframe) * MICROSECONDS
    for timeframe in TIMEFRAMES
    if seconds_of(timeframe) < seconds_of(ONE_DAY)
}

_VALUES = ("open", "high", "low", "close", "volume")
_MONDAY = 3  # 1970-01-01 was a Thursday: day + 3 counts from a Monday


def resample(
    bars: Bars,
    timeframe: str,
    calendar: Calendar,
    *,
    now: int | None = None,
    complete_only: bool = True,
) -> Bars:
    """Make longer bars; each reads only bars that were known at `now`.

    now: microseconds UTC up to which `bars` are everything that traded; without it, the close of
    the last bar, since nothing tells of what came after. A bucket is complete when its ts_close is
    at or before `now`; with `complete_only=False` the last one may still change.
    Raises InputError for a timeframe that cannot be made, DataError for unsorted bars.
    """
    _check_pair(bars.timeframe, timeframe)
    if not len(bars):
        return replace(bars, timeframe=timeframe)
    import numpy as np

    known = int(bars.ts_close[-1]) if now is None else now
    columns = {name: bars.numpy(name) for name in ("ts_open", "ts_close", *_VALUES)}
    if (np.diff(columns["ts_close"]) <= 0).any():
        raise DataError(f"{bars.symbol}: bars out of order cannot be resampled")
    keep = columns["ts_close"] <= known
    at = _sessions(columns["ts_open"], calendar)
    starts, ends = _buckets(columns["ts_open"], at, timeframe, calendar)
    if bars.timeframe in INTRADAY:
        keep &= (at >= 0) & (starts <= columns["ts_open"]) & (columns["ts_close"] <= ends)
    elif (at < 0).any():
        day = session_date(bars.ts_open[int(np.flatnonzero(at < 0)[0])])
        raise DataError(f"{bars.symbol}: the exchange was closed on {day}, yet there is a bar")
    if complete_only:
        keep &= ends <= known
    kept = {name: column[keep] for name, column in columns.items()}
    starts, ends = starts[keep], ends[keep]
    splits = bars.splits
    if timeframe == "1w":
        kept, splits = _in_last_basis(kept, starts, splits)
    return _grouped(bars, timeframe, kept, starts, ends, splits)


def _check_pair(source: str, target: str) -> None:
    """Refuse pairs where the target is no whole number of the source's bars."""
    if source == "1d" and target == "1w":
        return
    length = INTRADAY.get(source)
    if length is not None and (target == "1d" or INTRADAY.get(target, 0) > length):
        return
    raise InputError(
        f"bars of {shown(source)} cannot be made into {shown(target)}",
        hint="minutes into 5m, 15m, 30m, 1h or 1d; 1d into 1w",
    )


def _sessions(ts_open: Ints, calendar: Calendar) -> Ints:
    """Give each bar's place among the sessions, -1 where the exchange was closed that day."""
    import numpy as np

    day = (ts_open - 5 * HOUR) // DAY
    first, last = (session_date(int(ts)) for ts in (ts_open[0], ts_open[-1]))
    calendar.find(first), calendar.find(last)  # DataError where the calendar does not reach
    days = np.frombuffer(calendar.day, dtype=np.int64)
    at = np.searchsorted(days, day)
    found: Ints = np.where(days[np.minimum(at, len(days) - 1)] == day, at, -1)
    return found


def _buckets(ts_open: Ints, at: Ints, timeframe: str, calendar: Calendar) -> tuple[Ints, Ints]:
    """Give start and end of the bucket that each bar belongs to."""
    import numpy as np

    opens = np.frombuffer(calendar.opens, dtype=np.int64)
    closes = np.frombuffer(calendar.closes, dtype=np.int64)
    if timeframe == "1w":
        week = (np.frombuffer(calendar.day, dtype=np.int64) + _MONDAY) // 7
        first = np.searchsorted(week, week[at], side="left")
        last = np.searchsorted(week, week[at], side="right") - 1
        return opens[first], closes[last]
    if timeframe == "1d":
        return opens[at], closes[at]
    length = INTRADAY[timeframe]
    starts = opens[at] + (ts_open - opens[at]) // length * length
    # a bar before the opening falls into a bucket before it, which ends at or before the opening
    before = starts < opens[at]
    return np.where(before, np.iinfo(np.int64).max, starts), np.minimum(starts + length, closes[at])


def _grouped(
    bars: Bars, timeframe: str, kept: Columns, starts: Ints, ends: Ints, splits: tuple[Split, ...]
) -> Bars:
    """Put the bars of each bucket together."""
    import numpy as np

    edges = np.flatnonzero(np.diff(starts, prepend=-1))
    stops = np.append(edges[1:], len(starts)) - 1
    made: Columns = {}
    if len(edges):
        made = {
            "ts_open": starts[edges],
            "ts_close": ends[edges],
            "open": kept["open"][edges],
            "high": np.maximum.reduceat(kept["high"], edges),
            "low": np.minimum.reduceat(kept["low"], edges),
            "close": kept["close"][stops],
            "volume": np.add.reduceat(kept["volume"], edges),
        }
    columns: dict[str, Any] = {name: array("q", column.tobytes()) for name, column in made.items()}
    return Bars(
        source=bars.source, symbol=bars.symbol, timeframe=timeframe, splits=splits, **columns
    )


def _in_last_basis(
    kept: Columns, starts: Ints, splits: tuple[Split, ...]
) -> tuple[Columns, tuple[Split, ...]]:
    """Bring bars before a split inside their week into the shares after it, and redate it."""
    import numpy as np

    kept = {name: column.copy() for name, column in kept.items()}
    days = (kept["ts_open"] - 5 * HOUR) // DAY
    dated = []
    for split in sorted(splits, key=lambda one: one.ex_date):
        place = int(np.searchsorted(days, to_day(split.ex_date)))
        inside = 0 < place < len(days) and starts[place] == starts[place - 1]
        if not inside:
            dated.append(split)
            continue
        for row in range(int(np.searchsorted(starts, starts[place])), place):
            for name in _VALUES:
                into, out_of = split.split_from, split.split_to
                if name == "volume":
                    into, out_of = out_of, into
                kept[name][row] = divide_half_even(int(kept[name][row]) * into, out_of)
        day = session_date(int(starts[place]))
        dated.append(split._replace(ex_date=day))
    return kept, tuple(dated)
