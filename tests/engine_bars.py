"""Bars that every engine can be given: windows of the sample, and walks made from integers.

Used by the tests, by the benches and by the script that runs the other engines, each in its own
environment: needs numpy and the light modules of the package, nothing else. A walk is the same
everywhere and for ever, as its numbers come from a counter and whole arithmetic. All prices of a
walk are whole cents. The two averages of a rule are never exactly equal in these bars (but in the
set `tie`), as sums in floating point would then decide as they please.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from algotrade.domain.times import MINUTE, to_date, to_day, to_ts
from algotrade.market.sample import read_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

PAIRS = ((10, 20), (50, 200))  # bars in the fast and in the slow average
PANEL_SYMBOLS, PANEL_BARS, LONG_BARS, ONE_BARS = 500, 2_500, 100_000, 2_500  # of the benches
PRICES = ("open", "high", "low", "close")

_CENT = 10_000  # micro-dollars
_SHARE = 1_000_000  # micro-shares of volume
_FLOOR = 500  # cents: a walk turns back here
_MINUTES = 200  # of each session, so that a half day has them, too
_NEW_YORK = ZoneInfo("America/New_York")


class Series(NamedTuple):
    """One symbol's bars. `day`: days since 1970; `minute`: of the session, None for daily bars.

    Prices in micro-dollars, volume in micro-shares.
    """

    symbol: str
    day: array[int]
    minute: array[int] | None
    open: array[int]
    high: array[int]
    low: array[int]
    close: array[int]
    volume: array[int]

    def prices(self, name: str) -> NDArray[np.int64]:
        """View a column as numpy, without copying."""
        column: array[int] = getattr(self, name)
        return np.frombuffer(column, dtype=np.int64)


def identity(panel: Sequence[Series]) -> str:
    """Give the SHA-256 of the symbols and of every integer, little-endian, in the order above."""
    digest = hashlib.sha256()
    for series in panel:
        digest.update(f"{series.symbol} {len(series.day)}\n".encode())
        for column in series[1:]:
            digest.update(np.asarray(column if column is not None else (), dtype="<i8").tobytes())
    return digest.hexdigest()


def dates(series: Series) -> list[date]:
    """Give the session of each bar."""
    return [to_date(day) for day in series.day]


def opens(series: Series) -> array[int]:
    """Give when each bar opens, microseconds UTC: 09:30 in New York, and minutes later."""
    midnights = {day: _clock(day, time(9, 30)) for day in set(series.day)}
    minutes = series.minute or bytes(len(series.day))
    return array("q", (midnights[d] + m * MINUTE for d, m in zip(series.day, minutes, strict=True)))


def closes(series: Series) -> array[int]:
    """Give when each bar closes, microseconds UTC: 16:00 in New York even on half days."""
    if series.minute is not None:
        return array("q", (ts + MINUTE for ts in opens(series)))
    return array("q", (_clock(day, time(16)) for day in series.day))


def ties(close: NDArray[np.int64], fast: int, slow: int) -> int:
    """Count the bars at which the two averages are exactly equal."""
    total = np.concatenate(([0], close.cumsum()))
    ends = np.arange(slow, len(total))
    quick = total[ends] - total[ends - fast]
    return int((quick * slow == (total[ends] - total[ends - slow]) * fast).sum())


# ---- the sample, as traded


def window(symbol: str, first: date, last: date) -> Series:
    """Give the sample's bars of the sessions `first` to `last`; choose them without a split."""
    columns = read_columns(symbol)
    start = bisect_left(columns.day, to_day(first))
    stop = bisect_left(columns.day, to_day(last + timedelta(days=1)))
    rows = slice(start, stop)
    return Series(
        symbol=symbol,
        day=columns.day[rows],
        minute=None,
        open=columns.open[rows],
        high=columns.high[rows],
        low=columns.low[rows],
        close=columns.close[rows],
        volume=columns.volume[rows],
    )


# ---- walks


def walk(symbol: str, seed: int, count: int, *, step: int = 150, minutes: bool = False) -> Series:
    """Give a walk of `count` bars, steps up to `step` cents, from the sample's first session on."""
    start = 20 * step + 7_000
    moved = start - _FLOOR + _between(seed, 0, count, -step, step).cumsum()
    close = _FLOOR + np.abs(moved)
    before = np.concatenate(([start], close[:-1]))
    open_ = before + _between(seed, 1, count, -(step // 3), step // 3)
    high = np.maximum(open_, close) + _between(seed, 2, count, 0, step // 3)
    low = np.minimum(open_, close) - _between(seed, 3, count, 0, step // 3)
    sessions = read_columns("IBM").day
    index = np.arange(count)
    return Series(
        symbol=symbol,
        day=array("q", (sessions[i] for i in (index // _MINUTES if minutes else index).tolist())),
        minute=_integers(index % _MINUTES) if minutes else None,
        open=_integers(open_ * _CENT),
        high=_integers(high * _CENT),
        low=_integers(low * _CENT),
        close=_integers(close * _CENT),
        volume=_integers(_between(seed, 4, count, 10**6, 10**7) * _SHARE),
    )


def untied(make: Callable[[int], Series], seed: int, pairs: Sequence[tuple[int, int]]) -> Series:
    """Give the first walk from this seed on whose averages are never equal."""
    while True:
        series = make(seed)
        if not any(ties(series.prices("close"), *pair) for pair in pairs):
            return series
        seed += 1_000_003


def panel(symbols: int = PANEL_SYMBOLS, count: int = PANEL_BARS) -> list[Series]:
    """Give the daily bars of the portfolio bench; fewer symbols are the first of the same."""
    return [
        untied(lambda s, name=f"S{n:03}": walk(name, s, count), n + 1, PAIRS[1:])  # type: ignore[misc] # mypy types no lambda with a default
        for n in range(symbols)
    ]


def long(count: int = LONG_BARS) -> list[Series]:
    """Give the minute bars of the bench over one symbol."""
    return [untied(lambda s: walk("LONG", s, count, step=60, minutes=True), 9_001, PAIRS[1:])]


def _between(seed: int, stream: int, count: int, low: int, high: int) -> NDArray[np.int64]:
    """Give `count` integers from `low` to `high`: SplitMix64 of a counter, the rest of a division.

    Stream and seed choose where the counter starts.
    """
    first = (seed << 3 | stream) << 20
    z = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z % np.uint64(high - low + 1)).astype(np.int64) + low


def _integers(values: NDArray[np.int64]) -> array[int]:
    return array("q", values.tobytes())


@cache
def _clock(day: int, at: time) -> int:
    return to_ts(datetime.combine(to_date(day), at, _NEW_YORK))


# ---- the sets of bars whose goldens lie in tests/golden/engines


@cache
def bar_set(name: str) -> tuple[Series, ...]:
    """Make a set by its name in SETS."""
    return SETS[name]()


def _cut() -> tuple[Series, ...]:
    """End a walk at a bar where 10 crosses above 20, so that the order is never filled."""
    whole = untied(lambda s: walk("CUT", s, 600), 4_001, PAIRS)
    close = whole.prices("close")
    total = np.concatenate(([0], close.cumsum()))
    ends = np.arange(20, len(total))
    above = 2 * (total[ends] - total[ends - 10]) > total[ends] - total[ends - 20]
    crossed = np.flatnonzero(above[1:] & ~above[:-1])[-1] + 1 + 20  # bars up to and with the cross
    return (Series(whole.symbol, whole.day[:crossed], None, *(c[:crossed] for c in whole[3:])),)


def _few(count: int) -> tuple[Series, ...]:
    return tuple(
        untied(lambda s, name=f"W{n}": walk(name, s, count), 2_001 + n, PAIRS)  # type: ignore[misc] # as in panel
        for n in range(8)
    )


_TIE = date(2012, 7, 2)  # IBM's averages over 10 and 20 closes are equal; see docs/engines.md
_BASIS = date(2005, 2, 28), _TIE - timedelta(days=3)  # four symbols, no split
SETS: dict[str, Callable[[], tuple[Series, ...]]] = {
    "aapl": lambda: (window("AAPL", *_BASIS),),
    "goog": lambda: (window("GOOG", date(2004, 8, 19), date(2013, 3, 1)),),
    "ibm": lambda: (window("IBM", date(2000, 3, 1), _TIE - timedelta(days=3)),),
    "msft": lambda: (window("MSFT", date(2003, 2, 18), date(2013, 3, 1)),),
    "four": lambda: tuple(window(symbol, *_BASIS) for symbol in ("AAPL", "GOOG", "IBM", "MSFT")),
    "walk": lambda: (untied(lambda s: walk("WALK", s, 2_000), 1_001, PAIRS),),
    "walks": lambda: _few(600),
    "cut": _cut,
    "tie": lambda: (window("IBM", date(2012, 3, 1), date(2012, 12, 31)),),
}
