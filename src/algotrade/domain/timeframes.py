"""Timeframes: two are stored, as a source gives them; the others are aggregated from those two."""

from __future__ import annotations

from algotrade.errors import InputError, shown

ONE_MINUTE = "1m"
ONE_DAY = "1d"
STORED = (ONE_MINUTE, ONE_DAY)
DERIVED = ("5m", "15m", "30m", "1h", "1w")

_SECONDS = {
    ONE_MINUTE: 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    ONE_DAY: 86_400,
    "1w": 604_800,
}
TIMEFRAMES = tuple(_SECONDS)  # from the shortest to the longest
_SPELLINGS = {"minute": ONE_MINUTE, "60m": "1h", "hour": "1h", "day": ONE_DAY, "week": "1w"}


def parse_timeframe(text: str, *, field: str = "--timeframe") -> str:
    """Read a timeframe as typed into its canonical form; `1M` is a month, so it is none of ours."""
    canonical = _SPELLINGS.get(text, text)
    if canonical not in _SECONDS:
        raise InputError(
            f"{field} {shown(text)} is not a timeframe", hint=f"one of {', '.join(TIMEFRAMES)}"
        )
    return canonical


def seconds_of(timeframe: str) -> int:
    """Give the nominal length of a canonical timeframe: a day is 24 hours, a week seven days."""
    return _SECONDS[timeframe]


def stored_base(timeframe: str) -> str:
    """Give the stored timeframe that a canonical one is read or aggregated from."""
    return ONE_MINUTE if _SECONDS[timeframe] < _SECONDS[ONE_DAY] else ONE_DAY
