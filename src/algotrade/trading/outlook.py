"""What the last bars say of a symbol and of a book: integers only, the same from 251 bars or all.

Returns are split-adjusted, close to close, in parts per million of the close before, rounded down;
dividends are left out. A symbol's day is the session of its bar's close.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import repeat
from math import isqrt
from operator import add, mul, sub
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS, NANOS
from algotrade.domain.risk import MarketFacts
from algotrade.domain.signals import PPM
from algotrade.domain.times import session_day, to_day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.bars import Bars
    from algotrade.trading.state import TradingState

FULL_HISTORY = 250  # days; fewer halve the limits on the losses of a book
LEAST_HISTORY = 60  # days; fewer say nothing of a book
BARS_READ = FULL_HISTORY + 1
YEAR = 252  # sessions
_WINDOW, _SHORT, _LONG = 20, 5, 60  # days of volatility and volume, and of the two compared
_MOST_GAP = 7  # days from one bar to the next, a closed week in 2001 among them
_MOST_JUMP = 200_000  # ppm from close to close without a split on record
_NANOS_IN_MICRO = 1_000
_CENTS = MICROS * 10_000  # ppm of micro-dollars in a cent


class Series:
    """One symbol's days and returns, made once from its bars; the first bar has no return."""

    def __init__(self, bars: Bars) -> None:
        """Read the bars; the splits among them count from their ex-date on."""
        self.bars = bars
        self.days = [session_day(ts) for ts in bars.ts_close]
        self._splits = [(to_day(one.ex_date), one.split_to, one.split_from) for one in bars.splits]
        self.returns = [0, *map(_return, bars.close, bars.close[1:])]
        for day, _, _ in self._splits:
            place = bisect_left(self.days, day)
            if 0 < place < len(bars):
                new, old = self._ratio(self.days[place - 1], self.days[place])
                before, close = bars.close[place - 1] * old, bars.close[place] * new
                self.returns[place] = _return(before, close)

    def _ratio(self, after: int, until: int) -> tuple[int, int]:
        """Give by how many shares how many became, by splits in the days (after, until]."""
        new = old = 1
        for day, to, per in self._splits:
            if after < day <= until:
                new, old = new * to, old * per
        return new, old

    def place(self, ts: int) -> int:
        """Give the newest bar known at an instant, or -1."""
        return bisect_right(self.bars.ts_close, ts) - 1

    def volume(self, place: int) -> int | None:
        """Give the mean volume of 20 days in the share basis of the newest, nano-shares."""
        if place + 1 < _WINDOW:
            return None
        total, last = 0, self.days[place]
        for at in range(place + 1 - _WINDOW, place + 1):
            new, old = self._ratio(self.days[at], last) if self._splits else (1, 1)
            total += self.bars.volume[at] * new // old
        return total * _NANOS_IN_MICRO // _WINDOW

    def volatility(self, place: int) -> int | None:
        """Give the standard deviation of 20 returns, bps a year, rounded up."""
        spread = self._spread(place, _WINDOW)
        if spread is None:
            return None
        squared = spread * YEAR  # of n (n - 1) times the variance, in ppm^2
        parts = _WINDOW * (_WINDOW - 1)
        return _root_up(squared, parts * (PPM // 10_000) ** 2)

    def ratio(self, place: int) -> int | None:
        """Give the deviation of 5 returns over that of 60, hundredths, rounded up."""
        short, long = self._spread(place, _SHORT), self._spread(place, _LONG)
        if short is None or not long:
            return None
        return _root_up(short * _LONG * (_LONG - 1) * 100**2, long * _SHORT * (_SHORT - 1))

    def _spread(self, place: int, count: int) -> int | None:
        """Give count (count - 1) times the variance of the newest returns, in ppm^2."""
        if place < count:
            return None
        moves = self.returns[place + 1 - count : place + 1]
        total: int = sum(moves)
        squares: int = sum(map(mul, moves, moves))
        return count * squares - total * total

    def faults(self, place: int) -> int | None:
        """Count the bars of the last 20 that cannot be believed."""
        if place < _WINDOW:
            return None
        return sum(map(self._is_faulty, range(place + 1 - _WINDOW, place + 1)))

    def _is_faulty(self, at: int) -> bool:
        bars = self.bars
        low, high = bars.low[at], bars.high[at]
        wrong = low <= 0 or not all(low <= p <= high for p in (bars.open[at], bars.close[at]))
        back = bars.ts_close[at - 1] >= bars.ts_close[at]
        gap = self.days[at] - self.days[at - 1] > _MOST_GAP
        return wrong or back or gap or abs(self.returns[at]) > _MOST_JUMP


class Outlook:
    """Ask what the bars say, of one symbol and of the book around it.

    load: gives a symbol's series with at least the newest 251 bars known at an instant, or None.
    Sums over the book are kept from one question to the next of the same days.
    """

    def __init__(self, load: Callable[[str, int], Series | None]) -> None:
        """Know nothing yet."""
        self._load = load
        self._days: list[int] = []
        self._values: dict[str, int] = {}  # what the kept sum is made of, micro-dollars
        self._moves: dict[str, list[int]] = {}
        self._gone: dict[str, frozenset[int]] = {}  # places of the days without a return, if any
        self._sum: list[int] = []

    def facts(self, symbol: str, ts: int, state: TradingState) -> MarketFacts:
        """Give the facts for an order in `symbol`, decided at the bar known at `ts`."""
        series = self._load(symbol, ts)
        place = -1 if series is None else series.place(ts)
        if series is None or place < 0:
            return MarketFacts()
        own, others = self._scenarios(symbol, series, place, ts, state)
        return MarketFacts(
            volume=series.volume(place),
            volatility=series.volatility(place),
            ratio=series.ratio(place),
            faults=series.faults(place),
            own=own,
            others=others,
        )

    def book(self, ts: int, state: TradingState) -> MarketFacts:
        """Give what the book as it stands would have earned, on the days of its longest series."""
        known = {symbol: self._load(symbol, ts) for symbol in sorted(state.staked)}
        longest = max(
            (one for one in known.values() if one is not None),
            key=lambda one: min(one.place(ts), FULL_HISTORY),
            default=None,
        )
        if longest is None:
            return MarketFacts()
        place = longest.place(ts)
        return MarketFacts(others=self._scenarios("", longest, place, ts, state)[1])

    def _scenarios(
        self, symbol: str, series: Series, place: int, ts: int, state: TradingState
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the symbol's returns and what the others would have earned, day by day.

        A day on which a stake has no return is left out; a stake without a price says nothing.
        """
        first = max(1, place + 1 - FULL_HISTORY)
        days = series.days[first : place + 1]
        if days != self._days:
            self._days, self._values, self._sum = days, {}, [0] * len(days)
            self._moves, self._gone = {}, {}
        wanted: dict[str, int] = {}
        prices, known = state.prices, self._values
        for stake, quantity in state.stakes.items():
            if stake == symbol or quantity == 0:
                continue
            price = prices.get(stake)
            if price is None:
                return (), ()
            wanted[stake] = quantity * price // NANOS
        for stake in known.keys() - wanted.keys():
            self._change(stake, 0, ts)
        for stake, value in wanted.items():
            if known.get(stake, 0) != value:
                self._change(stake, value, ts)
        own = series.returns[first : place + 1]
        gone = frozenset[int]().union(*(self._gone[one] for one in self._gone if one in wanted))
        if gone:
            kept = [at for at in range(len(days)) if at not in gone]
            return tuple(own[at] for at in kept), tuple(self._sum[at] // _CENTS for at in kept)
        return tuple(own), tuple(total // _CENTS for total in self._sum)

    def _change(self, stake: str, value: int, ts: int) -> None:
        """Put a stake into the kept sum with another value."""
        was = self._values.get(stake, 0)
        step = map(mul, repeat(abs(value - was)), self._moves_of(stake, ts))
        self._sum = list(map(add if value > was else sub, self._sum, step))
        self._values[stake] = value

    def _moves_of(self, stake: str, ts: int) -> list[int]:
        """Give a stake's returns on the days asked, 0 where its newest 250 have none."""
        found = self._moves.get(stake)
        if found is None:
            series = self._load(stake, ts)
            by_day: dict[int, int] = {}
            if series is not None:
                last = series.place(ts)
                since = bisect_right(series.days, self._days[0] - 1) if self._days else last + 1
                span = slice(max(1, since, last + 1 - FULL_HISTORY), last + 1)
                by_day = dict(zip(series.days[span], series.returns[span], strict=True))
            gone = frozenset(at for at, day in enumerate(self._days) if day not in by_day)
            if gone:
                self._gone[stake] = gone
            found = self._moves[stake] = [by_day.get(day, 0) for day in self._days]
        return found


def _return(before: int, close: int) -> int:
    return 0 if before <= 0 else (close - before) * PPM // before


def tail(earned: Sequence[int], *, mean: bool) -> int | None:
    """Give the loss that one day in twenty exceeds, or the mean loss of the worst day in forty.

    earned: what each day brought. Historical: of n days the (n // 20 + 1)-th worst, or the mean
    of the worst ceil(n / 40), rounded up. None for fewer than 60 days; negative for a gain.
    """
    count = len(earned)
    if count < LEAST_HISTORY:
        return None
    ordered = sorted(earned)
    if not mean:
        return -ordered[count // 20]
    worst = -(-count // 40)
    return -(sum(ordered[:worst]) // worst)


def _root_up(numerator: int, denominator: int) -> int:
    """Give the square root of a ratio, rounded up to an integer."""
    whole = -(-numerator // denominator)
    root = isqrt(whole)
    return root + (root * root < whole)
