"""The built-in sample: thirteen years of four real stocks, read without a network or a key.

The bars end in 2013, so a sample source is given a simulated `now` and shows nothing later than
that. Where the data come from is told in `data/SAMPLE.md`; `tools/build_sample.py` wrote them.

A `.bars` file is zlib over a line `algotrade-sample 1 SYMBOL COUNT` and the columns of LAYOUT:
COUNT 32-bit integers each, their first bytes first, then their second bytes, and so on. Prices are
split into whole cents, stored as steps from their neighbours, and a rest in units of 1e-4 USD.
"""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from datetime import date
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.bars import Bars
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.money import MICROS, parse_usd
from algotrade.domain.times import session_date, session_day, to_date, to_day
from algotrade.errors import DataError, InputError, shown
from algotrade.market.source import BarPage
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.market.calendar import Calendar
    from algotrade.market.source import Span

SYMBOLS = ("AAPL", "IBM", "MSFT", "GOOG")
HIDDEN_SESSIONS = 60  # the sample clock starts this many sessions before the end
DATA = Path(__file__).with_name("data")
MAGIC = "algotrade-sample 1"
LAYOUT = (
    "day_step",  # days since the row before; the first since 1970-01-01
    "open_step",  # cents from the close before, zigzag
    "close_step",  # cents from the open, zigzag
    "high_step",  # cents above the higher of open and close
    "low_step",  # cents below the lower of open and close
    "lots",  # hundreds of shares
    "open_rest",  # units of 1e-4 USD above the cents, 0 to 99
    "close_rest",
    "high_rest",
    "low_rest",
    "odd_shares",  # shares above the lots, 0 to 99
)

_FIRST, _LAST = date(2000, 3, 1), date(2013, 3, 1)
_CENT, _REST = 10_000, 100  # in micro-dollars
_ACTION = re.compile(
    r"([A-Z]+),(\d{4}-\d\d-\d\d),(?:split,(\d+):(\d+)|dividend,(\d+\.\d+))", re.ASCII
)


class Columns(NamedTuple):
    """A symbol's history: days since 1970, micro-dollars, micro-shares."""

    day: array[int]
    open: array[int]
    high: array[int]
    low: array[int]
    close: array[int]
    volume: array[int]


class SampleSource:
    """The sample as it could be known at `now`, microseconds UTC of simulated time."""

    name = "sample"

    def __init__(self, calendar: Calendar, *, now: int) -> None:
        self._calendar = calendar
        self._now = now

    def bars(self, symbol: str, timeframe: str, span: Span) -> Iterator[BarPage]:
        """Give one page: the bars of the sessions in `span` that are complete at `now`."""
        _check_symbol(symbol)
        if timeframe != "1d":
            raise InputError(f"sample bars of {shown(timeframe)} are not supported", hint="use 1d")
        yield BarPage(bars=self._visible(symbol, read_columns(symbol), span))

    def granted_start(self, symbol: str) -> date:
        """Give the first session of the sample, whatever was asked."""
        _check_symbol(symbol)
        return _FIRST

    def splits(self, symbol: str) -> list[Split]:
        """Give the symbol's splits, each from its ex-date on."""
        return [action for action in self._actions(symbol) if isinstance(action, Split)]

    def dividends(self, symbol: str) -> list[Dividend]:
        """Give the symbol's cash dividends, each from its ex-date on."""
        return [action for action in self._actions(symbol) if isinstance(action, Dividend)]

    def _actions(self, symbol: str) -> list[Split | Dividend]:
        _check_symbol(symbol)
        today = session_date(self._now)
        return [a for a in read_actions() if a.symbol == symbol and a.ex_date <= today]

    def _visible(self, symbol: str, columns: Columns, span: Span) -> Bars:
        start = bisect_left(columns.day, to_day(span.start))
        stop = min(
            bisect_left(columns.day, to_day(span.end)),
            bisect_right(columns.day, session_day(self._now)),
        )
        sessions = [self._session(day) for day in columns.day[start:stop]]
        closes = array("q", (self._calendar.closes[index] for index in sessions))
        known = bisect_right(closes, self._now)
        rows = slice(start, start + known)
        return Bars(
            source=self.name,
            symbol=symbol,
            timeframe="1d",
            ts_open=array("q", (self._calendar.opens[index] for index in sessions[:known])),
            ts_close=closes[:known],
            open=columns.open[rows],
            high=columns.high[rows],
            low=columns.low[rows],
            close=columns.close[rows],
            volume=columns.volume[rows],
            splits=tuple(self.splits(symbol)),
        )

    def _session(self, day: int) -> int:
        index = self._calendar.find(to_date(day))
        if index is None:
            raise DataError(f"the sample has a bar on {to_date(day)}, the calendar has no session")
        return index


def first_session() -> date:
    """Give the first session of the sample."""
    return _FIRST


def last_session() -> date:
    """Give the last session of the sample."""
    return _LAST


def opening_now(calendar: Calendar) -> int:
    """Give the instant at which the sample clock starts, 60 sessions before the sample's end."""
    last = calendar.find(_LAST)
    if last is None or last < HIDDEN_SESSIONS:
        raise DataError(f"the exchange calendar does not reach back 60 sessions from {_LAST}")
    return calendar.closes[last - HIDDEN_SESSIONS]


@cache
def read_columns(symbol: str) -> Columns:
    """Read a symbol's whole history from the package; a damaged file raises DataError."""
    path = DATA / f"{symbol}.bars"
    try:
        return unpack(symbol, zlib.decompress(path.read_bytes()))
    except (OSError, ValueError, zlib.error) as error:
        raise _damaged(path, str(error)) from error


def unpack(symbol: str, content: bytes) -> Columns:
    """Parse the content of a `.bars` file; ValueError where it is not exactly what we wrote."""
    header, _, body = content.partition(b"\n")
    count, uneven = divmod(len(body), 4 * len(LAYOUT))
    if uneven or header != f"{MAGIC} {symbol} {count}".encode():
        raise ValueError(f"unexpected header or length: {shown(header.decode('ascii', 'replace'))}")
    stored = dict(zip(LAYOUT, _integers(body, count), strict=True))
    if min(map(min, stored.values())) < 0 or 0 in stored["day_step"]:
        raise ValueError("a value is out of range")
    cents = zip(*_cents(stored), strict=True)
    prices = {
        name: array("q", (_CENT * c + _REST * r for c, r in zip(column, rest, strict=True)))
        for name, column in zip(("open", "high", "low", "close"), cents, strict=True)
        for rest in [stored[f"{name}_rest"]]
    }
    volumes = zip(stored["lots"], stored["odd_shares"], strict=True)
    return Columns(
        day=array("q", accumulate(stored["day_step"])),
        volume=array("q", (MICROS * (100 * lots + odd) for lots, odd in volumes)),
        **prices,
    )


@cache
def read_actions() -> tuple[Split | Dividend, ...]:
    """Read the splits and dividends of all symbols, by symbol and ex-date."""
    path = DATA / "actions.csv"
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return tuple(_action(line) for line in lines[1:])
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _integers(body: bytes, count: int) -> Iterator[tuple[int, ...]]:
    """Undo the byte planes: one tuple of signed 32-bit integers per column."""
    for start in range(0, len(body), 4 * count):
        buffer = bytearray(4 * count)
        for byte in range(4):
            plane = start + byte * count
            buffer[byte::4] = body[plane : plane + count]
        yield struct.unpack(f"<{count}i", buffer)


def _cents(stored: dict[str, tuple[int, ...]]) -> Iterator[tuple[int, int, int, int]]:
    """Undo the steps: open, high, low and close of each row in whole cents."""
    close_ = 0
    for step in zip(*(stored[name] for name in LAYOUT[1:5]), strict=True):
        open_ = close_ + _unzigzag(step[0])
        close_ = open_ + _unzigzag(step[1])
        yield open_, max(open_, close_) + step[2], min(open_, close_) - step[3], close_


def _unzigzag(value: int) -> int:
    """Turn 0, 1, 2, 3, 4 ... into 0, -1, 1, -2, 2 ..."""
    return (value >> 1) ^ -(value & 1)


def _action(line: str) -> Split | Dividend:
    match = _ACTION.fullmatch(line)
    if match is None:
        raise ValueError(f"unexpected line {shown(line)}")
    symbol, day, split_from, split_to, amount = match.groups()
    ex_date = date.fromisoformat(day)
    if amount is not None:
        paid = parse_usd(amount, field="dividend")
        return Dividend(symbol=symbol, ex_date=ex_date, amount=paid)
    return Split(symbol=symbol, ex_date=ex_date, split_from=int(split_from), split_to=int(split_to))


def _check_symbol(symbol: str) -> None:
    if symbol not in SYMBOLS:
        raise DataError(
            f"the built-in sample has no symbol {shown(symbol)}",
            hint=f"it has {', '.join(SYMBOLS)}",
        )


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"the built-in sample file {path.name} is damaged: {why}", hint="install algotrade again"
    )
