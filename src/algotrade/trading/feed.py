"""The feed: many symbols' bars as turns for the loop, skipping what nothing can come of.

Between two turns nothing may change but prices: no order waits, no action touches a position, no
signal calls for an order, no limit is passed. The instants in between are only valued. Deciding at
every one of them gives the same entries, orders, decisions that are not holds, and marks.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from itertools import pairwise, repeat
from operator import mul
from typing import TYPE_CHECKING, TypeVar

from algotrade.domain.actions import Delisting, Dividend, Split
from algotrade.domain.decisions import PROBABILITY
from algotrade.domain.ledger import Stretch
from algotrade.domain.money import NANOS, notional
from algotrade.domain.signals import ABSTAINS, DOWN, KEEP, NONE, PPM, UP, Signal
from algotrade.domain.times import session_day, to_day
from algotrade.record import NamedTuple
from algotrade.trading.decision import Moment
from algotrade.trading.losses import halting
from algotrade.trading.session import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from algotrade.bars import Bars
    from algotrade.domain.decisions import Policy
    from algotrade.domain.risk import Limits
    from algotrade.domain.signals import Signals
    from algotrade.trading.state import TradingState

Action = TypeVar("Action", Split, Dividend)

GONE_AFTER = 10  # sessions of the others without a bar before a symbol counts as delisted


class History(NamedTuple):
    """One symbol's bars with what is said of them, and its actions within them."""

    bars: Bars
    signals: Signals | None = None
    splits: Sequence[Split] = ()
    dividends: Sequence[Dividend] = ()


class _Track:
    """One symbol on the common line of time: row `offset` + i of it is bar i, where it has all."""

    def __init__(self, history: History, times: Sequence[int], policy: Policy | None) -> None:
        bars = history.bars
        self.bars, self.signals = bars, history.signals
        self.stances = _stances(history.signals, policy)
        self.offset = bisect_left(times, bars.ts_close[0])
        self.closes: Sequence[int] = bars.close
        self.last_row = bisect_left(times, bars.ts_close[-1])
        if self.last_row - self.offset + 1 != len(bars):
            self.closes = _filled(bars, times[self.offset : self.last_row + 1])
        acted = history.splits or history.dividends
        days = [session_day(ts) for ts in bars.ts_open] if acted else []
        self.splits = _placed(days, history.splits)
        self.dividends = _placed(days, history.dividends)
        self.actions = sorted({*self.splits, *self.dividends})

    def column(self, rows: int) -> Sequence[int]:
        """Give the newest close at each of the common line's rows, 0 before the first bar."""
        after = rows - self.offset - len(self.closes)
        if not self.offset and not after:
            return self.closes
        return [*repeat(0, self.offset), *self.closes, *repeat(self.closes[-1], after)]

    def prices(self, start: int, stop: int) -> list[int] | None:
        """Give the newest closes of rows [start, stop), or None where one is before the first."""
        place = start - self.offset
        if place < 0:
            return None
        found = list(self.closes[place : stop - self.offset])
        return found + [self.closes[-1]] * (stop - start - len(found))

    def moment(self, index: int) -> Moment:
        """Give bar `index` as a moment."""
        bars = self.bars
        return Moment(
            bars.ts_close[index],
            bars.symbol,
            bars.ts_open[index],
            bars.open[index],
            bars.high[index],
            bars.low[index],
            bars.close[index],
            bars.volume[index],
            self.splits.get(index, ()),
            self.dividends.get(index, ()),
            None,
            self.signal(index),
            None,
            self._decided_before(index),
        )

    def signal(self, index: int) -> Signal | None:
        """Give what is said of bar `index`, or None."""
        said = self.signals
        if said is None or said.stances[index] == NONE:
            return None
        speaker = said.sources[0]
        if len(said.sources) > 1:
            speaker = said.sources[bisect_right(said.sources, index, key=lambda one: one[0]) - 1]
        volatility = said.volatilities[index] if said.volatilities else -1
        return Signal(
            source=speaker[1],
            stance=said.stances[index],
            p_up=said.p_up[index] if said.p_up else None,
            threshold=said.threshold,
            weight=said.weights[index] if said.weights else PPM,
            volatility=None if volatility < 0 else volatility,
            abstains=ABSTAINS[said.abstains[index]] if said.abstains else "",
        )

    def speaks(self, index: int) -> bool:
        """Tell whether anything is said of bar `index`, if there is one."""
        return index < len(self.stances) and self.stances[index] != NONE

    def _decided_before(self, index: int) -> int | None:
        for earlier in range(index - 1, -1, -1):
            if self.speaks(earlier):
                return self.bars.ts_close[earlier]
        return None

    def last_decided(self) -> int | None:
        """Give the newest bar of which anything is said."""
        return self._decided_before(len(self.bars))

    def next_bar(self, index: int, state: TradingState, policy: Policy | None) -> int:
        """Give the next bar after `index` of which anything can come; the length if none."""
        symbol, length = self.bars.symbol, len(self.bars)
        held = state.portfolio.held(symbol)
        if symbol in state.orders or (held and index < 0):  # the first bar gives its first price
            return index + 1
        found = length
        if held:
            place = bisect_right(self.actions, index)
            found = self.actions[place] if place < len(self.actions) else length
        if not self.stances or policy is None:
            return found
        now = self.stances[index] if index >= 0 else NONE
        if now == NONE:  # the first word opens the run of holds
            return min(found, self._next_other(NONE, index, length))
        acting = acting_stances(held, policy)
        if now in acting:
            if state.halt is None or self._wavers(policy):
                return index + 1  # it was refused or came to nothing, and may not be at the next
            return min(found, self._next_other(now, index, length))  # a halt refuses all of them
        for stance in acting:
            place = self.stances.find(stance, index + 1, found)
            found = found if place < 0 else place
        return found

    def _wavers(self, policy: Policy) -> bool:
        """Tell whether the same stance may lead to an order at one bar and to none at the next."""
        sized = policy.sizing is not None  # it may come to nothing
        return sized or (self.signals is not None and self.signals.abstains is not None)

    def _next_other(self, now: int, index: int, length: int) -> int:
        places = (self.stances.find(s, index + 1) for s in (NONE, UP, DOWN, KEEP) if s != now)
        return min((place for place in places if place >= 0), default=length)


def acting_stances(held: int, policy: Policy) -> tuple[int, ...]:
    """Give the stances that may lead to an order with so much held and no order waiting."""
    followed = policy.sizing is not None and policy.sizing.kind == PROBABILITY
    if followed or policy.side is not None:
        return (UP, DOWN, KEEP)
    full = policy.quantity if policy.sizing is None else 1
    acting = []
    if held < full:
        acting.append(UP)
    if held > (-full if policy.short else 0):
        acting.append(DOWN)
    if held < 0:
        acting.append(KEEP)  # a model that abstains still ends what it speaks against
    return tuple(acting)


class Market:
    """The bars of many symbols as turns; one object serves one run."""

    def __init__(self, histories: Sequence[History], policy: Policy | None = None) -> None:
        """Lay the histories on one line of time; those without a bar are left out."""
        present = sorted(
            (one for one in histories if len(one.bars)), key=lambda one: one.bars.symbol
        )
        self.times = _times([one.bars for one in present])
        self.tracks = [_Track(one, self.times, policy) for one in present]
        self._policy = policy
        self._by_symbol = {track.bars.symbol: track for track in self.tracks}
        self._rows: list[tuple[int, ...]] = []  # newest closes of all symbols, once asked for
        self._all_begun = max((track.offset for track in self.tracks), default=0)

    def last_decided(self) -> dict[str, int]:
        """Give for each symbol the newest bar of which anything is said."""
        found = {track.bars.symbol: track.last_decided() for track in self.tracks}
        return {symbol: ts for symbol, ts in found.items() if ts is not None}

    def turns(
        self, state: TradingState, limits: Limits | None = None, *, skip: bool = True
    ) -> Iterator[Turn]:
        """Give the turns one by one; each looks at what the loop made of the state before it.

        limits: where the loop decides, so that no instant at which one halts is skipped.
        """
        agenda: list[tuple[int, int, int]] = []
        for number in range(len(self.tracks)):
            self._plan(agenda, number, -1, state, skip=skip)
        row, times = 0, self.times
        while row < len(times):
            stop = bisect_left(times, agenda[0][0], row) if agenda else len(times) - 1
            skipped = self._valued(row, stop, state)
            if skipped is not None and limits is not None and state.halt is None:
                skipped = self._until_halt(skipped, state, limits, agenda)
                stop = bisect_left(times, agenda[0][0], row) if agenda else stop
                skipped = skipped if skipped.ts else None
            due = self._due(agenda, times[stop])
            moments = [self._moment(number, index, times[stop]) for number, index in due]
            halt = state.halt
            yield Turn(times[stop], moments, self._prices(stop), skipped, self.first_speaker)
            began = state.halt != halt  # and cancelled what some were holding for
            for number, index in due:
                self._plan(agenda, number, index, state, skip=skip and not began)
            row = stop + 1

    def _due(self, agenda: list[tuple[int, int, int]], ts: int) -> list[tuple[int, int]]:
        due: dict[int, int] = {}
        while agenda and agenda[0][0] == ts:
            _, number, index = heapq.heappop(agenda)
            due[number] = index
        return list(due.items())

    def _moment(self, number: int, index: int, ts: int) -> Moment:
        track = self.tracks[number]
        if index < len(track.bars):
            return track.moment(index)
        price, symbol = track.bars.close[-1], track.bars.symbol
        gone = Delisting(symbol, price)
        return Moment(ts, symbol, ts, price, price, price, price, 0, delisting=gone)

    def _plan(
        self,
        agenda: list[tuple[int, int, int]],
        number: int,
        index: int,
        state: TradingState,
        *,
        skip: bool,
    ) -> None:
        """Put the symbol's next turn on the agenda, if it has one."""
        track = self.tracks[number]
        length = len(track.bars)
        if index >= length:  # it was delisted
            return
        following = track.next_bar(index, state, self._policy) if skip else index + 1
        if following < length:
            heapq.heappush(agenda, (track.bars.ts_close[following], number, following))
            return
        last = track.last_row + GONE_AFTER
        if last < len(self.times) and track.bars.symbol in state.staked:
            heapq.heappush(agenda, (self.times[last], number, length))

    def _until_halt(
        self,
        stretch: Stretch,
        state: TradingState,
        limits: Limits,
        agenda: list[tuple[int, int, int]],
    ) -> Stretch:
        """Cut the stretch where a decision would halt, and put that decision on the agenda."""
        for place in halting(stretch, state, limits):
            ts = stretch.ts[place]
            number = self._speaker(ts)
            if number is not None:
                index = bisect_left(self.tracks[number].bars.ts_close, ts)
                heapq.heappush(agenda, (ts, number, index))
                return stretch.until(place)
        return stretch

    def first_speaker(self, ts: int) -> Moment | None:
        """Give the first moment that is decided at an instant: the one that a halt is seen at."""
        number = self._speaker(ts)
        if number is None:
            return None
        track = self.tracks[number]
        return track.moment(bisect_left(track.bars.ts_close, ts))

    def _speaker(self, ts: int) -> int | None:
        """Give the first symbol that is decided at an instant."""
        for number, track in enumerate(self.tracks):
            index = bisect_left(track.bars.ts_close, ts)
            if track.speaks(index) and track.bars.ts_close[index] == ts:
                return number
        return None

    def _prices(self, row: int) -> Mapping[str, int]:
        if not self._rows:
            columns = [track.column(len(self.times)) for track in self.tracks]
            self._rows = list(zip(*columns, strict=True))
        found = dict(zip(self._by_symbol, self._rows[row], strict=True))
        return (
            found if row >= self._all_begun else {s: price for s, price in found.items() if price}
        )

    def _valued(self, start: int, stop: int, state: TradingState) -> Stretch | None:
        """Value the account at rows [start, stop), at which nothing but prices moves."""
        if start == stop or state.equity is None:
            return None
        if state.last_mark is not None:  # an account that is ahead of these bars is not valued
            start = bisect_right(self.times, state.last_mark.ts, start, stop)
        if start == stop:
            return None
        terms, constant = [], 0
        for symbol, position in state.portfolio.positions.items():
            track = self._by_symbol.get(symbol)
            prices = track.prices(start, stop) if track else None
            if prices is None:
                constant += state.position_value(symbol) or 0
                continue
            whole, rest = divmod(position.quantity, NANOS)
            if rest:
                terms.append([notional(position.quantity, price) for price in prices])
            else:
                terms.append(list(map(mul, prices, repeat(whole))))
        return Stretch(
            self.times[start:stop],
            state.portfolio.cash,
            _sums(terms, stop - start, constant),
            state.portfolio.contributed,
        )


def _sums(terms: list[list[int]], length: int, constant: int) -> Sequence[int]:
    if not terms:
        return [constant] * length
    if len(terms) == 1 and not constant:
        return terms[0]
    return [sum(parts, constant) for parts in zip(*terms, strict=True)]


def _stances(signals: Signals | None, policy: Policy | None) -> bytes:
    """Give the stances as the policy takes them: between two thresholds a position is kept."""
    if signals is None:
        return b""
    if policy is None or policy.exit_below is None or signals.p_up is None:
        return signals.stances
    exit_below = policy.exit_below
    return bytes(
        KEEP if stance == DOWN and p > exit_below else stance
        for stance, p in zip(signals.stances, signals.p_up, strict=True)
    )


def _times(histories: Sequence[Bars]) -> list[int]:
    """Give the instants at which any symbol has a bar."""
    kinds = {bars.ts_close.tobytes(): bars.ts_close for bars in histories}
    if len(kinds) == 1:
        return list(histories[0].ts_close)
    return sorted({ts for times in kinds.values() for ts in times})


def _filled(bars: Bars, times: Sequence[int]) -> list[int]:
    """Give the newest close at each instant from the symbol's first bar to its last."""
    bounds = [*(bisect_left(times, ts) for ts in bars.ts_close), len(times)]
    return [
        close
        for close, (start, stop) in zip(bars.close, pairwise(bounds), strict=True)
        for _ in range(stop - start)
    ]


def _placed(days: Sequence[int], actions: Sequence[Action]) -> dict[int, tuple[Action, ...]]:
    """Put each action with the first bar on or after its ex-date."""
    places: dict[int, list[Action]] = {}
    for action in actions:
        places.setdefault(bisect_left(days, to_day(action.ex_date)), []).append(action)
    return {place: tuple(group) for place, group in places.items()}
