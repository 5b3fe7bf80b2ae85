"""Outlook: facts of bars by hand, and the same bits from 251 bars as from a whole history."""

from __future__ import annotations

import math
import random
import statistics
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars, from_rows
from algotrade.domain.actions import Split
from algotrade.domain.risk import MarketFacts
from algotrade.trading.outlook import BARS_READ, Outlook, Series, tail
from builders import DOLLAR, FIRST, SHARE, bars_of, bought, closes, deposit, opens, order, state

if TYPE_CHECKING:
    from algotrade.trading.state import TradingState


def walk(seed: int, length: int, symbol: str, *, gaps: float = 0.0, split: int = 0) -> Bars:
    """Make daily bars that wander; a split at bar `split` cuts the price in two."""
    rng, price, rows = random.Random(seed), 100 * DOLLAR, []  # noqa: S311  a test market
    splits: tuple[Split, ...] = ()
    for day in range(length):
        if split and day == split:
            price //= 2
            splits = (Split(symbol, FIRST + timedelta(days=day), 1, 2),)
        if rng.random() < gaps and day != split:
            continue
        price = max(DOLLAR, price + rng.randint(-3 * DOLLAR, 3 * DOLLAR))
        volume = rng.randint(10**11, 10**12)
        rows.append((opens(day), closes(day), price, price + 7, price - 7, price, volume))
    return from_rows("sample", symbol, "1d", rows, splits)


def outlook(bars: dict[str, Bars], last: int | None = None) -> Outlook:
    """Give what these bars say: from all of them, or from the newest `last` known at a time."""

    def load(symbol: str, ts: int) -> Series | None:
        found = bars.get(symbol)
        if found is None or last is None:
            return None if found is None else Series(found)
        stop = sum(close <= ts for close in found.ts_close)
        return Series(found.slice(max(0, stop - last), stop)) if stop else None

    return Outlook(load)


def holding(prices: dict[str, int]) -> TradingState:
    entries = [deposit(), bought(7 * SHARE, 100 * DOLLAR, symbol="IBM", ref="i")]
    waiting = [order("sell", 3 * SHARE, symbol="MSFT", key="w" * 32)]
    return state(*entries, prices=prices, open_orders=waiting)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length=st.integers(30, 330),
    gaps=st.sampled_from([0.0, 0.1]),
    has_split=st.booleans(),
)
def test_251_bars_say_what_the_whole_history_says(
    seed: int, length: int, gaps: float, *, has_split: bool
) -> None:
    split = length - 12 if has_split else 0
    bars = {
        "AAPL": walk(seed, length, "AAPL", gaps=gaps, split=split),
        "IBM": walk(seed + 1, length, "IBM", gaps=gaps / 2),
        "MSFT": walk(seed + 2, length, "MSFT"),
    }
    whole, newest = outlook(bars), outlook(bars, BARS_READ)
    for ts in bars["AAPL"].ts_close[-25:]:
        prices = {s: b.close[max(0, sum(t <= ts for t in b.ts_close) - 1)] for s, b in bars.items()}
        now = holding(prices)
        assert whole.facts("AAPL", ts, now) == newest.facts("AAPL", ts, now)
        assert whole.facts("AAPL", ts, now) == outlook(bars).facts("AAPL", ts, now)  # nothing kept


def test_one_bar_less_does_not_say_the_same() -> None:
    bars = {"AAPL": walk(5, 330, "AAPL")}
    ts, now = bars["AAPL"].ts_close[-1], state(deposit())
    assert outlook(bars, BARS_READ - 1).facts("AAPL", ts, now) != outlook(bars).facts(
        "AAPL", ts, now
    )


def test_volatility_volume_and_ratio_are_those_of_statistics() -> None:
    bars = walk(3, 120, "AAPL")
    series, place = Series(bars), 119
    moves = [
        math.floor(Fraction(bars.close[i] - bars.close[i - 1], bars.close[i - 1]) * 10**6)
        for i in range(1, 120)
    ]
    yearly = statistics.stdev(moves[-20:]) * math.sqrt(252) / 100
    assert series.volatility(place) == math.ceil(yearly)
    ratio = statistics.stdev(moves[-5:]) / statistics.stdev(moves[-60:]) * 100
    assert series.ratio(place) == math.ceil(ratio)
    assert series.volume(place) == sum(bars.volume[-20:]) * 1_000 // 20


def test_a_split_is_no_move_and_its_volume_is_of_today() -> None:
    rows = []
    for day in range(25):
        price, volume = (200, 10) if day < 20 else (100, 20)
        rows.append((opens(day), closes(day), *(4 * [price * DOLLAR]), volume * 10**6))
    split = (Split("AAPL", FIRST + timedelta(days=20), 1, 2),)
    bars = from_rows("sample", "AAPL", "1d", rows, split)
    series = Series(bars)
    assert (series.volatility(24), series.faults(24)) == (0, 0)
    assert series.volume(24) == 20 * SHARE
    bare = Series(from_rows("sample", "AAPL", "1d", rows))
    assert bare.faults(24) == 1  # it halves without a split on record


def test_too_few_bars_say_nothing() -> None:
    series = Series(bars_of([100 * DOLLAR] * 61))
    assert [series.volume(p) is None for p in (18, 19)] == [True, False]
    assert [series.volatility(p) is None for p in (19, 20)] == [True, False]
    assert [series.faults(p) is None for p in (19, 20)] == [True, False]
    assert series.ratio(60) is None  # nothing moved: there is nothing to compare with
    moved = Series(walk(1, 62, "AAPL"))
    assert [moved.ratio(p) is None for p in (59, 60)] == [True, False]


@pytest.mark.parametrize(
    ("spoil", "faults"),
    [
        ({}, 0),
        ({"low": 0}, 1),
        ({"low": 101 * DOLLAR}, 1),
        ({"high": 99 * DOLLAR}, 1),
        ({"ts_close": closes(4)}, 2),  # back, and then a gap
        ({"close": 79 * DOLLAR, "low": 79 * DOLLAR, "open": 79 * DOLLAR}, 2),  # down and up again
        ({"close": 80 * DOLLAR, "low": 80 * DOLLAR, "open": 80 * DOLLAR}, 1),  # up by a quarter
    ],
)
def test_bars_that_cannot_be_believed(spoil: dict[str, int], faults: int) -> None:
    bars = bars_of([100 * DOLLAR] * 30)
    for name, value in spoil.items():
        bars.column(name)[20] = value
    assert Series(bars).faults(29) == faults


def test_a_week_without_a_bar_is_none_and_a_day_more_is() -> None:
    for gap, faults in ((7, 0), (8, 1)):
        days = [*range(20), *range(19 + gap, 29 + gap)]
        rows = [(opens(d), closes(d), *(4 * [DOLLAR]), 1) for d in days]
        assert Series(from_rows("sample", "AAPL", "1d", rows)).faults(29) == faults


def test_the_book_beside_an_order_by_hand() -> None:
    """IBM: 7 held at 50, returns +10% and -10%; MSFT: 3 short to be, at 20, returns 0 and +50%."""
    bars = {
        "AAPL": bars_of([100 * DOLLAR, 101 * DOLLAR, 101 * DOLLAR]),
        "IBM": bars_of([100 * DOLLAR, 110 * DOLLAR, 99 * DOLLAR], symbol="IBM"),
        "MSFT": bars_of([10 * DOLLAR, 10 * DOLLAR, 15 * DOLLAR], symbol="MSFT"),
    }
    prices = {"AAPL": 101 * DOLLAR, "IBM": 50 * DOLLAR, "MSFT": 20 * DOLLAR}
    now, asked = holding(prices), outlook(bars)
    facts = asked.facts("AAPL", closes(2), now)
    assert facts.own == (10_000, 0)
    assert facts.others == (3_500, -3_500 - 3_000)  # cents
    assert asked.book(closes(2), now).others == facts.others
    bars["MSFT"] = bars["MSFT"].slice(1, 3)  # younger: a day less is known
    assert outlook(bars).facts("AAPL", closes(2), now).others == (-6_500,)
    del now.prices["IBM"]
    assert outlook(bars).facts("AAPL", closes(2), now).others == ()
    assert outlook(bars).facts("GOOG", closes(2), now) == MarketFacts()
    assert outlook({}).book(closes(2), now) == MarketFacts()
    assert outlook(bars).facts("AAPL", closes(0) - 1, now) == MarketFacts()


def test_what_comes_and_goes_in_a_book_leaves_nothing_behind() -> None:
    """IBM: 7 at 50 or at 60, returns +10% and -10%; sold while it waits, or sold, it is nothing."""
    bars = {
        "AAPL": bars_of([100 * DOLLAR, 101 * DOLLAR, 101 * DOLLAR]),
        "IBM": bars_of([100 * DOLLAR, 110 * DOLLAR, 99 * DOLLAR], symbol="IBM"),
    }
    asked, known = outlook(bars), {"AAPL": 101 * DOLLAR, "IBM": 50 * DOLLAR}
    held = (deposit(), bought(7 * SHARE, 100 * DOLLAR, symbol="IBM", ref="i"))
    leaving = order("sell", 7 * SHARE, symbol="IBM", key="w" * 32)
    books = (
        (state(*held, prices=known), (3_500, -3_500)),
        (state(*held, prices={**known, "IBM": 60 * DOLLAR}), (4_200, -4_200)),
        (state(*held, prices=known), (3_500, -3_500)),
        (state(*held, prices={"AAPL": DOLLAR}, open_orders=[leaving]), (0, 0)),
        (state(deposit(), prices=known), (0, 0)),
        (state(*held, prices=known), (3_500, -3_500)),
    )
    for book, others in books:
        for once in (asked, outlook(bars)):
            assert once.facts("AAPL", closes(2), book).others == others


def test_a_stake_without_bars_and_a_first_bar_leave_no_day_to_tell_of() -> None:
    bars = {"AAPL": bars_of([100 * DOLLAR, 101 * DOLLAR])}
    prices = {"AAPL": 101 * DOLLAR, "IBM": 50 * DOLLAR}
    held = bought(7 * SHARE, 100 * DOLLAR, symbol="IBM", ref="i")
    now = state(deposit(), held, prices=prices)
    found = outlook(bars).facts("AAPL", closes(1), now)
    assert (found.own, found.others) == ((), ())
    bars["IBM"] = bars_of([DOLLAR, DOLLAR], symbol="IBM")
    first = outlook(bars).facts("AAPL", closes(0), now)
    assert (first.own, first.others) == ((), ())
    second = outlook(bars).facts("AAPL", closes(1), now)
    assert (second.own, second.others) == ((10_000,), (0,))


@pytest.mark.parametrize(
    ("count", "at_risk", "mean"), [(59, None, None), (60, 57, 60), (250, 238, 247), (249, 237, 246)]
)
def test_the_tail_of_a_history(count: int, at_risk: int | None, mean: int | None) -> None:
    """Of 1 .. n lost: of 60 the 4th worst and the mean of 2; of 250 the 13th, the mean of 7."""
    earned = [-day for day in range(1, count + 1)]
    random.Random(1).shuffle(earned)  # noqa: S311  any order
    assert tail(earned, mean=False) == at_risk
    assert tail(earned, mean=True) == mean
