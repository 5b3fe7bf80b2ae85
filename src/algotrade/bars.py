"""Bars: one symbol's columns, as traded, with the splits needed to change their share basis.

Columns are `array('q')`: 64-bit integers that light commands read without numpy and that numpy
views without copying (`columns[name]` through `Bars.numpy`).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from algotrade.domain.money import divide_half_even
from algotrade.domain.times import session_day, to_day
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.domain.actions import Split

COLUMNS = ("ts_open", "ts_close", "open", "high", "low", "close", "volume")


def _column() -> array[int]:
    return array("q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One symbol's bars in time order; every column has the same length.

    ts_open, ts_close: microseconds UTC; the bar is known at ts_close.
    open, high, low, close: micro-dollars as traded (never adjusted).
    volume: micro-shares as traded.
    splits: of this symbol, by ex_date; those after the last bar are harmless.
    """

    source: str
    symbol: str
    timeframe: str
    ts_open: array[int] = field(default_factory=_column)
    ts_close: array[int] = field(default_factory=_column)
    open: array[int] = field(default_factory=_column)
    high: array[int] = field(default_factory=_column)
    low: array[int] = field(default_factory=_column)
    close: array[int] = field(default_factory=_column)
    volume: array[int] = field(default_factory=_column)
    splits: tuple[Split, ...] = ()

    def __len__(self) -> int:
        return len(self.ts_close)

    def column(self, name: str) -> array[int]:
        """Give the column of that name."""
        values: array[int] = getattr(self, name)
        return values

    def slice(self, start: int, stop: int) -> Bars:
        """Give bars [start, stop) as a new object; non-negative indices."""
        return replace(
            self,
            ts_open=self.ts_open[start:stop],
            ts_close=self.ts_close[start:stop],
            open=self.open[start:stop],
            high=self.high[start:stop],
            low=self.low[start:stop],
            close=self.close[start:stop],
            volume=self.volume[start:stop],
        )

    def numpy(self, name: str) -> NDArray[np.int64]:
        """View a column as a numpy array, without copying."""
        import numpy as np

        return np.frombuffer(self.column(name), dtype=np.int64)

    def fingerprint(self) -> str:
        """Give the SHA-256 of what a decision can read: identity, columns, splits so far."""
        import hashlib

        digest = hashlib.sha256(f"{self.source}|{self.symbol}|{self.timeframe}|".encode())
        for name in COLUMNS:
            digest.update(self.column(name).tobytes())
        last = session_day(self.ts_open[-1]) if len(self) else 0
        for split in self.splits:
            if to_day(split.ex_date) <= last:
                digest.update(f"{split.ex_date}:{split.split_from}:{split.split_to}|".encode())
        return digest.hexdigest()


class Finding(NamedTuple):
    """One bar that cannot be believed: which, and why, in words."""

    symbol: str
    when: str
    reason: str


def from_rows(
    source: str,
    symbol: str,
    timeframe: str,
    rows: Iterable[tuple[int, ...]],
    splits: tuple[Split, ...] = (),
) -> Bars:
    """Build bars from rows in the order of COLUMNS."""
    columns = [array("q", values) for values in zip(*rows, strict=True)]
    named = dict(zip(COLUMNS, columns, strict=True)) if columns else {}
    return Bars(source=source, symbol=symbol, timeframe=timeframe, splits=splits, **named)


def adjusted(bars: Bars) -> Bars:
    """Give split-adjusted bars in the share basis of the last bar.

    Prices are rounded half-even to the micro-dollar, volumes to the micro-share.
    """
    factors = _split_factors(bars)

    def scaled(name: str) -> array[int]:
        cells = zip(bars.column(name), factors, strict=True)
        return array("q", (divide_half_even(x * old, new) for x, (old, new) in cells))

    volumes = zip(bars.volume, factors, strict=True)
    return replace(
        bars,
        open=scaled("open"),
        high=scaled("high"),
        low=scaled("low"),
        close=scaled("close"),
        volume=array("q", (divide_half_even(x * new, old) for x, (old, new) in volumes)),
        splits=(),
    )


def _split_factors(bars: Bars) -> list[tuple[int, int]]:
    """Give for each bar how many old shares are how many of the last bar's."""
    factors = []
    old = new = 1
    later = [split for split in bars.splits if len(bars) and _is_within(split, bars)]
    for ts_open in reversed(bars.ts_open):
        while later and session_day(ts_open) < to_day(later[-1].ex_date):
            split = later.pop()
            old, new = old * split.split_from, new * split.split_to
        factors.append((old, new))
    return factors[::-1]


def _is_within(split: Split, bars: Bars) -> bool:
    return to_day(split.ex_date) <= session_day(bars.ts_open[-1])
