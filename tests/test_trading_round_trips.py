"""Round trips: lives computed by hand, statistics, and the law that they add up to the ledger."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.domain.ledger import (
    DELISTING,
    DEPOSIT,
    DIVIDEND,
    SPLIT,
    WITHDRAWAL,
    Entry,
    fill_entry,
    replay,
)
from algotrade.errors import LedgerError
from algotrade.trading.round_trips import (
    LONG,
    SHORT,
    RoundTrip,
    TradeStatistics,
    round_trips,
    trade_statistics,
)
from builders import DOLLAR, SHARE, deposit


def fill(ts: int, quantity: int, price: int, fee: int = 0, *, symbol: str = "AAPL") -> Entry:
    return fill_entry(ts=ts, ref=f"f{ts}", symbol=symbol, quantity=quantity, price=price, fee=fee)


def split(ts: int, change: int) -> Entry:
    return Entry(ts=ts, kind=SPLIT, ref=f"s{ts}", symbol="AAPL", quantity=change)


def dividend(ts: int, amount: int, *, symbol: str = "AAPL") -> Entry:
    return Entry(ts=ts, kind=DIVIDEND, ref=f"d{ts}", symbol=symbol, amount=amount)


def test_a_long_trip_with_a_split_and_a_dividend() -> None:
    """1 buy  10 at 100, fee 1     held 10, cost 1,000
    2 sell  4 at 110, fee 1        +440, realised 40                   held 6, cost 600
    3 split 2-for-1                10 entered and 4 left become 20 and 8     held 12
    4 dividend 0.50 on 12          +6
    5 buy   8 at 60, fee 1         480                                 held 20, cost 1,080
    6 sell 20 at 55, fee 2         +1,100, realised 20                 held 0

    entered 28 for 1,480, that is 52.857143; left 28 for 1,540, that is 55
    realised 60 - fees 5 + dividend 6 = 61
    """
    entries = [
        fill(1, 10 * SHARE, 100 * DOLLAR, DOLLAR),
        fill(2, -4 * SHARE, 110 * DOLLAR, DOLLAR),
        split(3, 6 * SHARE),
        dividend(4, 6 * DOLLAR),
        fill(5, 8 * SHARE, 60 * DOLLAR, DOLLAR),
        fill(6, -20 * SHARE, 55 * DOLLAR, 2 * DOLLAR),
    ]
    assert round_trips(entries) == (
        RoundTrip(
            symbol="AAPL",
            side=LONG,
            opened=1,
            closed=6,
            quantity=20 * SHARE,
            entry_price=52_857_143,
            exit_price=55 * DOLLAR,
            fees=5 * DOLLAR,
            dividends=6 * DOLLAR,
            profit=61 * DOLLAR,
        ),
    )


def test_an_open_trip_tells_what_is_realised_so_far() -> None:
    # a short of 10 at 50 covers 4 at 40: 40 realised, 1 fee; a dividend of 3 is owed
    entries = [
        fill(1, -10 * SHARE, 50 * DOLLAR, DOLLAR),
        fill(2, 4 * SHARE, 40 * DOLLAR),
        dividend(3, -3 * DOLLAR),
    ]
    (begun,) = round_trips(entries[:1])
    assert (begun.closed, begun.exit_price, begun.profit) == (None, None, -DOLLAR)
    (trip,) = round_trips(entries)
    assert trip == RoundTrip(
        symbol="AAPL",
        side=SHORT,
        opened=1,
        closed=None,
        quantity=10 * SHARE,
        entry_price=50 * DOLLAR,
        exit_price=40 * DOLLAR,
        fees=DOLLAR,
        dividends=-3 * DOLLAR,
        profit=36 * DOLLAR,
    )


def test_the_quantity_is_the_most_held_in_the_basis_of_the_close() -> None:
    # 10, then 1, then 5 held; the 10 are 20 after a 2-for-1 split
    entries = [
        fill(1, 10 * SHARE, DOLLAR),
        fill(2, -9 * SHARE, DOLLAR),
        fill(3, 4 * SHARE, DOLLAR),
        split(4, 5 * SHARE),
        fill(5, -10 * SHARE, DOLLAR),
    ]
    assert [trip.quantity for trip in round_trips(entries)] == [20 * SHARE]


def test_crossing_zero_ends_one_trip_and_begins_the_next_at_the_same_fill() -> None:
    """1 buy  10 at 100            2 sell 15 at 110, fee 0.000005: 10 close, 5 open short
    3 buy   5 at 100, fee 1

    the fee of 5 micro-dollars: 5 * 10 / 15 = 3.33 close the first, the other 2 open the second
    """
    first, second = round_trips(
        [
            fill(1, 10 * SHARE, 100 * DOLLAR),
            fill(2, -15 * SHARE, 110 * DOLLAR, 5),
            fill(3, 5 * SHARE, 100 * DOLLAR, DOLLAR),
        ]
    )
    assert first == RoundTrip(
        *("AAPL", LONG, 1, 2, 10 * SHARE, 100 * DOLLAR, 110 * DOLLAR),
        *(3, 0, 100 * DOLLAR - 3),
    )
    assert second == RoundTrip(
        *("AAPL", SHORT, 2, 3, 5 * SHARE, 110 * DOLLAR, 100 * DOLLAR),
        *(DOLLAR + 2, 0, 50 * DOLLAR - DOLLAR - 2),
    )


@pytest.mark.parametrize(("fee", "closing"), [(1, 0), (3, 2), (5, 2)])  # 0.5, 1.5, 2.5: to even
def test_the_fee_of_a_crossing_is_split_half_even(fee: int, closing: int) -> None:
    entries = [fill(1, -SHARE, DOLLAR), fill(2, 2 * SHARE, DOLLAR, fee)]
    assert [trip.fees for trip in round_trips(entries)] == [closing, fee - closing]


def test_a_dividend_after_the_close_belongs_to_the_trip_that_earned_it() -> None:
    entries = [fill(1, SHARE, DOLLAR), fill(2, -SHARE, DOLLAR), dividend(3, 7)]
    (trip,) = round_trips(entries)
    assert (trip.closed, trip.dividends, trip.profit) == (2, 7, 7)


def test_a_dividend_of_what_was_never_held_is_refused() -> None:
    with pytest.raises(LedgerError, match="'d1' of AAPL: it was never held"):
        round_trips([dividend(1, 7)])


def test_a_split_that_leaves_nothing_ends_the_trip_and_its_cost_is_lost() -> None:
    # 4 nano-shares at 600,000 cost 0.0024; 1-for-10 leaves 0.4 nano-shares, that is none
    (trip,) = round_trips([fill(1, 4, 600_000 * DOLLAR), split(2, -4)])
    assert (trip.closed, trip.quantity, trip.exit_price, trip.profit) == (2, 4, 0, -2_400)


def test_a_delisting_ends_the_trip_at_its_price() -> None:
    gone = fill(2, -SHARE, 3 * DOLLAR)._replace(kind=DELISTING)
    (trip,) = round_trips([fill(1, SHARE, 10 * DOLLAR), gone])
    assert (trip.closed, trip.exit_price, trip.profit) == (2, 3 * DOLLAR, -7 * DOLLAR)


def test_symbols_and_cash_flows_do_not_touch_and_trips_come_as_they_were_opened() -> None:
    entries = [
        deposit(),
        fill(1, SHARE, DOLLAR),
        fill(2, SHARE, DOLLAR, symbol="MSFT"),
        fill(3, -SHARE, 2 * DOLLAR),
        Entry(ts=4, kind=WITHDRAWAL, ref="w", amount=-DOLLAR, fee=9),
        fill(5, SHARE, DOLLAR),
    ]
    told = [(trip.symbol, trip.opened, trip.closed) for trip in round_trips(entries)]
    assert told == [("AAPL", 1, 3), ("MSFT", 2, None), ("AAPL", 5, None)]
    assert round_trips([]) == ()


def trip(profit: int, *, closed: int | None = 2) -> RoundTrip:
    return RoundTrip("AAPL", LONG, 1, closed, SHARE, DOLLAR, DOLLAR, 0, 0, profit)


def test_statistics_by_hand() -> None:
    # wins 30 and 10, losses 5 and 10 and 10, one neither, one still open
    profits = [30, -5, 10, -10, 0, -10]
    assert trade_statistics([*map(trip, profits), trip(999, closed=None)]) == TradeStatistics(
        closed=6,
        wins=2,
        losses=3,
        profit=15,
        win_rate=0.4,
        profit_factor=1.6,
        average=2,  # 2.5, to even
        average_win=20,
        average_loss=-8,  # -8.33
        largest_win=30,
        largest_loss=-10,
    )


@pytest.mark.parametrize("profits", [[], [0]])
def test_statistics_are_undefined_without_wins_and_losses(profits: list[int]) -> None:
    found = trade_statistics(map(trip, profits))
    assert (found.win_rate, found.profit_factor, found.average_win) == (None, None, None)
    assert (found.average_loss, found.largest_win, found.largest_loss) == (None, None, None)
    assert found.average == (0 if profits else None)


def test_a_profit_factor_needs_a_loss() -> None:
    assert trade_statistics([trip(5)]).profit_factor is None
    assert trade_statistics([trip(-5)]).profit_factor == 0
    assert trade_statistics([trip(5)]).win_rate == 1


# ---- the law

# round lots make positions close and cross zero; odd quantities make everything round
quantities = st.one_of(
    st.sampled_from([1, 5, 10, 15]).map(lambda n: n * SHARE), st.integers(1, 3 * 10**12)
)
steps = st.tuples(
    st.sampled_from(["fill", "fill", "fill", "close", "split", "dividend", "deposit"]),
    st.sampled_from(["AAPL", "MSFT"]),
    quantities,
    st.sampled_from([1, -1]),
    st.one_of(st.integers(1, 50), st.integers(1, 700_000 * DOLLAR)),
    st.integers(0, 5 * DOLLAR),
)


def ledger(history: list[tuple[str, str, int, int, int, int]]) -> list[Entry]:
    """Give a true ledger: splits, closes and dividends only of what is held, or was."""
    entries: list[Entry] = []
    traded: set[str] = set()
    for ts, (kind, symbol, quantity, sign, price, fee) in enumerate(history):
        held = replay(entries).held(symbol)
        if kind == "fill":
            entries.append(fill(ts, sign * quantity, price, fee, symbol=symbol))
            traded.add(symbol)
        elif kind == "close" and held:
            entries.append(fill(ts, -held, price, fee, symbol=symbol))
        elif kind == "split" and held:
            change = held if sign > 0 else -held + held // 10
            entries.append(split(ts, change)._replace(symbol=symbol))
        elif kind == "dividend" and symbol in traded:
            entries.append(dividend(ts, sign * fee, symbol=symbol)._replace(fee=fee // 7))
        elif kind == "deposit":
            entries.append(Entry(ts=ts, kind=DEPOSIT, ref=f"c{ts}", amount=price))
    return entries


@given(st.lists(steps, max_size=25).map(ledger))
def test_trips_add_up_to_the_ledger(entries: list[Entry]) -> None:
    portfolio, trips = replay(entries), round_trips(entries)
    earned = portfolio.realised - portfolio.fees + portfolio.dividends
    assert sum(trip.profit for trip in trips) == earned
    assert sum(trip.fees for trip in trips) == portfolio.fees
    assert sum(trip.dividends for trip in trips) == portfolio.dividends
    still_open = {trip.symbol: trip.side for trip in trips if trip.closed is None}
    assert still_open == {
        symbol: LONG if position.quantity > 0 else SHORT
        for symbol, position in portfolio.positions.items()
    }


@given(st.lists(steps, max_size=25).map(ledger))
def test_a_flat_symbol_earned_the_cash_that_passed(entries: list[Entry]) -> None:
    held = replay(entries).positions
    for symbol in {entry.symbol for entry in entries} - {"", *held}:
        cash = sum(entry.amount - entry.fee for entry in entries if entry.symbol == symbol)
        assert sum(t.profit for t in round_trips(entries) if t.symbol == symbol) == cash


@given(st.lists(steps, max_size=25).map(ledger))
def test_trips_of_a_symbol_follow_one_another(entries: list[Entry]) -> None:
    for symbol in ("AAPL", "MSFT"):
        trips = [trip for trip in round_trips(entries) if trip.symbol == symbol]
        for before, after in pairwise(trips):
            assert before.closed is not None
            assert before.opened <= before.closed <= after.opened
        assert all(trip.quantity > 0 for trip in trips)
