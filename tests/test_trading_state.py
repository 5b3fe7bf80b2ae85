"""The state: its kept sums equal sums from scratch, its books balance, and it can be rebuilt."""

from __future__ import annotations

import copy
import random
from bisect import bisect_right
from datetime import date
from fractions import Fraction
from itertools import takewhile
from math import ceil
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import (
    DEPOSIT,
    SPLIT,
    Entry,
    Portfolio,
    Stretch,
    apply,
    fill_entry,
    imbalance,
)
from algotrade.domain.orders import BUY, CANCELLED, EXPIRED, FILLED, SELL, OpenOrder, Order
from algotrade.domain.times import DAY, HOUR, session_date
from algotrade.trading import decision
from algotrade.trading.feed import History, Market
from algotrade.trading.state import TradingState, opening_state
from engine_world import (
    ACCOUNT,
    DOLLAR,
    SHARE,
    RunJournal,
    at_the_close,
    make_world,
    opening,
    play,
    story,
    walk,
)

if TYPE_CHECKING:
    from algotrade.trading.session import Turn
    from engine_world import World

seeds = st.integers(0, 10**9)
counts = st.integers(1, 6)
SYMBOLS = ("A", "B", "C", "D")


# ---- sums that are kept


def order(key: str, symbol: str, side: str, quantity: int) -> Order:
    return Order(
        key=key,
        account=ACCOUNT,
        strategy="s",
        symbol=symbol,
        side=side,
        quantity=quantity,
        bar_ts=0,
        placed_at=0,
        client_id="",
    )


def from_scratch(state: TradingState) -> tuple[int | None, ...]:
    """Give equity, gross, largest and committed by adding everything up."""
    held = {symbol: one.quantity for symbol, one in state.portfolio.positions.items()}
    ahead = dict(held)
    for waiting in state.open_orders:
        sign = 1 if waiting.order.side == BUY else -1
        symbol = waiting.order.symbol
        left = sign * (waiting.order.quantity - waiting.filled)
        ahead[symbol] = ahead.get(symbol, 0) + left
    equity, gross, largest, committed = None, None, None, None
    if held.keys() <= state.prices.keys():
        values = (round(Fraction(q * state.prices[symbol], SHARE)) for symbol, q in held.items())
        equity = state.portfolio.cash + sum(values)
    ahead = {symbol: quantity for symbol, quantity in ahead.items() if quantity}
    if ahead.keys() <= state.prices.keys():
        parts = [ceil(Fraction(abs(q) * state.prices[s], SHARE)) for s, q in ahead.items()]
        gross, largest = sum(parts), max(parts, default=0)
    buys = [one for one in state.open_orders if one.order.side == BUY]
    if {one.order.symbol for one in buys} <= state.prices.keys():
        owed = (Fraction(one.left * state.prices[one.order.symbol], SHARE) for one in buys)
        committed = sum(round(part) for part in owed)
    return equity, gross, largest, committed


def waiting_from_scratch(state: TradingState) -> tuple[dict[str, int], int | None]:
    """Give the positions once all is filled, and the value that waits, by adding everything up."""
    ahead = {symbol: one.quantity for symbol, one in state.portfolio.positions.items()}
    parts = []
    for waiting in state.open_orders:
        symbol, left = waiting.order.symbol, waiting.order.quantity - waiting.filled
        ahead[symbol] = ahead.get(symbol, 0) + (left if waiting.order.side == BUY else -left)
        price = state.prices.get(symbol)
        parts.append(0 if not left else price and ceil(Fraction(left * price, SHARE)))
    known = [part for part in parts if part is not None]
    return ahead, sum(known) if len(known) == len(parts) else None


def move(state: TradingState, rng: random.Random, number: int) -> None:
    """Change the state as the loop does: book, reprice, place or update."""
    symbol = rng.choice(SYMBOLS)
    size = rng.choice((SHARE, 3 * SHARE, rng.randrange(1, 10**11)))
    what = rng.choice(("book", "split", "deposit", "reprice", "place", "place", "update", "update"))
    if what == "book":
        held = state.portfolio.held(symbol)
        quantity = rng.choice((size, -size, -held or size))
        price = rng.randrange(1, 500 * DOLLAR)
        state.book(
            fill_entry(
                ts=0, ref=f"f{number}", symbol=symbol, quantity=quantity, price=price, fee=number
            )
        )
    elif what == "split" and symbol in state.portfolio.positions:
        more = state.portfolio.held(symbol) // rng.choice((1, 2, 3))
        state.book(Entry(ts=0, kind=SPLIT, ref=f"s{number}", symbol=symbol, quantity=more))
    elif what == "deposit":
        state.book(Entry(ts=0, kind=DEPOSIT, ref=f"d{number}", amount=rng.randrange(10**12)))
    elif what == "reprice":
        state.reprice({symbol: rng.randrange(1, 500 * DOLLAR)})
    elif what == "place":
        state.place(order(f"o{number}", symbol, rng.choice((BUY, SELL)), size))
    elif what == "update" and state.open_orders:
        waiting = rng.choice(state.open_orders)
        filled = rng.randint(waiting.filled, waiting.order.quantity)
        state.update(waiting._replace(filled=filled), ended=rng.random() < 0.4)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 4))
def test_kept_sums_are_those_from_scratch(seed: int, priced: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - what happens to an account
    state = TradingState(account=ACCOUNT, prices=dict.fromkeys(SYMBOLS[:priced], 7 * DOLLAR))
    for number in range(40):
        move(state, rng, number)
        if rng.random() < 0.7:  # else the sums are asked for after several changes
            kept = (state.equity, state.gross, state.largest, state.committed())
            assert kept == from_scratch(state)
            assert (state.stakes, state.unexecuted()) == waiting_from_scratch(state)


def test_a_missing_price_leaves_nothing_to_say() -> None:
    bought = fill_entry(ts=0, ref="b", symbol="A", quantity=3 * SHARE, price=DOLLAR, fee=0)
    state = TradingState(account=ACCOUNT, portfolio=apply(Portfolio(), bought))
    assert (state.equity, state.value, state.profit) == (None, None, None)
    assert (state.gross, state.largest, state.exposure("A")) == (None, None, None)
    state.reprice({"A": 2 * DOLLAR})
    assert (state.equity, state.gross, state.largest) == (3 * DOLLAR, 6 * DOLLAR, 6 * DOLLAR)
    state.place(order("o", "B", BUY, SHARE))
    assert (state.equity, state.gross, state.committed()) == (3 * DOLLAR, None, None)
    state.place(order("p", "A", SELL, 3 * SHARE))
    state.reprice({"B": 5 * DOLLAR})
    assert (state.gross, state.largest, state.committed()) == (5 * DOLLAR,) * 3


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_marks_taken_at_once_are_marks_taken_one_by_one(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a few valuations
    times = sorted(rng.sample(range(5 * HOUR, 9 * DAY, HOUR), 12))
    stretch = Stretch(times, 0, [rng.randint(-9, 9) for _ in times], 0)
    marks, cut = list(stretch.marks()), rng.randrange(1, 12)
    state = TradingState(account=ACCOUNT)
    state.mark(stretch.until(cut))
    state.mark(stretch._replace(ts=times[cut:], values=stretch.values[cut:]))
    last = (times[-1] - 5 * HOUR) // DAY
    before = [mark.value for mark in marks if (mark.ts - 5 * HOUR) // DAY < last]
    assert state.session_profit == (before[-1] if before else 0)
    assert state.peak_profit == max(0, *(mark.value for mark in marks))
    assert state.last_mark == marks[-1]


# ---- deciding reads


def snapshot(state: TradingState) -> tuple[object, ...]:
    names = ("portfolio", "orders", "prices", "last_mark", "session_profit", "peak_profit", "halt")
    return copy.deepcopy(tuple(dict_of(getattr(state, name)) for name in names))


def dict_of(value: object) -> object:
    if isinstance(value, Portfolio):
        return (*value[:-1], dict(value.positions))
    return value


@settings(max_examples=40, deadline=None)
@given(seeds, counts)
def test_deciding_changes_nothing_and_says_the_same_again(seed: int, symbols: int) -> None:
    world = make_world(seed, symbols, 25)
    state, decided = opening(world), 0
    market = Market(world.histories, world.policy)
    for turn in market.turns(state, world.limits, skip=False):
        for moment in turn.moments:
            before = snapshot(state)
            grounds = (moment, state, world.policy, world.limits, at_the_close(moment))
            assert decision.decide(*grounds) == decision.decide(*grounds)
            assert snapshot(state) == before
            decided += 1
        walk(world, [turn], state, RunJournal())
    assert decided >= 1


# ---- the books balance


class Auditor(RunJournal):
    """Add the account up beside the engine, in fractions, and compare at every mark."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.portfolio = Portfolio()
        self.cash = 0
        self.held: dict[str, int] = {}
        for entry in world.entries:
            self.append(entry)
        self.entries.clear()

    def append(self, entry: Entry) -> None:
        super().append(entry)
        self.portfolio = apply(self.portfolio, entry)
        assert imbalance(self.portfolio) == 0
        self.cash -= entry.fee
        if entry.kind == "dividend":
            assert entry.quantity == self.held[entry.symbol]
            self.cash += round(Fraction(entry.quantity * entry.price, SHARE))
            return
        if entry.kind == DEPOSIT:
            self.cash += entry.amount
            return
        self.held[entry.symbol] = self.held.get(entry.symbol, 0) + entry.quantity
        self.cash -= round(Fraction(entry.quantity * entry.price, SHARE))

    def mark(self, account: str, stretch: Stretch) -> None:
        super().mark(account, stretch)
        for mark in stretch.marks():
            closes = newest(self.world, mark.ts)
            held = ((symbol, q) for symbol, q in self.held.items() if q)
            value = sum(round(Fraction(q * closes[symbol], SHARE)) for symbol, q in held)
            assert (mark.cash, mark.value) == (self.cash, value)


def newest(world: World, ts: int) -> dict[str, int]:
    """Give each symbol's newest close at an instant."""
    found = dict(world.prices)
    for bars in (history.bars for history in world.histories):
        count = bisect_right(bars.ts_close, ts)
        if count:
            found[bars.symbol] = bars.close[count - 1]
    return found


@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=100, deadline=None)
@given(seed=seeds, symbols=counts)
def test_every_entry_balances_and_every_mark_is_what_is_held(
    *, seed: int, symbols: int, skip: bool
) -> None:
    world = make_world(seed, symbols, 40)
    journal, state = Auditor(world), opening(world)
    market = Market(world.histories, world.policy)
    walk(world, market.turns(state, world.limits, skip=skip), state, journal)
    assert state.portfolio == journal.portfolio
    assert journal.marks or state.equity is None
    assert_orders(world, journal)


def assert_orders(world: World, journal: RunJournal) -> None:
    costs = world.costs
    for asked in (one.order for one in journal.orders):
        assert asked is not None
        own = [one for one in journal.entries if one.ref.startswith(f"{asked.key}.")]
        met = [abs(one.quantity) for one in own]
        ends = [state for order, _, state, _ in journal.events if order.key == asked.key]
        assert sum(met) <= asked.quantity
        assert (sum(met) == asked.quantity) == (FILLED in ends)
        assert asked.quantity % SHARE or not any(size % SHARE for size in met)
        charge = sum(
            round(Fraction(size * costs.commission_per_share, SHARE))
            + round(Fraction(abs(one.amount) * costs.commission_bps, 10_000))
            for size, one in zip(met, own, strict=True)
        )
        if own:
            least = costs.commission_minimum
            assert sum(one.fee for one in own) == max(least, charge + costs.commission_per_trade)


# ---- a second session goes on where the first ended


def rebuilt(world: World, journal: RunJournal, ts: int, now: int) -> TradingState:
    """Build the state at the end of the instant `ts` from what was written down alone."""
    waiting = []
    for asked in (one.order for one in journal.orders):
        assert asked is not None
        states = [state for one, _, state, _ in journal.events if one.key == asked.key]
        if {FILLED, CANCELLED, EXPIRED} & set(states):
            continue
        own = [one for one in journal.entries if one.ref.startswith(f"{asked.key}.")]
        charged = (
            world.costs.charge(one.quantity, one.price, first=number == 0)
            for number, one in enumerate(own)
        )
        waiting.append(
            OpenOrder(
                asked,
                filled=sum(abs(one.quantity) for one in own),
                fills=len(own),
                charged=sum(charged),
                fee=sum(one.fee for one in own),
                triggered="triggered" in states,
            )
        )
    return opening_state(
        ACCOUNT,
        [*world.entries, *journal.entries],
        open_orders=waiting,
        marks=journal.marks,
        prices=newest(world, ts),
        now=now,
        halt=journal.halts[0][1] if journal.halts else world.halt,
    )


def kept_turns(world: World, *, skip: bool) -> list[Turn]:
    turns: list[Turn] = []
    state, market = opening(world), Market(world.histories, world.policy)
    for turn in market.turns(state, world.limits, skip=skip):
        turns.append(turn)
        walk(world, [turn], state, RunJournal())
    return turns


@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=150, deadline=None)
@example(seed=46949320, symbols=4, cut=1.0)  # orders of several symbols wait
@given(seed=seeds, symbols=counts, cut=st.floats(0.0, 1.0))
def test_two_sessions_are_one(*, seed: int, symbols: int, cut: float, skip: bool) -> None:
    world = make_world(seed, symbols, 30)
    turns = kept_turns(world, skip=skip)
    place = min(len(turns) - 1, 1 + int(cut * len(turns)))
    journal = RunJournal()
    walk(world, turns[:place], opening(world), journal)
    state = rebuilt(world, journal, turns[place - 1].ts, turns[place].ts)
    walk(world, turns[place:], state, journal)
    journal.close(Market(world.histories, world.policy).last_decided())
    assert story(journal, state) == story(*play(world, skip=skip))


def later(history: History, ts: int) -> History:
    """Give the bars after an instant, with what is said of them and happens within them."""
    bars, signals = history.bars, history.signals
    known = bisect_right(bars.ts_close, ts)
    seen = session_date(bars.ts_open[known - 1]) if known else date.min
    if signals is not None:
        signals = signals._replace(
            sources=tuple((max(0, first - known), who) for first, who in signals.sources),
            stances=signals.stances[known:],
            p_up=signals.p_up[known:] if signals.p_up else None,
            weights=signals.weights[known:] if signals.weights else None,
            volatilities=signals.volatilities[known:] if signals.volatilities else None,
            abstains=signals.abstains[known:] if signals.abstains else None,
        )
    return History(
        bars.slice(known, len(bars)),
        signals,
        [split for split in history.splits if split.ex_date > seen],
        [paid for paid in history.dividends if paid.ex_date > seen],
    )


@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=150, deadline=None)
@given(seed=seeds, symbols=counts, cut=st.floats(0.0, 1.0))
def test_a_session_over_the_later_bars_goes_on(
    *, seed: int, symbols: int, cut: float, skip: bool
) -> None:
    world = make_world(seed, symbols, 30)
    times = Market(world.histories, world.policy).times
    ts = times[int(cut * (len(times) - 1))]
    journal, state = RunJournal(), opening(world)
    turns = Market(world.histories, world.policy).turns(state, world.limits, skip=False)
    walk(world, takewhile(lambda turn: turn.ts <= ts, turns), state, journal)
    rest = [later(history, ts) for history in world.histories]
    ended = {
        one.bars.symbol for one, more in zip(world.histories, rest, strict=True) if not more.bars
    }
    assume(not ended & state.staked)  # a symbol without bars is not known to be delisted
    after = [closed for closed in times if closed > ts]
    state = rebuilt(world, journal, ts, after[0] if after else ts)
    again = Market(rest, world.policy)
    walk(world, again.turns(state, world.limits, skip=skip), state, journal)
    told, whole = story(journal, state), story(*play(world, skip=False))
    for name in ("runs", "openers"):  # their first bars do not know what was decided before
        del told[name], whole[name]
    assert told == whole
