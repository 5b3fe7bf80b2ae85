"""Time as integers: microseconds UTC since 1970, sessions as New York dates.

A `ts` is an instant, `ts_close` the instant at which a bar is known. A session is the exchange's
date. New York is five or four hours behind UTC, so the date of (ts - 5 h) in UTC is the session of
every instant between 04:00 and 20:00 New York time, in winter and in summer.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from algotrade.errors import InputError, shown

MICROSECONDS = 1_000_000
MINUTE = 60 * MICROSECONDS
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
FIRST_DATE = date(1970, 1, 1)


def to_ts(moment: datetime) -> int:
    """Give an aware datetime as microseconds UTC, exactly."""
    if moment.tzinfo is None:
        raise ValueError(f"naive time {moment.isoformat()}: a zone is required")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(ts: int) -> datetime:
    """Give microseconds UTC as an aware datetime, exactly."""
    return _EPOCH + timedelta(microseconds=ts)


def iso(ts: int) -> str:
    """Give microseconds UTC as ISO 8601 with `Z`; the fraction only where there is one."""
    return to_datetime(ts).isoformat().replace("+00:00", "Z")


def session_day(ts: int) -> int:
    """Give the session of an instant as days since 1970-01-01."""
    return (ts - 5 * HOUR) // DAY


def to_day(session: date) -> int:
    """Give a session date as days since 1970-01-01."""
    return session.toordinal() - _EPOCH_ORDINAL


def to_date(day: int) -> date:
    """Give days since 1970-01-01 as a date."""
    return date.fromordinal(day + _EPOCH_ORDINAL)


def session_date(ts: int) -> date:
    """Give the session of an instant as a date."""
    return to_date(session_day(ts))


def parse_date(text: str, *, field: str) -> date:
    """Read an ISO date between 1970 and 9999; nothing else."""
    if _DATE.fullmatch(text):
        try:
            parsed = date.fromisoformat(text)
        except ValueError:
            parsed = date.min
        if parsed >= FIRST_DATE:
            return parsed
    raise InputError(
        f"{field} {shown(text)} is not a date since 1970", hint="ISO dates only: 2012-12-31"
    )


def parse_instant(text: str, *, field: str) -> int:
    """Read an ISO 8601 instant with a zone into microseconds UTC."""
    try:
        return to_ts(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InputError(
            f"{field} {shown(text)} is not an instant with a zone",
            hint="for example 2026-11-20T21:05:00Z",
        ) from None


def end_of_day(session: date) -> int:
    """Give the last instant that belongs to a session's date: midnight five hours behind UTC."""
    return (to_day(session) + 1) * DAY + 5 * HOUR - 1


def read_as_of(text: str | None, *, field: str = "--as-of") -> int | None:
    """Read an instant with a zone, or a date, which stands for its end; None stays None."""
    if text is None:
        return None
    if "T" in text or " " in text:
        return parse_instant(text, field=field)
    return end_of_day(parse_date(text, field=field))
