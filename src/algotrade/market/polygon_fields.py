"""Numbers, times and dates out of vendor JSON; what is none is a ValueError whose text says why."""

from __future__ import annotations

import re
from datetime import date, datetime

from algotrade.domain.money import MICROS
from algotrade.domain.times import to_ts
from algotrade.market.polygon_words import told

HIGHEST_T = 253_402_300_800_000  # milliseconds at the year 10000
HIGHEST_PRICE = 1e9  # dollars
HIGHEST_VOLUME = 9e12  # shares: micro-shares still fit 64 bits
HIGHEST_RATIO = 10**9

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"[\d-]{10}T[\d:]{8}(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def number(row: dict[str, object], name: str, *, highest: float) -> float:
    """Read a number of a credible size: no text, no truth value, no NaN, no infinity."""
    value = row.get(name)
    if type(value) is not int and type(value) is not float:
        raise ValueError(f"{name} {told(value)} is not a number")
    if not -highest < value < highest:
        raise ValueError(f"{name} {told(value)} is beyond belief")
    return value


def price(row: dict[str, object], name: str) -> int:
    """Read a price into micro-dollars, exactly."""
    dollars = number(row, name, highest=HIGHEST_PRICE)
    if dollars <= 0:
        raise ValueError(f"{name} {dollars} is not positive")
    micros = round(dollars * MICROS)
    if micros / MICROS != dollars:
        raise ValueError(f"{name} {dollars} is finer than a micro-dollar")
    return micros


def part(row: dict[str, object], name: str) -> dict[str, object]:
    """Read an object within an object; empty where there is none."""
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")  # noqa: TRY004 -- vendor data
    return value


def milliseconds(row: object, name: str) -> int:
    """Read a time in whole milliseconds since 1970."""
    t = row.get(name) if isinstance(row, dict) else None
    if type(t) is not int or not 0 <= t < HIGHEST_T:
        raise ValueError(f"{name} {told(t)} is not a time in milliseconds")
    return t


def nanoseconds(row: dict[str, object], name: str) -> int:
    """Read a time in whole nanoseconds since 1970, as microseconds."""
    t = row.get(name)
    if type(t) is not int or not 0 <= t < HIGHEST_T * 1_000_000:
        raise ValueError(f"{name} {told(t)} is not a time in nanoseconds")
    return t // 1_000


def day(row: dict[str, object], name: str) -> date:
    """Read a plain ISO date, of any century."""
    value = row.get(name)
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as 30 February
    raise ValueError(f"{name} {told(value)} is not a date")


def instant(row: dict[str, object], name: str) -> int:
    """Read an ISO instant with a zone, as microseconds."""
    value = row.get(name)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return to_ts(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            pass  # such as 25 o'clock
    raise ValueError(f"{name} {told(value)} is not an instant with a zone")


def words(row: dict[str, object], name: str) -> str:
    """Read a text that is not empty."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} {told(value)} is not a text")
    return value


def truth(row: dict[str, object], name: str) -> bool:
    """Read true or false."""
    value = row.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} {told(value)} is neither true nor false")  # noqa: TRY004
    return value
