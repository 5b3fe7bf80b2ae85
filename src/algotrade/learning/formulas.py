"""The features, each defined once, over an algebra that one row and a million rows share.

A formula asks a `Window` for integers (prices, window sums, extremes) and combines them with
+ - * and the window's own `ratio` and `root`. Integers are exact however they are summed, a ratio
is one correctly rounded division, and the float steps after it come in a fixed order without
log, exp or pow: so the plain Python window and the numpy window give the same bits.

Sources: SMA, momentum and volatility are textbook; RSI in Cutler's form (simple sums, a finite
window); the channel position is Donchian's. Windows as measured in the learning notes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    # an int or float in the one window, a numpy array in the other
    Value: TypeAlias = Any

    class Window(Protocol):
        """What a formula may ask; `back` counts bars before the row's own, `length` includes it.

        Columns: open, high, low, close (scaled integer prices), shares (scaled whole shares),
        and per bar against the bar before: return, rise, fall (see STEPS).
        """

        scale: int
        memo: dict[int, Value]

        def at(self, column: str, back: int) -> Value:
            """Give the value `back` bars ago."""

        def total(self, column: str, length: int) -> Value:
            """Give the exact integer sum of the last `length` values."""

        def squares(self, column: str, length: int) -> Value:
            """Give the exact integer sum of the squares of the last `length` values."""

        def highest(self, column: str, length: int) -> Value:
            """Give the largest of the last `length` values."""

        def lowest(self, column: str, length: int) -> Value:
            """Give the smallest of the last `length` values."""

        def ratio(self, above: Value, below: Value) -> Value:
            """Divide once, correctly rounded; NaN where `below` is zero."""

        def root(self, value: Value) -> Value:
            """Give the square root."""

        def real(self, value: Value) -> Value:
            """Give an integer as the nearest double."""

        def positive(self, value: Value) -> Value:
            """Give max(value, 0)."""

        def whole(self, value: Value, low: int, high: int) -> Value:
            """Round half to even and clip: an integer."""

    Formula: TypeAlias = Callable[[Window], Value]
    Step: TypeAlias = Callable[[Window, Value, Value], Value]

PRICES = ("open", "high", "low", "close")
RETURN_UNIT = 100_000_000  # a daily return is an integer count of 1e-8


def _return(w: Window, now: Value, before: Value) -> Value:
    """One-bar return in units of 1e-8, an integer between -100% and +200%."""
    return w.whole(RETURN_UNIT * w.ratio(now - before, before), -RETURN_UNIT, 2 * RETURN_UNIT)


def _rise(w: Window, now: Value, before: Value) -> Value:
    return w.positive(now - before)


def _fall(w: Window, now: Value, before: Value) -> Value:
    return w.positive(before - now)


# columns made of each close and the one before
STEPS: dict[str, Step] = {"return": _return, "rise": _rise, "fall": _fall}


def _volatility(w: Window, length: int) -> Value:
    """Sample standard deviation of the last `length` one-bar returns, as a fraction."""
    if length not in w.memo:
        first = w.real(w.total("return", length))
        spread = w.real(w.squares("return", length)) - first * first / length
        w.memo[length] = w.root(w.positive(spread) / (length - 1)) / RETURN_UNIT
    return w.memo[length]


def _sma(w: Window, length: int) -> Value:
    """Give the simple moving average of the close in dollars, in the shares of the row's bar."""
    return w.ratio(w.total("close", length), length * MICROS * w.scale)


def _above_sma(w: Window, length: int) -> Value:
    """Give close / SMA - 1, from integers in one division."""
    total = w.total("close", length)
    return w.ratio(length * w.at("close", 0) - total, total)


def _above_sma_by_volatility(w: Window, length: int) -> Value:
    return w.ratio(_above_sma(w, length), _volatility(w, 20))


def _sma_50_over_200(w: Window) -> Value:
    """SMA_50 / SMA_200 - 1, from integers in one division."""
    slow = w.total("close", 200)
    return w.ratio(4 * w.total("close", 50) - slow, slow)


def _change(w: Window, length: int) -> Value:
    """Give close / close `length` bars ago - 1."""
    before = w.at("close", length)
    return w.ratio(w.at("close", 0) - before, before)


def _momentum(w: Window, length: int) -> Value:
    """Change over `length` bars in units of what a random walk would do in that time."""
    return w.ratio(_change(w, length), math.sqrt(length) * _volatility(w, 20))


def _volatility_ratio(w: Window) -> Value:
    return w.ratio(_volatility(w, 10), _volatility(w, 63))


def _channel(w: Window, length: int) -> Value:
    """Place of the close between the lowest low (0) and the highest high (1); NaN when flat."""
    low = w.lowest("low", length)
    return w.ratio(w.at("close", 0) - low, w.highest("high", length) - low)


def _rsi(w: Window, length: int) -> Value:
    """Cutler's RSI between 0 and 1: rises / (rises + falls); NaN when nothing moved."""
    rises = w.total("rise", length)
    return w.ratio(rises, rises + w.total("fall", length))


def _range(w: Window) -> Value:
    spread = w.ratio(w.at("high", 0) - w.at("low", 0), w.at("close", 0))
    return w.ratio(spread, _volatility(w, 20))


def _gap(w: Window) -> Value:
    before = w.at("close", 1)
    return w.ratio(w.ratio(w.at("open", 0) - before, before), _volatility(w, 20))


def _volume(w: Window, length: int) -> Value:
    """Shares traded against their mean over `length` bars; NaN when nothing traded."""
    return w.ratio(length * w.at("shares", 0), w.total("shares", length))


MOMENTUM = (1, 2, 5, 10, 21, 63, 126)

FORMULAS: dict[str, Formula] = {
    "SMA_50": partial(_sma, length=50),
    "SMA_200": partial(_sma, length=200),
    "return_1": partial(_change, length=1),
    "close_sma_50": partial(_above_sma, length=50),
    "close_sma_200": partial(_above_sma, length=200),
    "sma_50_200": _sma_50_over_200,
    **{f"momentum_{length}": partial(_momentum, length=length) for length in MOMENTUM},
    "close_sma_10_vol": partial(_above_sma_by_volatility, length=10),
    "close_sma_20_vol": partial(_above_sma_by_volatility, length=20),
    "vol_20": partial(_volatility, length=20),
    "vol_10_63": _volatility_ratio,
    "donchian_55": partial(_channel, length=55),
    "rsi_14": partial(_rsi, length=14),
    "range_vol": _range,
    "gap_vol": _gap,
    "volume_20": partial(_volume, length=20),
}
LOOKBACK = 200  # the fewest bars that give every column: SMA_200 needs 200 closes
