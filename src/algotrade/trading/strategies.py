"""Rule strategies as predictors: what a rule says of each bar, shipped or your own."""

from __future__ import annotations

import sys
from bisect import bisect_left
from contextlib import redirect_stdout
from functools import partial
from itertools import accumulate, chain, pairwise, repeat
from math import gcd, prod
from operator import mul
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.domain.signals import DOWN, KEEP, NONE, UP, Signals
from algotrade.domain.times import iso, session_date, session_day, to_day
from algotrade.errors import InputError, shown
from algotrade.own_code import load_function, near, told
from algotrade.record import NamedTuple
from algotrade.trading.strategy_loader import (
    Value,
    as_text,
    known_parameters,
    lookback_of,
    read_params,
    strategy,
)

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date

    from algotrade.bars import Bars
    from algotrade.own_code import Own

Run = tuple[int, int, int]  # first bar, stop, factor of the share basis

LONGEST = 1000  # bars of the longest shipped average
CHECKED = 8  # bars of which a strategy of your own is asked once more
_EVEN, _ABOVE, _BELOW = range(3)  # where the fast average lies


class Window:
    """The last `lookback` bars up to the decision's, oldest first: all that a strategy can read.

    open, high, low, close: dollars, volume: shares, both in the shares of the last bar; each is
    the double nearest to the exact value. date: the session of each bar. ts_close: microseconds
    UTC at which it was known. The lists are the window's own: what is done to them ends with it.
    """

    __slots__ = (
        "close",
        "date",
        "high",
        "low",
        "open",
        "symbol",
        "timeframe",
        "ts_close",
        "volume",
    )

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        date: list[date],
        ts_close: list[int],
        open: list[float],  # noqa: A002  # the word of the field
        high: list[float],
        low: list[float],
        close: list[float],
        volume: list[float],
    ) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.date = date
        self.ts_close = ts_close
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume


class Strategy(NamedTuple):
    """A rule with its parameters: UP, DOWN, KEEP or NONE for each bar.

    params: by name, in the order of the rule. lookback: bars that one decision may read.
    source: rule, parameters and, of your own code, the first digits of its file's SHA-256.
    rule: bars to one stance a bar, NONE while there are fewer than `lookback`.
    """

    name: str
    params: Mapping[str, Value]
    lookback: int
    source: str
    rule: Callable[[Bars], bytes]

    def history(self, bars: Bars) -> Signals:
        """Say something of every bar; each stance reads that bar and bars before it."""
        return Signals(sources=((0, self.source),), stances=self.rule(bars))

    def stance(self, bars: Bars) -> int:
        """Say something of the last bar, from the last `lookback` bars alone."""
        count = len(bars)
        if count < self.lookback:
            return NONE
        return self.rule(bars.slice(count - self.lookback, count))[-1]


class Shipped(NamedTuple):
    """A rule that comes with the program: its name, what it does, its parameters' defaults."""

    name: str
    doc: str
    params: Mapping[str, Value]


def load_strategy(name: str, params: Mapping[str, str]) -> Strategy:
    """Give a shipped rule by name, or your own by `package.module:function` or `file.py:function`.

    params: values as typed, by name; the others keep their defaults. Raises InputError.
    """
    if ":" in name:
        return _load_own(name, params)
    function = _SHIPPED.get(name)
    if function is None:
        hint = near(name, _SHIPPED) or "strategies: " + ", ".join(_SHIPPED)
        raise InputError(
            f"unknown strategy {shown(name)}",
            hint=f"{hint}; your own: package.module:function or path/to/file.py:function",
        )
    values = read_params(function, params, name)
    fast, slow = int(values["fast"]), int(values["slow"])
    if not 1 <= fast < slow <= LONGEST:
        raise InputError(
            f"{name}: fast={fast} slow={slow} cannot be used",
            hint=f"1 <= fast < slow <= {LONGEST}, for example -p fast=50 -p slow=200",
        )
    return Strategy(
        name=name,
        params=values,
        lookback=lookback_of(function, values, name),
        source=" ".join((name, *as_text(values))),
        rule=partial(function, fast=fast, slow=slow),
    )


def strategies() -> tuple[Shipped, ...]:
    """List the shipped rules."""
    return tuple(
        Shipped(name, (function.__doc__ or "").splitlines()[0], known_parameters(function, name))
        for name, function in _SHIPPED.items()
    )


# ---- averages


@strategy(lookback=lambda slow: slow + 1)
def _sma_cross(bars: Bars, *, fast: int = 50, slow: int = 200) -> bytes:
    """UP at the close that takes SMA(fast) above SMA(slow), DOWN at the one below, else KEEP."""
    sides = _sides(bars, fast, slow)
    said = bytearray([KEEP]) * max(0, len(sides) - 1)
    for side, stance in ((_ABOVE, UP), (_BELOW, DOWN)):
        there = sides.translate(bytes(code == side for code in range(256)))
        at = there.find(b"\0\1")
        while at >= 0:
            said[at] = stance  # sides[at + 1] is the bar, and said begins one bar later
            at = there.find(b"\0\1", at + 1)
    return bytes([NONE]) * (len(bars) - len(said)) + said


@strategy(lookback=lambda slow: slow)
def _sma_state(bars: Bars, *, fast: int = 50, slow: int = 200) -> bytes:
    """UP while SMA(fast) is above SMA(slow), else DOWN."""
    sides = _sides(bars, fast, slow)
    said = sides.translate(bytes(UP if side == _ABOVE else DOWN for side in range(256)))
    return bytes([NONE]) * (len(bars) - len(said)) + said


_SHIPPED: dict[str, Callable[..., bytes]] = {"sma-cross": _sma_cross, "sma-state": _sma_state}


def _sides(bars: Bars, fast: int, slow: int) -> bytes:
    """Tell for each bar from the first full window on where the fast average lies; exact.

    sum_fast / fast is compared with sum_slow / slow as integers: sum_fast * slow / g with
    sum_slow * fast / g, where g divides both. A factor common to a window changes no side.
    """
    total = [0, *accumulate(_closes(bars))]
    common = gcd(fast, slow)
    less, more = fast // common, slow // common
    return bytes(
        [
            _ABOVE
            if (a := more * (now - before)) > (b := less * (now - first))
            else _BELOW
            if a != b
            else _EVEN
            for now, before, first in zip(total[slow:], total[slow - fast :], total, strict=False)
        ]
    )


def _closes(bars: Bars) -> Iterable[int]:
    """Give the closes of the whole history in one integer scale."""
    runs = share_runs(bars)
    if len(runs) <= 1:
        return bars.close
    return chain.from_iterable(
        map(mul, bars.close[start:stop], repeat(factor)) for start, stop, factor in runs
    )


def share_runs(bars: Bars) -> list[Run]:
    """Give (first bar, stop, factor) for each run of bars in the same shares.

    Prices times their factors are in one scale: a price of run a is worth
    price * factor_a / factor_b in the shares of run b. What two runs are to each other depends
    only on the splits between them, so that later splits move nothing.
    """
    cuts = []
    for split in bars.splits:
        day = to_day(split.ex_date)
        if len(bars) and session_day(bars.ts_open[0]) < day <= session_day(bars.ts_open[-1]):
            cuts.append(
                (bisect_left(bars.ts_open, day, key=session_day), split.split_from, split.split_to)
            )
    cuts.sort()
    edges = [0, *(position for position, _, _ in cuts), len(bars)]
    runs = [
        (start, stop, prod(new for _, _, new in cuts[:i]) * prod(old for _, old, _ in cuts[i:]))
        for i, (start, stop) in enumerate(pairwise(edges))
        if start < stop  # two splits may fall on one bar
    ]
    common = gcd(*(factor for _, _, factor in runs)) or 1
    return [(start, stop, factor // common) for start, stop, factor in runs]


# ---- your own


def _load_own(name: str, params: Mapping[str, str]) -> Strategy:
    own = load_function(name)
    values = read_params(own.function, params, own.label)
    lookback = lookback_of(own.function, values, own.label)
    return Strategy(
        name=name,
        params=values,
        lookback=lookback,
        source=" ".join((own.label, *as_text(values), f"@{own.sha256[:8]}")),
        rule=partial(_ask_and_check, own, values, lookback),
    )


def _ask_and_check(own: Own, params: Mapping[str, Value], lookback: int, bars: Bars) -> bytes:
    """Ask of every bar; then of a few once more, last bar first, from their own window alone.

    A function that remembers or draws lots answers otherwise, and is refused here: what a
    backtest showed of it is not what it would say tomorrow.
    """
    with redirect_stdout(sys.stderr):  # what it prints is talk, never a result
        said = _ask(own, params, lookback, bars)
        _check_again(own, params, lookback, bars, said)
    return said


def _check_again(
    own: Own, params: Mapping[str, Value], lookback: int, bars: Bars, said: bytes
) -> None:
    first = lookback - 1
    step = max(1, (len(bars) - first) // CHECKED)
    for at in range(len(bars) - 1, first - 1, -step):
        window = bars.slice(at - first, at + 1)
        if _ask(own, params, lookback, window)[-1] != said[at]:
            raise InputError(
                f"{own.label} said two things of the same window at {_bar(bars, at)}",
                hint="decide from the window alone: nothing remembered, no clock, no random number",
            )


def _ask(own: Own, params: Mapping[str, Value], lookback: int, bars: Bars) -> bytes:
    """Call the function once a bar with the window that ends there; give one stance a bar."""
    said = bytearray([NONE]) * len(bars)
    function = own.function
    for at, window in _windows(bars, lookback):
        try:
            stance = function(window, **params)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{own.label} failed at {_bar(bars, at)}: {told(error, own.path)}",
                hint=f"mend {own.path}, or declare a longer lookback if it reads further back",
            ) from error
        if type(stance) is not int or not NONE <= stance <= KEEP:
            raise InputError(
                f"{own.label} returned {stance!r:.40} at {_bar(bars, at)}",
                hint=f"return UP, DOWN, KEEP or NONE of algotrade in {own.path}, nothing else",
            )
        said[at] = stance
    return bytes(said)


def _bar(bars: Bars, at: int) -> str:
    daily = bars.timeframe == "1d"
    return f"{bars.symbol} {session_date(bars.ts_open[at]) if daily else iso(bars.ts_close[at])}"


def _windows(bars: Bars, lookback: int) -> Iterator[tuple[int, Window]]:
    """Give each bar that has enough bars before it, with its window in its own shares."""
    runs = share_runs(bars)
    for start, stop, basis in runs:
        first = max(start, lookback - 1)
        low = first - lookback + 1
        if first >= stop:
            continue
        dates = [session_date(ts) for ts in bars.ts_open[low:stop]]
        times = bars.ts_close[low:stop].tolist()
        opens, highs, lows, closes = (
            _dollars(column, runs, low, stop, basis)
            for column in (bars.open, bars.high, bars.low, bars.close)
        )
        volumes = _shares(bars.volume, runs, low, stop, basis)
        for at in range(first, stop):
            a, b = at - first, at - first + lookback
            yield (
                at,
                Window(
                    bars.symbol,
                    bars.timeframe,
                    dates[a:b],
                    times[a:b],
                    opens[a:b],
                    highs[a:b],
                    lows[a:b],
                    closes[a:b],
                    volumes[a:b],
                ),
            )


def _dollars(column: array[int], runs: list[Run], low: int, stop: int, basis: int) -> list[float]:
    unit = basis * MICROS
    return [x * factor / unit for a, b, factor in runs for x in column[max(a, low) : min(b, stop)]]


def _shares(column: array[int], runs: list[Run], low: int, stop: int, basis: int) -> list[float]:
    return [
        x * basis / (factor * MICROS)
        for a, b, factor in runs
        for x in column[max(a, low) : min(b, stop)]
    ]
