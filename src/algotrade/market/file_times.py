"""Times in files: dates, ISO times and Unix times of four units, read into a bar's two instants."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from algotrade.domain.times import MICROSECONDS, MINUTE, to_datetime, to_ts
from algotrade.errors import DataError, InputError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.market.calendar import Calendar

    Times = tuple[int, int]  # ts_open, ts_close

TIMEFRAMES = ("1d", "1m")

_NEW_YORK = ZoneInfo("America/New_York")
_DATE = re.compile(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_UNIX = re.compile(r"[0-9]{9,19}", re.ASCII)
_UNITS = (  # digits of times between 2001 and 2286, and how many are in a microsecond or second
    (10, MICROSECONDS, 1),
    (13, 1000, 1),
    (16, 1, 1),
    (19, 1, 1000),
)
_MIDNIGHT = time()


def time_reader(timeframe: str, calendar: Calendar, tz: str | None) -> Callable[[str], Times]:
    """Give the function from a cell's text to (ts_open, ts_close); it raises ValueError.

    tz: zone of times that bear none. Daily bars are told by their date, or by an instant that is
    midnight in New York or UTC or the session's opening or close.
    """
    zone = None if tz is None else _zone(tz)
    if timeframe == "1d":
        return lambda text: _session(_daily_date(text, calendar, zone), calendar)

    def minute(text: str) -> Times:
        ts = _instant(text, zone)
        return ts, ts + MINUTE

    return minute


def _zone(tz: str) -> ZoneInfo:
    try:
        return ZoneInfo(tz)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        raise InputError(
            f"there is no time zone {shown(tz)}", hint="for example America/New_York or UTC"
        ) from None


def _session(day: date, calendar: Calendar) -> Times:
    try:
        index = calendar.find(day)
    except DataError as why:
        raise ValueError(why.message) from None
    if index is None:
        raise ValueError(f"the exchange was closed on {day}")
    return calendar.opens[index], calendar.closes[index]


def _daily_date(text: str, calendar: Calendar, zone: ZoneInfo | None) -> date:
    match = _DATE.fullmatch(text)
    if match:
        try:
            return date(int(match[1]), int(match[3]), int(match[4]))
        except ValueError:
            raise ValueError(f"{shown(text)} is not a date") from None
    if not _UNIX.fullmatch(text):
        local = _parsed(text)
        if local.tzinfo is None and local.time() == _MIDNIGHT:
            return local.date()
    ts = _instant(text, zone)
    for place in (_NEW_YORK, UTC):
        local = to_datetime(ts).astimezone(place)
        if local.time() == _MIDNIGHT:
            return local.date()
    day = to_datetime(ts).astimezone(_NEW_YORK).date()
    if ts not in _session(day, calendar):
        raise ValueError(f"{shown(text)} does not tell a session: midnight, opening or close do")
    return day


def _instant(text: str, zone: ZoneInfo | None) -> int:
    """Read an instant into microseconds UTC."""
    if _UNIX.fullmatch(text):
        return _unix(text)
    moment = _parsed(text)
    if moment.tzinfo is not None:
        return to_ts(moment)
    if zone is None:
        raise ValueError(f"{shown(text)} bears no time zone: name it with --tz")
    offsets = {moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(offsets) > 1:
        raise ValueError(f"{shown(text)} is twice or never there as the clocks change in {zone}")
    return to_ts(moment.replace(tzinfo=zone))


def _unix(text: str) -> int:
    for digits, times, parts in _UNITS:
        if len(text) in {digits - 1, digits}:
            ts, rest = divmod(int(text) * times, parts)
            if rest:
                raise ValueError(f"{text} is finer than a microsecond")
            return ts
    raise ValueError(f"{text} is not a Unix time in s, ms, us or ns")


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not a time: ISO such as 2012-12-31 or Unix times only"
        ) from None
